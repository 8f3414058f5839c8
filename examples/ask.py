"""Asks two served models about texts: which label, how sure, what is near.

    python -m examples.ask --classifier=served/packages/1 \
        --neighbors=served/neighbors/1 --pool=packages/pool.jsonl \
        --text="Returns the sine of each element."

The models are loaded as TF Serving loads them. `--output` also writes the
answers as JSON.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from runkit import run_binary, write_json
from runkit.datasets.tables import json_lines, text_field
from runkit.flag_values import check_flags

FLAGS = flags.FLAGS
_SHOWN = 70  # Characters of a neighbor.


def _define_flags() -> None:
    flags.DEFINE_string("classifier", None, "Exported version. Required.")
    flags.DEFINE_string("neighbors", None, "Exported version. Required.")
    flags.DEFINE_string("pool", None, "JSON Lines with the texts. Required.")
    flags.DEFINE_multi_string("text", None, "A text to ask about. Required.")
    flags.DEFINE_string("output", "", "JSON file for the answers.")


def ask(
    classifier: Any, neighbors: Any, pool: Sequence[str], texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Answers each text.

    Args:
        classifier: `SessionModel` with the signature `classify`.
        neighbors: `SessionModel` with the signature `neighbors`.
        pool: texts by example id.
        texts: the questions.

    Returns:
        {"text", "label", "probability", "margin", "cluster", "neighbors"} of
        each; a neighbor is {"text", "distance"}, nearest first.
    """
    inputs = {"text": np.array(texts, object)}
    said = classifier.run("classify", inputs)
    near = neighbors.run("neighbors", inputs)
    return [
        {
            "text": text,
            "label": said["label"][row].decode(),
            "probability": float(said["probabilities"][row].max()),
            "margin": float(said["margin"][row]),
            "cluster": int(near["cluster_id"][row]),
            "neighbors": [
                {"text": pool[i], "distance": float(distance)}
                for i, distance in zip(
                    near["example_ids"][row], near["distances"][row],
                    strict=True,
                )
            ],
        }
        for row, text in enumerate(texts)
    ]  # fmt: skip


def first_line(text: str) -> str:
    """Returns the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def main(argv: Sequence[str]) -> None:
    """Loads, asks, prints."""
    del argv
    check_flags(FLAGS, required=("classifier", "neighbors", "pool", "text"))
    rows = json_lines(pathlib.Path(FLAGS.pool))
    pool = [text_field(row, "text", place) for place, row in rows]
    from export.saved_model.session import SessionModel

    answers = ask(
        SessionModel(FLAGS.classifier),
        SessionModel(FLAGS.neighbors),
        pool,
        FLAGS.text,
    )
    for answer in answers:
        print(f"\n{answer['text']}")
        print(
            f"  label {answer['label']}, probability "
            f"{answer['probability']:.2f}, margin {answer['margin']:.2f}, "
            f"cluster {answer['cluster']}"
        )
        for neighbor in answer["neighbors"]:
            near = first_line(neighbor["text"])
            print(f"  {neighbor['distance']:.3f}  {near}")
    if FLAGS.output:
        write_json(pathlib.Path(FLAGS.output), answers)


if __name__ == "__main__":
    _define_flags()
    run_binary(main)
