"""Span corruption from documents against the T5 library's own pipeline.

Both arms make batches of 128 examples, 512 encoder and 114 decoder tokens, out
of the same tokenized documents. Ours reads the store that a run trains from, in
which documents stand joined; `t5.data.preprocessors.span_corruption` joins them
as it goes, which is its way. A second table starts from text: there both
tokenize with the same SentencePiece model, and ours writes its store too.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import pathlib
import shutil
import sys
import tempfile
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Arm, compare, record, row
from runkit import read_json, write_json

ROWS = 128
DOCUMENTS = 12_000
# In one iterator, as a run has one; what starting it costs is seen in the rows
# of a single pass, 35 batches.
PASSES = 10
VOCABULARY_ROWS = 8192
Run = Callable[[], dict[str, float]]


# --- Ours -------------------------------------------------------------------


def _pipeline(store: Any, vocabulary: Any, masking: bool) -> Any:
    from spactor_tf.config.pretrain import CorruptionConfig
    from spactor_tf.data.corruption import corruption_lengths
    from spactor_tf.data.pretraining import Pipeline

    lengths = corruption_lengths(CorruptionConfig())
    return Pipeline(store, vocabulary, lengths, ROWS, seed=0, masking=masking)


def _count(batches: Any) -> dict[str, float]:
    return {"units": ROWS * sum(1 for _ in batches)}


def ours_from_store(folder: str, masking: bool, passes: int) -> Run:
    """Passes over the prepared corpus."""
    from spactor_tf.data.tokens.store import TokenStore
    from spactor_tf.data.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(pathlib.Path(folder) / "vocabulary.model")
    store = TokenStore(pathlib.Path(folder) / "tokens" / "train")
    pipeline = _pipeline(store, vocabulary, masking)
    windows = store.num_windows(pipeline.lengths.raw_length)
    dataset = pipeline.dataset(0, passes * (windows // ROWS))
    return lambda: _count(dataset)


def ours_from_text(folder: str) -> Run:
    """Tokenizes into a store, then makes one pass over it."""
    from spactor_tf.data.tokens.preparation import prepare
    from spactor_tf.data.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(pathlib.Path(folder) / "vocabulary.model")
    texts = read_json(pathlib.Path(folder) / "texts.json")
    target = pathlib.Path(folder) / "prepared-again"

    def run() -> dict[str, float]:
        shutil.rmtree(target, ignore_errors=True)
        stores = prepare(texts, vocabulary, target, holdout_fraction=0.001)
        pipeline = _pipeline(stores["train"], vocabulary, masking=False)
        windows = pipeline.store.num_windows(pipeline.lengths.raw_length)
        return _count(pipeline.dataset(0, windows // ROWS))

    return run


# --- The T5 library ---------------------------------------------------------


def _import_preprocessors() -> Any:
    """t5.data.preprocessors without t5's package initializers.

    Those import mesh-tensorflow, which the preprocessors do not need.
    """
    spec = importlib.util.find_spec("t5")
    root = pathlib.Path(next(iter(spec.submodule_search_locations)))
    for name, path in (("t5", root), ("t5.data", root / "data")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    return importlib.import_module("t5.data.preprocessors")


def _t5_batches(documents: Any, rows: int) -> Any:
    """T5's pre-training preprocessors, EOS and padding to fixed shapes."""
    import seqio

    preprocessors = _import_preprocessors()
    vocabulary = seqio.PassThroughVocabulary(size=rows, eos_id=1)
    feature = seqio.Feature(vocabulary=vocabulary, add_eos=True)
    features = {"inputs": feature, "targets": feature}
    lengths = {"inputs": 512, "targets": 114}
    dataset = preprocessors.span_corruption(
        documents,
        sequence_length=lengths,
        output_features=features,
        merge_examples_to_reduce_padding=True,
    )
    dataset = seqio.preprocessors.append_eos(dataset, features)
    dataset = dataset.map(lambda e: {k: e[k][:n] for k, n in lengths.items()})
    return dataset.padded_batch(
        ROWS, {k: [n] for k, n in lengths.items()}, drop_remainder=True
    )


def t5_from_tokens(folder: str, passes: int) -> Run:
    """Passes over documents that are tokenized already."""
    import tensorflow as tf

    arrays = np.load(pathlib.Path(folder) / "documents.npz")
    ragged = tf.RaggedTensor.from_row_lengths(
        arrays["tokens"], arrays["lengths"]
    )
    documents = tf.data.Dataset.from_tensor_slices(ragged)
    documents = documents.map(lambda tokens: {"targets": tokens})
    documents = documents.repeat(passes)
    dataset = _t5_batches(documents, VOCABULARY_ROWS)
    return functools.partial(_count, dataset)


def t5_from_text(folder: str) -> Run:
    """Tokenizes in the pipeline, as seqio does, and corrupts."""
    import tensorflow as tf
    import tensorflow_text

    path = pathlib.Path(folder)
    tokenizer = tensorflow_text.SentencepieceTokenizer(
        model=(path / "vocabulary.model").read_bytes()
    )
    texts = json.loads((path / "texts.json").read_text(encoding="utf-8"))
    documents = tf.data.Dataset.from_tensor_slices(texts)

    def tokenize(text: Any) -> dict[str, Any]:
        end = tf.constant([1], tf.int32)
        return {"targets": tf.concat([tokenizer.tokenize(text), end], 0)}

    documents = documents.map(tokenize, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = _t5_batches(documents, VOCABULARY_ROWS)
    return functools.partial(_count, dataset)


# --- The comparison ---------------------------------------------------------


def prepare_inputs(folder: pathlib.Path) -> dict[str, int]:
    """Writes vocabulary, store, texts and tokenized documents of one corpus."""
    from spactor_tf.config.pretrain import (
        DataConfig,
        ModelConfig,
        PretrainConfig,
    )
    from spactor_tf.data.corpus import prepare_corpus
    from spactor_tf.data.sources import Source
    from spactor_tf.data.tokens.preparation import prepare

    config = PretrainConfig(
        model=dataclasses.replace(
            ModelConfig(), vocabulary_size=VOCABULARY_ROWS
        ),
        data=DataConfig(
            max_documents=DOCUMENTS, vocabulary_sample_characters=4_000_000
        ),
    )
    vocabulary = prepare_corpus(config, folder / "cache").vocabulary
    vocabulary.save(folder / "vocabulary.model")
    texts = list(Source("docstrings", max_documents=DOCUMENTS))
    write_json(folder / "texts.json", texts)
    tokens, lengths = vocabulary.encode_corpus(texts)
    np.savez(folder / "documents.npz", tokens=tokens, lengths=lengths)
    prepare(texts, vocabulary, folder / "tokens", holdout_fraction=0.001)
    return {"documents": len(texts), "tokens": len(tokens)}


def main() -> None:
    module = __spec__.name
    with tempfile.TemporaryDirectory() as temporary:
        size = prepare_inputs(pathlib.Path(temporary))
        given = {"folder": temporary}
        many, once = given | {"passes": PASSES}, given | {"passes": 1}
        store = f"{module}:ours_from_store"
        tokens = compare(
            [
                Arm("t5", f"{module}:t5_from_tokens", many, peer=True),
                Arm("ours", store, many | {"masking": False}),
                Arm("ours, with masking", store, many | {"masking": True}),
            ],
            rounds=5,
        )
        single = compare(
            [
                Arm("t5", f"{module}:t5_from_tokens", once, peer=True),
                Arm("ours", store, once | {"masking": False}),
            ],
            rounds=5,
        )
        text = compare(
            [
                Arm("t5", f"{module}:t5_from_text", given, peer=True),
                Arm("ours", f"{module}:ours_from_text", given),
            ],
            rounds=5,
        )
    rows = [row(t, tokens["t5"], start="tokens") for t in tokens.values()]
    rows += [
        row(t, single["t5"], start="tokens, a single pass")
        for t in single.values()
    ]
    rows += [row(t, text["t5"], start="text") for t in text.values()]
    record(
        "corruption_speed",
        rows,
        timings=tokens
        | {f"single pass {k}": t for k, t in single.items()}
        | {f"text {k}": t for k, t in text.items()},
        notes=[
            f"{size['documents']:,} docstrings, {size['tokens']:,} tokens; "
            f"units are examples of 512/114 tokens in batches of {ROWS}; "
            f"{PASSES} passes unless said.",
            "A run starts one iterator; starting ours costs what a single pass "
            "of 35 batches shows.",
            "Ours shuffles the windows; with masking it draws the generator's "
            "positions too. The T5 library does neither.",
            "From text, ours also writes the store that later passes read.",
        ],
    )


if __name__ == "__main__":
    main()
