"""Checks an exported version by doing what a server would do."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export.modules.precision import PRECISIONS, Precision
from export.saved_model import records, server_config
from export.saved_model.session import SessionModel
from export.saved_model.versions import (
    DEFAULT_SIGNATURE,
    MODEL_CARD,
    VERIFICATION,
    WARM_UP,
)
from runkit import InputError
from runkit.files import read_json

MOST_WARM_UP_RECORDS = 1000  # TF Serving refuses more.
# Beside the weights there are their names.
MOST_OVERHEAD = 1.05
# Stock TF Serving links TensorFlow's ops and those of TF Text. Of the latter an
# exported model may use these.
TEXT_OPS = frozenset(
    {
        "SentencepieceOp",
        "SentencepieceTokenizeOp",
        "SentencepieceDetokenizeOp",
    }
)
# In TensorFlow's package but not in a server: Python callbacks, and what needs
# the XLA compiler.
_REFUSED = ("EagerPyFunc", "PyFunc", "Xla")


class VerificationError(InputError):
    """A SavedModel that a server could not serve as its model card says."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was checked.

    Attributes:
        signatures: names, sorted.
        dtype: of the weights.
        requests: stored requests whose answers were reproduced.
        changed: rows of them with another text or class; in half precision a
            near-tie falls either way on another processor.
        largest_difference: largest absolute difference of an output number
            from the eager model's.
        variables_bytes: size of the variables on disk.
        parameters: number of the model's parameters.
        extra_ops: ops that are not TensorFlow's own.
    """

    signatures: list[str]
    dtype: str
    requests: int
    changed: int
    largest_difference: float
    variables_bytes: int
    parameters: int
    extra_ops: list[str]


def verify_saved_model(path: str | os.PathLike) -> Verification:
    """Loads a version as a server does and replays the stored requests.

    Args:
        path: directory of one version, written by this package.

    Raises:
        InputError: not such a directory, or damaged files.
        VerificationError: an op that servers do not have, weights stored
            more than once, or an answer that differs from the eager model's.
    """
    folder = pathlib.Path(path)
    model = SessionModel(folder)
    try:
        card = read_card(folder)
        extra = check_ops(model.ops(), card.get("custom_ops", ()))
        files = (folder / "variables").glob("variables.data*")
        size = sum(file.stat().st_size for file in files)
        parameters = card["parameters"]
        # Older cards, and those of indexes, lack it.
        dtype = dict(card.get("options", {})).get("dtype", "float32")
        precision = check_dtype(folder, dtype)
        if size > MOST_OVERHEAD * precision.bytes * parameters:
            raise VerificationError(
                f"the variables take more than {precision.bytes} bytes per "
                "parameter",
                where=str(folder),
                got=size,
                expected=f"{precision.bytes * parameters}",
            )
        server_config.check_configs(folder)
        written = card.get("stored_requests", {})  # Older cards lack it.
        replayed = _replay(model, folder, written, precision)
        return Verification(
            signatures=sorted(model.signatures),
            dtype=dtype,
            requests=replayed.requests,
            changed=replayed.changed,
            largest_difference=replayed.largest_difference,
            variables_bytes=size,
            parameters=parameters,
            extra_ops=extra,
        )
    finally:
        model.close()


def read_card(folder: pathlib.Path) -> dict[str, Any]:
    """Reads model_card.json.

    Raises:
        InputError: it is missing or not a model card.
    """
    card = read_json(folder / MODEL_CARD)
    if not isinstance(card, dict) or not isinstance(
        card.get("parameters"), int
    ):
        raise InputError("is not a model card", where=str(folder / MODEL_CARD))
    return card


def check_ops(ops: Iterable[str], custom: Iterable[str] = ()) -> list[str]:
    """Returns the ops beyond TensorFlow's own, all of them allowed.

    Args:
        ops: op types of a graph.
        custom: further allowed ops, which the model card states for a
            special build of the server.

    Raises:
        VerificationError: an op that the server does not have.
    """
    core = set(dir(tf.raw_ops))
    allowed = TEXT_OPS | set(custom)
    extra = sorted(
        op for op in ops if op not in core or op.startswith(_REFUSED)
    )
    foreign = [op for op in extra if op not in allowed]
    if foreign:
        raise VerificationError(
            "uses ops that TF Serving does not have",
            where="graph",
            got=foreign,
            expected="TensorFlow's and " + ", ".join(TEXT_OPS),
        )
    return extra


def check_dtype(folder: pathlib.Path, dtype: str) -> Precision:
    """Returns what follows from the type that the card says.

    Raises:
        VerificationError: an unknown type, or weights of another one.
    """
    if dtype not in PRECISIONS:
        raise VerificationError(
            "is not a type of weights",
            where=f"{folder / MODEL_CARD}: options.dtype",
            got=dtype,
            expected=", ".join(PRECISIONS),
        )
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables/variables"))
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InputError(
            f"cannot be read ({str(error)[:200]})", where=str(folder)
        ) from None
    kinds = reader.get_variable_to_dtype_map().values()
    others = {kind.name for kind in kinds if kind.is_floating} - {dtype}
    if others:
        raise VerificationError(
            "holds weights of another type than the card says",
            where=str(folder / "variables"),
            got=", ".join(sorted(others)),
            expected=dtype,
        )
    return PRECISIONS[dtype]


@dataclasses.dataclass
class _Replayed:
    requests: int = 0
    rows: int = 0
    changed: int = 0
    largest_difference: float = 0.0


def _replay(
    model: SessionModel,
    folder: pathlib.Path,
    written: Mapping[str, int],
    precision: Precision,
) -> _Replayed:
    """Replays warm-up and verification requests of every signature.

    Args:
        model: answers.
        folder: of the version.
        written: {file: how many requests the export wrote into it}.
        precision: what may differ.
    """
    total = _Replayed()
    for name in (WARM_UP, VERIFICATION):
        in_file, seen = 0, set()
        for signature, inputs, expected in records.read_records(folder / name):
            found = model.run(signature, inputs)
            if precision.changed:
                same = same_rows(expected, found)
                total.rows += len(same)
                total.changed += int(np.sum(~same))
                if not same.all():
                    expected, found = (
                        {name: value[same] for name, value in answer.items()}
                        for answer in (expected, found)
                    )
            total.largest_difference = max(
                total.largest_difference,
                largest_difference(expected, found, precision.tolerance),
            )
            seen.add(signature)
            in_file += 1
        total.requests += in_file
        if name == WARM_UP and in_file > MOST_WARM_UP_RECORDS:
            raise VerificationError(
                "holds too many requests",
                where=str(folder / name),
                got=in_file,
                expected=f"<= {MOST_WARM_UP_RECORDS}",
            )
        if in_file != written.get(name, in_file):
            raise VerificationError(
                "does not hold the requests that were written",
                where=str(folder / name),
                got=in_file,
                expected=str(written[name]),
            )
        missing = set(model.signatures) - seen - {DEFAULT_SIGNATURE}
        if missing:
            raise VerificationError(
                "signatures without a stored request",
                where=str(folder / name),
                got=sorted(missing),
            )
    if total.changed > precision.changed * total.rows:
        raise VerificationError(
            "texts or classes differ from the eager model's",
            where="replay",
            got=f"{total.changed} of {total.rows} rows",
            expected=f"at most {precision.changed:.0%}",
        )
    return total


def same_rows(
    expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Tells which rows have the same texts, classes and flags.

    Args:
        expected: {output name: array [rows, ...]}.
        found: the same outputs.

    Returns:
        [rows] bool; all True where names or shapes differ, which
        `largest_difference` refuses.
    """
    rows = len(next(iter(found.values())))
    same = np.ones(rows, bool)
    for name, value in expected.items():
        other = found.get(name)
        if other is None or value.shape != other.shape:
            return np.ones(rows, bool)
        if not np.issubdtype(value.dtype, np.floating):
            inner = tuple(range(1, value.ndim))
            same &= np.all(value == other, axis=inner)
    return same


def largest_difference(
    expected: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
    tolerance: float = PRECISIONS["float32"].tolerance,
) -> float:
    """Returns the largest absolute difference between two answers.

    Args:
        expected: {output name: array}.
        found: the same outputs.
        tolerance: of numbers, absolute and relative; anything else must be
            identical.

    Raises:
        VerificationError: other names, shapes, types or values.
    """
    largest = 0.0
    if set(expected) != set(found):
        raise VerificationError(
            "returns other outputs",
            where="replay",
            got=sorted(found),
            expected=str(sorted(expected)),
        )
    for name, value in expected.items():
        other = found[name]
        number = np.issubdtype(value.dtype, np.floating)
        same = value.shape == other.shape and (
            np.allclose(value, other, rtol=tolerance, atol=tolerance)
            if number
            else np.array_equal(value, other)
        )
        if not same:
            raise VerificationError(
                f"output {name} differs from the eager model's",
                where="replay",
                got=other.ravel()[:4].tolist(),
                expected=str(value.ravel()[:4].tolist()),
            )
        if number and value.size:
            largest = max(largest, float(np.abs(value - other).max()))
    return largest
