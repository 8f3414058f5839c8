"""What several tests share: text, a vocabulary, a small configuration."""

import contextlib
import functools
import pathlib
from typing import Any
from unittest import mock

import numpy as np
from absl import flags

from runkit import flag_values
from spactor_tf.config import presets
from spactor_tf.config import pretrain as config_lib
from spactor_tf.config.fields import override
from spactor_tf.data import token_store
from spactor_tf.data import vocabulary as vocabulary_lib
from spactor_tf.training import metrics_log

ROWS = 512  # Of the embedding; 384 are pieces, 256 of them bytes.

_TIMINGS = ("steps_per_second", "tokens_per_second")
_SMALL_FIELDS = {
    "model.vocabulary_size": ROWS,
    "model.num_layers": 1,
    "model.num_heads": 2,
    "model.hidden_dim": 32,
    "model.intermediate_dim": 64,
    "generator.num_layers": 1,
    "generator.hidden_dim": 16,
    "generator.num_heads": 2,
    "generator.intermediate_dim": 32,
    "corruption.input_length": 32,
    "runtime.checkpoint_every": 4,
    "runtime.eval_every": 4,
    "runtime.eval_batches": 2,
    "runtime.log_every": 1,
    "data.holdout_fraction": 0.2,
    "optimizer.warmup_steps": 2,
    "train_steps": 8,
    "batch_size": 4,
}


def tiny_config(**fields: Any) -> config_lib.PretrainConfig:
    """The `tiny` preset, smaller still, with single fields replaced.

    Args:
        **fields: {"section.field": value}, given as `**{...}`.
    """
    config = override(presets.get_preset("tiny"), {**_SMALL_FIELDS, **fields})
    config.validate()
    return config


def documents(count: int = 120, seed: int = 0) -> list[str]:
    """Distinct documents of some 40 made-up words, frequent and rare ones."""
    rng = np.random.default_rng(seed)
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    words = [
        "".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(400)
    ]
    frequency = 1 / np.arange(1, len(words) + 1)
    frequency /= frequency.sum()
    return [
        " ".join(rng.choice(words, rng.integers(20, 60), p=frequency))
        + f", number {number}.\nEnd"
        for number in range(count)
    ]


@functools.cache
def vocabulary() -> vocabulary_lib.Vocabulary:
    """A vocabulary of `ROWS` rows, trained on `documents()`."""
    return vocabulary_lib.train_vocabulary(documents(), ROWS)


def token_stores(
    folder: str | pathlib.Path, count: int = 120
) -> dict[str, token_store.TokenStore]:
    """Prepares `documents(count)` below `folder`: {"train", "heldout"}."""
    return token_store.prepare(
        documents(count), vocabulary(), folder, holdout_fraction=0.2
    )


def write_corpus(folder: str | pathlib.Path, count: int = 120) -> str:
    """Writes `documents(count)` as text; returns its `--dataset`."""
    path = pathlib.Path(folder) / "corpus.txt"
    path.write_text("\n\n".join(documents(count)), encoding="utf-8")
    return f"text:{path}:blank_lines"


def without_timings(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl without what depends on the clock."""
    records = metrics_log.read_metrics(folder / "metrics.jsonl")
    return [
        {k: v for k, v in record.items() if k not in _TIMINGS}
        for record in records
    ]


def final_arrays(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Every array of a run's last checkpoint."""
    steps = sorted((folder / "checkpoints").iterdir())
    with np.load(steps[-1] / "variables.npz") as stored:
        return {name: stored[name] for name in stored.files}


@contextlib.contextmanager
def main_flags(module, **values):
    """Gives a binary flags of its own with these values.

    Several binaries are tested in one process, and define the same names.
    """
    own = flags.FlagValues()
    if hasattr(module, "FLAG_TABLE"):
        flag_values.define_flags(module.FLAG_TABLE, own)
    else:
        module._define_flags(own)
    own(["main"])
    for name, value in values.items():
        setattr(own, name, value)
    with mock.patch.object(module, "FLAGS", own):
        yield own


def contents(folder):
    """{path: bytes} of everything below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.is_file()
    }


def stream_of(store):
    """All tokens of a store."""
    return store.windows(np.arange(store.num_tokens), 1)[:, 0]
