"""A task that a tiny model learns in seconds, and a preset to start from.

Tests in this process use `TASKS`; other processes know published tasks only,
and get files in the form of one (`write_anli`).
"""

import json
import pathlib
from unittest import mock

import numpy as np

from spactor_tf import tasks
from spactor_tf.tasks import Example, Task

WORDS = ("bad", "good")
NOISE = ("ba", "de", "fi", "go")


def _examples(record, row):
    return [Example(record["text"], record["target"], str(row))]


def task(name="toy", words=WORDS, **more):
    fields = {
        "suite": "toy",
        "source": f"jsonl:{name}-{{split}}.jsonl",
        "splits": {s: s for s in ("train", "validation", "test")},
        "label_words": words,
        "metrics": ("accuracy",),
        "to_examples": _examples,
        **more,
    }
    return Task(name=name, **fields)


TASKS = {
    "toy": task(),
    "other": task("other"),
    "words": task("words", ()),
}


def write_data(folder, name="toy", sizes=(64, 24, 10), seed=0):
    """The first word decides; test has no labels."""
    rng = np.random.default_rng(seed)
    for split, size in zip(("train", "validation", "test"), sizes, strict=True):
        lines = []
        for _ in range(size):
            label = int(rng.integers(2))
            # Of nearly one length: each bucket costs a trace.
            words = rng.choice(NOISE, 2)
            text = " ".join([("nana", "zuzu")[label], *words])
            target = "" if split == "test" else WORDS[label]
            lines.append(json.dumps({"text": text, "target": target}))
        path = pathlib.Path(folder) / f"{name}-{split}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def registered():
    """Makes the toy tasks known by name, as long as the context lasts."""
    return mock.patch.dict(tasks.TASKS, TASKS)


def save_preset(folder):
    """Saves a random T5 of one layer as a preset."""
    from spactor_tf.inference.pretrained import save_pretrained
    from spactor_tf.model.pretrainer import SpactorPretrainer
    from tests.support import testing

    config = testing.tiny_config(
        **{"objective.name": "span_corruption", "seed": 5}
    )
    model = SpactorPretrainer(config, testing.vocabulary())
    save_pretrained(folder, model.backbone, testing.vocabulary(), config)


def write_anli(folder):
    """Made-up records in the files of Rainbow's anli."""
    fields = ("obs1", "obs2", "hyp1", "hyp2")
    rng = np.random.default_rng(0)
    for name, size in (("train", 60), ("dev", 24), ("alphanli-test/anli", 9)):
        lines = []
        for _ in range(size):
            record = {f: " ".join(rng.choice(NOISE, 3)) for f in fields}
            if name in ("train", "dev"):
                record["label"] = str(rng.integers(1, 3))
            lines.append(json.dumps(record))
        path = pathlib.Path(folder) / f"rainbow/anli/{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
