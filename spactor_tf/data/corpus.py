"""From a dataset specification to a vocabulary and tokens, prepared once.

Results are cached under a hash of what they were made from, so another run on
the same data starts at once.

    CACHE/vocabulary-<hash>.model
    CACHE/tokens-<hash>/{train,heldout}/
    CACHE/tokens-<hash>/reading.json        what was read and skipped

A cache at a URL holds the tokens alone; see `spactor_tf.data.tokens.published`.

A run keeps `corpus.json` (that, and the hash of every file) and the vocabulary
in its folder, and goes on with no other corpus unless it is told to.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from runkit import InputError, read_json, write_json
from runkit.datasets.inputs import answering
from runkit.files import as_path, changes, read_record, url_scheme
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.corpus_vocabulary import (
    Sources,
    check_sides,
    corpus_vocabulary,
    hashed,
    too_little,
)
from spactor_tf.data.sources import NOT_UTF_8, Source, weighted_parts
from spactor_tf.data.tokens.mixture import MixedStore, turns_in_a_round
from spactor_tf.data.tokens.preparation import SPLITS, EmptySplit, prepare
from spactor_tf.data.tokens.published import published_stores
from spactor_tf.data.tokens.store import (
    FIRST_LAYOUT,
    LAYOUT,
    StoreLayout,
    TokenStore,
)
from spactor_tf.data.vocabulary import Vocabulary

_RECORD, _VOCABULARY = "corpus.json", "vocabulary.model"
_CONFIG = "config.json"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A prepared corpus.

    Attributes:
        vocabulary: of the tokens.
        train: tokens to train on.
        heldout: tokens to evaluate on; no document is in both.
        reading: what was read, kept, held out and skipped.
        content: hash of each file; see `Source.content`.
        layout: of the stores, which the order of the windows depends on.
    """

    vocabulary: Vocabulary
    train: TokenStore | MixedStore
    heldout: TokenStore | MixedStore
    reading: dict[str, Any] = dataclasses.field(default_factory=dict)
    content: dict[str, Any] = dataclasses.field(default_factory=dict)
    layout: StoreLayout = LAYOUT

    def record(self, folder: pathlib.Path) -> None:
        """Writes the corpus's identity into the folder of a run."""
        folder.mkdir(parents=True, exist_ok=True)
        self.vocabulary.save(folder / _VOCABULARY)
        record = {
            "reading": self.reading,
            "content": self.content,
            "vocabulary": self.vocabulary.fingerprint,
            "layout": dataclasses.asdict(self.layout),
        }
        write_json(folder / _RECORD, record)


def local_cache(cache_dir: str | os.PathLike | None) -> pathlib.Path:
    """Returns the local folder that belongs to a `cache_dir`.

    Args:
        cache_dir: itself if it is local; of a URL and of None it is the user's
            cache folder.
    """
    if cache_dir and not url_scheme(cache_dir):
        return pathlib.Path(cache_dir)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = pathlib.Path(base) if base else pathlib.Path.home() / ".cache"
    except RuntimeError as error:
        raise InputError(
            f"has no default ({error})",
            where="--cache_dir",
            remedy="Give --cache_dir=DIR",
        ) from None
    return folder / "spactor_tf"


def prepare_corpus(
    config: PretrainConfig,
    cache_dir: str | os.PathLike | None = None,
    vocabulary: Vocabulary | None = None,
    *,
    run_folder: str | os.PathLike | None = None,
    accept_changed: bool = False,
) -> Corpus:
    """Reads, tokenizes and splits the dataset of a run, or reuses it.

    Args:
        config: names the dataset and the vocabulary.
        cache_dir: where prepared corpora are kept. Of a URL the tokens are
            published there and read from there.
        vocabulary: of the weights that the run starts from; None loads or
            trains the one that the configuration names.
        run_folder: of the run, which may have a corpus already.
        accept_changed: go on with another corpus than the run's, but with the
            run's vocabulary.

    Raises:
        InputError: the dataset cannot be read, is too small, or is not that
            of the run.
    """
    cache = local_cache(cache_dir)
    url = os.fspath(cache_dir or "").rstrip("/")
    url = url if url_scheme(url) else ""
    data = config.data
    parts = weighted_parts(data.dataset)
    weights = [weight for _, weight in parts]
    turns_in_a_round(weights)  # Refuses some, before hours of tokenization.
    sources = [
        (Source(spec, data.invalid_utf8, data.max_documents), weight)
        for spec, weight in parts
    ]
    before = {}
    if run_folder is not None:
        before = read_record(pathlib.Path(run_folder) / _RECORD, "a corpus")
    content = _content(sources, before.get("content"))
    if differences := changes(before.get("content", content), content):
        if not accept_changed:
            raise InputError(
                "is not the corpus that this run was trained on",
                where="--dataset",
                got="; ".join(differences),
                remedy="Restore it, take another --output_dir, or go on with "
                "the other text by --accept_changed_corpus",
            )
        print(f"warning: {'; '.join(differences)}", file=sys.stderr)
    if len(sources) > 1:
        check_sides(sources, data.holdout_fraction)
    if before and accept_changed and vocabulary is None and run_folder:
        vocabulary = Vocabulary.load(pathlib.Path(run_folder) / _VOCABULARY)
    if vocabulary is None:
        vocabulary = corpus_vocabulary(config, sources, cache)
    if not vocabulary.has_fingerprint(
        before.get("vocabulary", vocabulary.fingerprint)
    ):
        raise InputError(
            "is not the vocabulary that this run was trained with",
            where="--vocabulary",
            got=data.vocabulary,
            remedy=f"Give --vocabulary={run_folder}/{_VOCABULARY}, or take "
            "another --output_dir",
        )
    vocabulary.check_rows(config.model.vocabulary_size, "model.vocabulary_size")
    layout = _layout(before, run_folder)
    prepared = [
        _prepared(config, source, vocabulary, layout, cache, url)
        for source, _ in sources
    ]
    stores, readings = zip(*prepared, strict=True)
    if len(sources) == 1:
        train, heldout = (stores[0][split] for split in SPLITS)
        return Corpus(vocabulary, train, heldout, readings[0], content, layout)
    train, heldout = (
        MixedStore([store[split] for store in stores], weights)
        for split in SPLITS
    )
    reading = {
        "dataset": data.dataset,
        "documents": sum(reading["documents"] for reading in readings),
        "parts": list(readings),
    }
    return Corpus(vocabulary, train, heldout, reading, content, layout)


def _prepared(
    config: PretrainConfig,
    source: Source,
    vocabulary: Vocabulary,
    layout: StoreLayout,
    cache: pathlib.Path,
    url: str,
) -> tuple[dict[str, TokenStore], dict[str, Any]]:
    """The stores of one source, and what was read for them."""
    fraction = config.data.holdout_fraction
    parts = [source.fingerprint, vocabulary.fingerprint, fraction]
    if layout.shard_tokens != FIRST_LAYOUT.shard_tokens:
        parts.append(layout.shard_tokens)
    name = f"tokens-{hashed(*parts)}"
    folder = cache / name
    at_home = functools.partial(
        prepare,
        _recorded(source, folder),
        vocabulary,
        folder,
        holdout_fraction=fraction,
        layout=layout,
    )
    try:
        if url:
            stores = published_stores(
                f"{url}/{name}", folder, at_home, layout.mixed_shards
            )
            folder = as_path(f"{url}/{name}")
        else:
            stores = at_home()
    except EmptySplit as error:
        raise too_little(error.what, source) from None
    for store in stores.values():
        store.dataset = source.spec
    with answering():
        reading = _reading(source, folder, stores)
    _tell(reading)
    return stores, reading


def _content(sources: Sources, before: dict[str, Any] | None) -> dict[str, Any]:
    """Hash of each file of the sources; see `Source.content`."""
    found: dict[str, Any] = {}
    for source, _ in sources:
        content = source.content(before)
        without_files = content.get("dataset", {}).keys() == {"sha256"}
        if len(sources) > 1 and without_files:
            content = {source.spec: content["dataset"]}
        found |= content
    return found


def _layout(
    record: dict[str, Any], run_folder: str | os.PathLike | None
) -> StoreLayout:
    """The layout of a run's stores: its own, or today's for a new run.

    Raises:
        InputError: the record has another form.
    """
    if run_folder is None or not record:
        is_run = run_folder and (pathlib.Path(run_folder) / _CONFIG).is_file()
        return FIRST_LAYOUT if is_run else LAYOUT
    try:
        known = record.get("layout", dataclasses.asdict(FIRST_LAYOUT))
        return StoreLayout(**known)
    except TypeError:
        raise InputError(
            "is not the layout of a token store",
            where=f"{run_folder}/{_RECORD}",
            got=record["layout"],
            remedy="Continue the run with the version that began it",
        ) from None


def _recorded(source: Source, folder: pathlib.Path) -> Iterator[str]:
    """Yields the documents; behind the last one writes what was met."""
    yield from source
    source.check_unchanged()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "reading.json", source.reading())


def _reading(
    source: Source, folder: pathlib.Path, stores: dict[str, TokenStore]
) -> dict[str, Any]:
    """What was read when the stores were made, now or in an earlier run."""
    path = folder / "reading.json"
    # An earlier version kept nothing but the files with skipped documents.
    found = read_json(path) if path.is_file() else {"dataset": source.spec}
    kept = {split: store.num_documents for split, store in stores.items()}
    return {**found, "documents": sum(kept.values()), "kept": kept}


def _tell(reading: dict[str, Any]) -> None:
    """Says what was read, kept, held out and skipped."""
    kept, skipped = reading["kept"], reading.get("skipped", {})
    print(
        f"corpus: {reading.get('files', '?')} files of "
        f"{reading.get('bytes', 0):,} bytes, "
        f"{reading['documents']:,} documents: "
        f"{kept['train']:,} to train on, {kept['heldout']:,} held out; "
        "skipped: "
        + ", ".join(f"{count:,} {why}" for why, count in skipped.items()),
        file=sys.stderr,
    )
    for name, file in list(reading.get("by_file", {}).items()):
        if file[NOT_UTF_8]:
            print(
                f"warning: {name}: skipped {file[NOT_UTF_8]} document(s) that "
                f"are not UTF-8 and kept {file['documents']}",
                file=sys.stderr,
            )
