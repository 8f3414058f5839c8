r"""Asks two exported models about texts: which label, how sure, what is near.

    python -m examples.ask --classifier=served/packages/1 \
        --neighbors=served/neighbors/1 --pool=packages/pool.jsonl \
        --text="Returns the sine of each element."

The models are loaded as TF Serving loads them. `--output` also writes the
answers as JSON.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Protocol, TypedDict

import numpy as np
from absl import flags

from runkit import run_binary, write_json
from runkit.datasets.tables import json_lines, text_field
from runkit.flag_values import Flag, check_table

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag("classifier", "Exported version of the classifier.", required=True),
    Flag("neighbors", "Exported version of the neighbors.", required=True),
    Flag("pool", "JSON Lines file with the pool's texts.", required=True),
    Flag("text", "Text to ask about.", repeated=True, required=True),
    Flag("output", "JSON file for the answers.", default=""),
)
_LINE_LENGTH = 70  # Characters shown of a neighbor.


class ServedModel(Protocol):
    """What is needed of `export.saved_model.session.SessionModel`."""

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """Returns the signature's outputs by name, one row per text."""


class Neighbor(TypedDict):
    """A text of the pool and its cosine distance, in [0, 2]."""

    text: str
    distance: float


class Answer(TypedDict):
    """What the models say about a text.

    Attributes:
        text: the question.
        label: the most likely class.
        probability: of the label, in [0, 1].
        margin: between the two most likely classes, in [0, 1].
        cluster: that of the nearest text in the pool.
        neighbors: texts of the pool, nearest first.
    """

    text: str
    label: str
    probability: float
    margin: float
    cluster: int
    neighbors: list[Neighbor]


def ask(
    classifier: ServedModel,
    neighbors: ServedModel,
    pool: Sequence[str],
    texts: Sequence[str],
) -> list[Answer]:
    """Answers each text.

    Args:
        classifier: has the signature `classify`.
        neighbors: has the signature `neighbors`.
        pool: texts by example id.
        texts: the questions.
    """
    inputs = {"text": np.array(texts, object)}
    classes = classifier.run("classify", inputs)
    near = neighbors.run("neighbors", inputs)
    answers: list[Answer] = []
    for row, text in enumerate(texts):
        pairs = zip(
            near["example_ids"][row], near["distances"][row], strict=True
        )
        answers.append(
            {
                "text": text,
                "label": classes["label"][row].decode(),
                "probability": float(classes["probabilities"][row].max()),
                "margin": float(classes["margin"][row]),
                "cluster": int(near["cluster_id"][row]),
                "neighbors": [
                    {"text": pool[i], "distance": float(distance)}
                    for i, distance in pairs
                ],
            }
        )
    return answers


def first_line(text: str) -> str:
    """Returns the beginning of a text, on one line."""
    line = " ".join(text.split())
    if len(line) <= _LINE_LENGTH:
        return line
    return line[: _LINE_LENGTH - 1] + "…"


def main(argv: Sequence[str]) -> None:
    """Loads the models, asks, prints."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
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
    run_binary(main, FLAG_TABLE)
