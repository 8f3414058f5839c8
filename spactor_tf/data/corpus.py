"""From a dataset specification to a vocabulary and tokens, prepared once.

Results are cached under a hash of what they were made from, so another run on
the same data starts at once.

    CACHE/vocabulary-<hash>.model
    CACHE/tokens-<hash>/{train,heldout}/
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator

from runkit import write_json
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.sources import Source
from spactor_tf.data.token_store import TokenStore, is_held_out, prepare
from spactor_tf.data.vocabulary import Vocabulary, train_vocabulary


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A prepared corpus.

    Attributes:
        vocabulary: of the tokens.
        train: tokens to train on.
        heldout: tokens to evaluate on; no document is in both.
    """

    vocabulary: Vocabulary
    train: TokenStore
    heldout: TokenStore


def default_cache_dir() -> pathlib.Path:
    """Returns the user's cache folder for prepared corpora."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "spactor_tf"


def prepare_corpus(
    config: PretrainConfig,
    cache_dir: str | os.PathLike | None = None,
    vocabulary: Vocabulary | None = None,
) -> Corpus:
    """Reads, tokenizes and splits the dataset of a run, or reuses it.

    Args:
        config: names the dataset and the vocabulary.
        cache_dir: where prepared corpora are kept.
        vocabulary: of the weights that the run starts from; None loads or
            trains the one that the configuration names.

    Raises:
        InputError: the dataset cannot be read or is too small.
    """
    cache = pathlib.Path(cache_dir or default_cache_dir())
    data = config.data
    source = Source(data.dataset, data.invalid_utf8, data.max_documents)
    if vocabulary is None:
        vocabulary = _vocabulary(config, source, cache)
    vocabulary.check_rows(config.model.vocabulary_size, "model.vocabulary_size")
    key = _key(
        source.fingerprint, vocabulary.fingerprint, data.holdout_fraction
    )
    folder = cache / f"tokens-{key}"
    stores = prepare(
        source, vocabulary, folder, holdout_fraction=data.holdout_fraction
    )
    _tell_skipped(source, folder)
    return Corpus(vocabulary, stores["train"], stores["heldout"])


def _vocabulary(
    config: PretrainConfig, source: Source, cache: pathlib.Path
) -> Vocabulary:
    data = config.data
    if data.vocabulary != "train":
        return Vocabulary.load(data.vocabulary)
    rows = config.model.vocabulary_size
    key = _key(
        source.fingerprint,
        rows,
        data.vocabulary_sample_characters,
        data.holdout_fraction,
    )
    path = cache / f"vocabulary-{key}.model"
    if not path.is_file():
        print(f"training a vocabulary of {rows} rows", file=sys.stderr)
        sample = _sample(
            source, data.vocabulary_sample_characters, data.holdout_fraction
        )
        train_vocabulary(sample, rows).save(path)
    return Vocabulary.load(path)


def _sample(
    source: Source, characters: int, holdout_fraction: float
) -> Iterator[str]:
    """Yields the first documents of the train split, up to `characters`."""
    taken = 0
    for text in source:
        if is_held_out(text, holdout_fraction):
            continue
        taken += len(text)
        yield text
        if taken >= characters:
            return


def _tell_skipped(source: Source, folder: pathlib.Path) -> None:
    skipped = source.report.invalid_utf8
    for where, count in skipped.items():
        print(
            f"warning: {where}: skipped {count} document(s) that are not UTF-8",
            file=sys.stderr,
        )
    if skipped:
        write_json(folder / "skipped.json", skipped)


def _key(*parts: object) -> str:
    text = json.dumps(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
