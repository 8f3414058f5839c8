"""A task that a tiny model learns in seconds, and a preset to start from.

python -m tests.toy_task --task=toy --data_dir=... (finetune_main's flags)
"""

import json
import pathlib

import numpy as np

from spactor_tf import tasks
from spactor_tf.tasks import Example, Task

WORDS = ("bad", "good")


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
            words = rng.choice(["ba", "de", "fi", "go"], rng.integers(1, 12))
            text = " ".join([("nana", "zuzu")[label], *words])
            target = "" if split == "test" else WORDS[label]
            lines.append(json.dumps({"text": text, "target": target}))
        path = pathlib.Path(folder) / f"{name}-{split}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def register():
    """Makes the toy tasks known by name."""
    tasks._TASKS.update(TASKS)


def save_preset(folder):
    """Saves the random T5 of the serving tests as a preset."""
    from spactor_tf.pretrained import save_pretrained
    from tests import serving_models

    model = serving_models.pretrained()
    save_pretrained(folder, model.backbone, model.vocabulary, model.config)


if __name__ == "__main__":
    from spactor_tf import finetune_main

    register()
    finetune_main.run()
