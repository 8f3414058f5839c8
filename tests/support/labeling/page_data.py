"""Projects whose texts or images a labeling page can show."""

import json
import pathlib
from typing import Any

import numpy as np

from al_tf.project.project import Project
from al_tf.project.settings import Settings

CLASSES = ("bird", "fish", "other")


def make_texts(
    folder: pathlib.Path, n: int = 60, copies: int = 3, **fields: Any
) -> Project:
    """A project of texts in families of near copies, without a test set.

    Example i has the key `t<i>` and belongs to family `i // copies`; its label
    is `truth(i, copies)`. Every family is a cluster.
    """
    random = np.random.default_rng(0)
    families = random.standard_normal((-(-n // copies), 8))
    rows = np.repeat(families, copies, axis=0)[:n]
    rows = rows + 0.01 * random.standard_normal(rows.shape)
    texts = [
        f"A text about {truth(i, copies)}, family {i // copies}, copy {i}"
        for i in range(n)
    ]
    return make_project(folder, texts, rows, **fields)


def truth(number: int, copies: int = 3) -> str:
    """The class of an example of `make_texts`."""
    return CLASSES[number // copies % len(CLASSES)]


def make_project(
    folder: pathlib.Path, texts: list[str], rows: np.ndarray, **fields: Any
) -> Project:
    """A project of these texts, with `[n, d]` embeddings of their own."""
    keys = [f"t{i}" for i in range(len(texts))]
    with (folder / "pool.jsonl").open("w") as handle:
        for name, text in zip(keys, texts, strict=True):
            record = {"key": name, "text": text, "label": None}
            handle.write(json.dumps(record) + "\n")
    np.savez(
        folder / "rows.npz", id=keys, embedding=np.asarray(rows, np.float32)
    )
    values: dict[str, Any] = {
        "dataset": f"jsonl:{folder / 'pool.jsonl'}:text:label",
        "id_column": "key",
        "classes": CLASSES,
        "test": "0",
        "embeddings": str(folder / "rows.npz"),
        "batch_size": 12,
        "target_cluster_size": 3.0,
        **fields,
    }
    return Project.create(folder / "project", Settings(**values))


def make_images(folder: pathlib.Path, n: int = 20, **fields: Any) -> Project:
    """A project of gray images, dark and bright ones."""
    random = np.random.default_rng(0)
    images = random.integers(0, 90, (n, 6, 8, 1)).astype(np.uint8)
    images[::2] += 120
    labels = np.arange(n) % 2
    np.savez(
        folder / "images.npz",
        images=images,
        labels=labels,
        classes=np.array(["bright", "dark"]),
    )
    values: dict[str, Any] = {
        "dataset": f"npz:{folder / 'images.npz'}",
        "test": "0",
        "batch_size": 6,
        "target_cluster_size": 5.0,
        **fields,
    }
    return Project.create(folder / "project", Settings(**values))
