"""What several tests share: text, a vocabulary, a small configuration."""

import contextlib
import functools
import json
import pathlib
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags

from runkit import flag_values
from spactor_tf.config import presets
from spactor_tf.config import pretrain as config_lib
from spactor_tf.config.fields import override
from spactor_tf.data import vocabulary as vocabulary_lib
from spactor_tf.data.tokens import preparation, store
from spactor_tf.inference import pretrained
from spactor_tf.model import t5
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
) -> dict[str, store.TokenStore]:
    """Prepares `documents(count)` below `folder`: {"train", "heldout"}."""
    return preparation.prepare(
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


def write_store(folder, shards, dtype="<u2", **options):
    """A store with the given shards, made without the code under test."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number, tokens in enumerate(shards):
        data = np.array(tokens, dtype).tobytes()
        (folder / f"shard-{number:05d}.tokens").write_bytes(data)
    index = {
        "tokens": sum(map(len, shards)),
        "documents": len(shards),
        "shard_tokens": list(map(len, shards)),
        "dtype": dtype,
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return store.TokenStore(folder, **options)


def stream_of(tokens):
    """All tokens of a store, read by NumPy."""
    shards = sorted(pathlib.Path(tokens.path).glob("shard-*.tokens"))
    return np.concatenate([np.fromfile(s, tokens.dtype) for s in shards])


def windows_of(tokens, length):
    """[n, length], the windows of a store as they stand in the stream."""
    stream = stream_of(tokens).astype(np.int32)
    last = len(stream) - length
    count = -(-len(stream) // length)
    starts = [min(i * length, last) for i in range(count)]
    return np.stack([stream[s : s + length] for s in starts])


@functools.cache
def random_t5(dropout: float = 0.1) -> pretrained.Pretrained:
    """A T5 with initial weights, for tests of what is built on one."""
    config = tiny_config(**{"model.dropout": dropout})
    backbone = t5.build_backbone(config.model)
    t5.reinitialize(
        backbone.variables, 0, head_dim=16, hidden_dim=config.model.hidden_dim
    )
    return pretrained.Pretrained(backbone, vocabulary(), config)


def graph_operations(dataset):
    """Names of all operations of a dataset's graph and its functions."""
    serialized = tf.raw_ops.DatasetToGraphV2(
        input_dataset=dataset._variant_tensor
    )
    graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
    nodes = [*graph.node]
    for function in graph.library.function:
        nodes.extend(function.node_def)
    return {node.op for node in nodes}
