"""Checks an exported version by doing what a server would do."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export.saved_model import records, server_config
from export.saved_model.session import SessionModel
from export.saved_model.versions import (
    DEFAULT_SIGNATURE,
    MODEL_CARD,
    VERIFICATION,
    WARM_UP,
)
from runkit import InputError

TOLERANCE = 1e-5  # Absolute, and relative for log-likelihoods.
MOST_WARM_UP_RECORDS = 1000  # TF Serving refuses more.
MOST_BYTES_PER_PARAMETER = 4 * 1.05
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
        requests: stored requests whose answers were reproduced.
        largest_difference: largest absolute difference of an output number
            from the eager model's.
        variables_bytes: size of the variables on disk.
        parameters: number of the model's parameters.
        extra_ops: ops that are not TensorFlow's own.
    """

    signatures: list[str]
    requests: int
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
        if size > MOST_BYTES_PER_PARAMETER * parameters:
            raise VerificationError(
                "the variables take more than 4 bytes per parameter",
                where=str(folder),
                got=size,
                expected=f"{4 * parameters}",
            )
        server_config.check_configs(folder)
        written = card.get("stored_requests", {})  # Older cards lack it.
        count, difference = _replay(model, folder, written)
        return Verification(
            sorted(model.signatures), count, difference, size, parameters, extra
        )
    finally:
        model.close()


def read_card(folder: pathlib.Path) -> dict[str, Any]:
    """Reads model_card.json.

    Raises:
        InputError: it is missing or not a model card.
    """
    try:
        card = json.loads((folder / MODEL_CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read ({error})", where=str(folder / MODEL_CARD)
        ) from None
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


def _replay(
    model: SessionModel, folder: pathlib.Path, written: Mapping[str, int]
) -> tuple[int, float]:
    """Replays warm-up and verification requests of every signature.

    Args:
        model: answers.
        folder: of the version.
        written: {file: how many requests the export wrote into it}.

    Returns:
        (how many there are, largest difference).
    """
    count, largest = 0, 0.0
    for name in (WARM_UP, VERIFICATION):
        in_file, seen = 0, set()
        for signature, inputs, expected in records.read_records(folder / name):
            found = model.run(signature, inputs)
            largest = max(largest, largest_difference(expected, found))
            seen.add(signature)
            in_file += 1
        count += in_file
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
    return count, largest


def largest_difference(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> float:
    """Returns the largest absolute difference between two answers.

    Args:
        expected: {output name: array}.
        found: the same outputs; numbers may differ by `TOLERANCE`, anything
            else must be identical.

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
            np.allclose(value, other, rtol=TOLERANCE, atol=TOLERANCE)
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
