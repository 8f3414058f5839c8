"""What half precision saves and what it costs: sizes, tolerances, errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export.modules.text_module import TextModule
from runkit import InputError


@dataclasses.dataclass(frozen=True)
class Precision:
    """What follows from the type of the stored weights.

    Attributes:
        bytes: of a weight.
        tolerance: of the answers of one graph on two processors; absolute, and
            relative for log-likelihoods.
        changed: largest fraction of texts and classes that may differ between
            two processors, which round a near-tie either way.
        remedy: what to do where numbers are out of range.
    """

    bytes: int
    tolerance: float
    changed: float = 0.0
    remedy: str = ""


PRECISIONS = {
    "float32": Precision(4, 1e-5),
    "bfloat16": Precision(2, 2e-2, 0.1, "Export with --dtype=float32"),
    "float16": Precision(
        2,
        4e-3,
        0.1,
        "Export with --dtype=bfloat16, which has the range of float32",
    ),
}


def measured_error(
    module: TextModule, exact: TextModule, texts: Sequence[bytes | str]
) -> dict[str, Any]:
    """Compares a module in half precision with the same model in float32.

    Args:
        module: its `options.dtype` is not float32.
        exact: the same model and options, in float32.
        texts: at least one.

    Returns:
        For the model card: `texts` (how many), `embedding`
        (`largest_difference` and `mean_difference`, absolute, of a number;
        `smallest_cosine` of a text), `probabilities`
        (`largest_difference`), `classes_changed`, and `texts_changed` where
        the model generates (numbers of texts).

    Raises:
        InputError: a weight or an answer is not finite.
    """
    check_weights(module)
    found, wanted = (_answers(m, texts) for m in (module, exact))
    embedding, expected = (a["embed"]["embedding"] for a in (found, wanted))
    difference = np.abs(embedding - expected)
    classes = [a["classify"] for a in (found, wanted)]
    probabilities = [c["probabilities"] for c in classes]
    record = {
        "texts": len(texts),
        "embedding": {
            "largest_difference": float(difference.max()),
            "mean_difference": float(difference.mean()),
            "smallest_cosine": float(cosines(embedding, expected).min()),
        },
        "probabilities": {
            "largest_difference": float(
                np.abs(probabilities[0] - probabilities[1]).max()
            )
        },
        "classes_changed": _changed(classes, "class_id"),
    }
    if "generate" in found:
        written = [a["generate"] for a in (found, wanted)]
        record["texts_changed"] = _changed(written, "text")
    return record


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Returns the cosine between the rows of two arrays.

    Args:
        found: [rows, width].
        expected: [rows, width].

    Returns:
        [rows]; 1 where both are zero, as for a text without tokens.
    """
    norms = [np.linalg.norm(rows, axis=1) for rows in (found, expected)]
    cosine = (found * expected).sum(1) / np.maximum(norms[0] * norms[1], 1e-30)
    return np.where((norms[0] == 0) & (norms[1] == 0), 1.0, cosine)


def check_weights(module: TextModule) -> None:
    """Raises InputError for weights that became infinite when cast."""
    for variable in module.weights:
        if variable.dtype.is_floating:
            largest = tf.reduce_max(tf.abs(tf.cast(variable, tf.float32)))
            _require_finite(largest, f"weight {variable.name}", module)


def _answers(
    module: TextModule, texts: Sequence[bytes | str]
) -> dict[str, dict[str, np.ndarray]]:
    """{signature: {output: array}}; all numbers are finite."""
    functions = module.signatures()
    answers: dict[str, dict[str, np.ndarray]] = {}
    for name in ("embed", "classify", "generate"):
        if name in functions:
            outputs = functions[name](text=tf.constant(texts, tf.string))
            for key, value in outputs.items():
                if value.dtype.is_floating:
                    _require_finite(value, f"{name}: {key}", module)
            answers[name] = {k: v.numpy() for k, v in outputs.items()}
    return answers


def _require_finite(value: tf.Tensor, what: str, module: TextModule) -> None:
    if bool(tf.reduce_all(tf.math.is_finite(value))):
        return
    dtype = module.options.dtype
    raise InputError(
        f"is out of the range of {dtype}",
        where=f"--dtype={dtype}, {what}",
        remedy=PRECISIONS[dtype].remedy,
    )


def _changed(answers: Sequence[dict[str, np.ndarray]], name: str) -> int:
    """How many texts got another answer."""
    first, second = (answer[name] for answer in answers)
    return int(np.sum(first != second))
