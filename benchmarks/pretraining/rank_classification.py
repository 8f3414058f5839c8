r"""Rank classification against generation: 1,000 examples x 3 label words.

    python -m benchmarks.pretraining.rank_classification [--rounds=5] \
        [--init_from=RUN] \
        [--task=sst2]

1. As fine-tuning evaluates: all label words over one encoding.
2. Greedy generation with a cache, over one encoding too.
3. The whole model once a label: what ranking costs without the shared
   encoding.

By default a small T5 with random weights is fine-tuned on a made-up task of
three label words first, so that its answers mean something. With --init_from
a fine-tuned run and a task of the datasets under TFDS_DATA_DIR are taken
instead. Encoder passes are counted in the graph, rows of padding left out.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Arm, compare, record, row

EXAMPLES = 1000
LABELS = ("entailment", "neutral", "contradiction")
SIZES = {
    "vocabulary_size": 512,
    "num_layers": 2,
    "num_heads": 4,
    "hidden_dim": 128,
    "intermediate_dim": 512,
}
LENGTH = 96


def made_up(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts of 10 to 60 words; one word among them decides the label."""
    rng = np.random.default_rng(seed)
    signs = ("therefore", "meanwhile", "however")
    fill = ["the", "a", "of", "in", "to", "and", "this", "that", "was", "it"]
    pairs = []
    for _ in range(count):
        label = int(rng.integers(3))
        words = list(rng.choice(fill, rng.integers(10, 60)))
        words[int(rng.integers(len(words)))] = signs[label]
        pairs.append((" ".join(words), LABELS[label]))
    return pairs


def prepare(folder: pathlib.Path) -> None:
    """Trains a small T5 on the made-up task; writes preset and examples."""
    from spactor_tf.config.finetune import FinetuneConfig
    from spactor_tf.config.model import ModelConfig
    from spactor_tf.data.vocabulary import train_vocabulary
    from spactor_tf.finetune.mixture import Mixture, tokenized_task
    from spactor_tf.inference.pretrained import save_pretrained
    from spactor_tf.model.t5_trainer import T5Trainer
    from spactor_tf.tasks import Example
    from spactor_tf.training.optimizers import build_optimizer

    texts = [" ".join(pair) for pair in made_up(2000, 2)]
    vocabulary = train_vocabulary(texts, 416)
    config = FinetuneConfig(task="made_up", init_from="none", dropout=0.0)
    model = T5Trainer(ModelConfig(**SIZES), vocabulary, seed=config.seed)
    steps = 400
    model.compile(optimizer=build_optimizer(config.optimizer, steps))
    examples = [
        Example(text, label, str(i))
        for i, (text, label) in enumerate(made_up(8000, 1))
    ]
    task = tokenized_task("made_up", examples, vocabulary, LENGTH, 16)
    batches = Mixture((task,), 8000, 32, 0, LENGTH, 16)
    model.fit(
        batches.dataset(0, steps), epochs=1, steps_per_epoch=steps, verbose=0
    )
    save_pretrained(folder / "run", model.backbone, vocabulary)
    _write_examples(folder, made_up(EXAMPLES, 0), LABELS)


def take_task(folder: pathlib.Path, name: str) -> None:
    """Writes the first validation examples of a task."""
    from spactor_tf.tasks import get_task

    task = get_task(name)
    examples = task.load("validation", EXAMPLES)
    pairs = [(e.inputs, e.targets) for e in examples]
    _write_examples(folder, pairs, task.label_words)


def _write_examples(
    folder: pathlib.Path, pairs: list, labels: tuple[str, ...]
) -> None:
    inputs, targets = zip(*pairs, strict=True)
    content = {"inputs": inputs, "targets": targets, "labels": labels}
    (folder / "examples.json").write_text(json.dumps(content))


def answering(
    folder: str, run_dir: str, way: str
) -> Callable[[], dict[str, float]]:
    """Arm: answers all examples; returns accuracy and encoder passes."""
    from spactor_tf import load_pretrained
    from spactor_tf.finetune.predictor import Predictor
    from spactor_tf.inference.decoding import label_targets

    content = json.loads((pathlib.Path(folder) / "examples.json").read_text())
    texts, targets = content["inputs"], content["targets"]
    labels = tuple(content["labels"])
    model = load_pretrained(run_dir)
    predictor = Predictor(model.backbone, model.vocabulary, 512, 32)
    passes = count_encoder_passes(predictor)
    longest = label_targets(model.vocabulary, labels).shape[1]

    def answers() -> list[str]:
        if way == "rank":
            return predictor.rank(texts, [labels] * len(texts))
        if way == "generate":
            return predictor.generate(texts, longest)
        columns = [
            predictor.log_likelihoods(texts, [(label,)] * len(texts))
            for label in labels
        ]
        best = np.concatenate(columns, axis=1).argmax(axis=1)
        return [labels[i] for i in best]

    def run() -> dict[str, float]:
        passes.clear()
        right = np.mean(
            [a == t for a, t in zip(answers(), targets, strict=True)]
        )
        return {
            "units": len(texts),
            "accuracy": 100.0 * float(right),
            "encoder passes": float(sum(passes)),
        }

    return run


def count_encoder_passes(predictor: Any) -> list[int]:
    """Notes the rows of every encoder call, in the graph."""
    import tensorflow as tf

    seen: list[int] = []
    encode = predictor.encode

    def note(mask: np.ndarray) -> np.int32:
        seen.append(int((mask.sum(axis=1) > 0).sum()))
        return np.int32(0)

    def counting(tokens: Any, mask: Any) -> Any:
        with tf.control_dependencies(
            [tf.numpy_function(note, [mask], tf.int32)]
        ):
            return encode(tf.identity(tokens), mask)

    predictor.encode = counting
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--init_from", help="a fine-tuned run")
    parser.add_argument("--task", default="sst2", help="with --init_from")
    options = parser.parse_args()
    module = "benchmarks.pretraining.rank_classification:answering"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if options.init_from:
            run_dir, what = options.init_from, options.task
            take_task(folder, options.task)
        else:
            run_dir, what = str(folder / "run"), "made-up task"
            prepare(folder)
        arms = [
            Arm(arm, module, {"folder": name, "run_dir": run_dir, "way": way})
            for arm, way in (
                ("ranking, one encoding", "rank"),
                ("generation, cached", "generate"),
                ("ranking, a pass per label", "apart"),
            )
        ]
        timings = compare(arms, options.rounds)
    peer = timings[arms[1].name]
    rows = [
        row(
            t,
            peer,
            task=what,
            examples=int(t.units[-1]),
            **{
                "accuracy %": t.facts["accuracy"],
                "encoder passes": int(t.facts["encoder passes"]),
            },
        )
        for t in timings.values()
    ]
    record(
        "rank_classification",
        rows,
        timings=timings,
        notes=[
            "Text to text, tokenizing included; CPU seconds of one pass over "
            "all examples, median over rounds.",
            "Both ways read each example once; they can differ only where the "
            "model writes something that is not a label word.",
        ],
    )


if __name__ == "__main__":
    main()
