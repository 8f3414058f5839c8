"""The vocabulary of a corpus, trained once on a sample of it."""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence

from runkit import InputError, Progress
from spactor_tf.config.pretrain import DataConfig, PretrainConfig
from spactor_tf.data.sources import Source
from spactor_tf.data.tokens.preparation import is_held_out
from spactor_tf.data.vocabulary import Vocabulary, train_vocabulary
from spactor_tf.data.vocabulary_text import NoTextError

Sources = Sequence[tuple[Source, float]]  # With their weights.


def too_little(what: str, source: Source, held: str = "") -> InputError:
    """The error for a corpus without documents, with what was read."""
    found = source.reading()
    skipped = ", ".join(f"{n} {why}" for why, n in found["skipped"].items())
    return InputError(
        what,
        where=f"--dataset, {source.spec}",
        got=f"{found['files']} files of {found['bytes']} bytes, "
        f"{found['documents']} documents{held}; skipped: {skipped}",
        expected="documents in the train and the held-out part",
        remedy="Take more documents or another data.holdout_fraction; "
        "text:GLOB:lines and text:GLOB:blank_lines make many documents of a "
        "file. Text in another encoding is converted by "
        "`iconv -f latin1 -t utf-8`",
    )


def check_sides(sources: Sources, fraction: float) -> None:
    """Refuses a source that has nothing to train on, or nothing held out.

    Of each it reads the first documents alone, some fifty at the default
    fraction: before hours of tokenization of the sources before it.

    Args:
        sources: of a mixture.
        fraction: share of the held-out documents.

    Raises:
        InputError: such a source, or one that cannot be read.
    """
    for source, _ in sources:
        missing = {False: "train", True: "heldout"}
        for text in source:
            missing.pop(is_held_out(text, fraction), None)
            if not missing:
                break
        else:
            raise too_little(
                "the corpus holds no document"
                if len(missing) > 1
                else f"no document fell into the {[*missing.values()][0]} part",
                source,
            )


def corpus_vocabulary(
    config: PretrainConfig, sources: Sources, cache: pathlib.Path
) -> Vocabulary:
    """Returns the vocabulary that a configuration names.

    Args:
        config: of the run.
        sources: the sources that it is trained on, if there is none yet.
        cache: where trained ones are kept.

    Raises:
        InputError: it cannot be read, or the sources are too small.
    """
    data = config.data
    if data.vocabulary != "train":
        return Vocabulary.load(data.vocabulary)
    fingerprints = [source.fingerprint for source, _ in sources]
    shares = [weight for _, weight in sources]
    rows = config.model.vocabulary_size
    key = hashed(
        *([fingerprints, shares] if shares[1:] else fingerprints),
        rows,
        data.vocabulary_sample_characters,
        data.holdout_fraction,
    )
    if data.character_coverage != DataConfig.character_coverage:
        key = hashed(key, data.character_coverage)
    path = cache / f"vocabulary-{key}.model"
    if not path.is_file():
        sample = _Sample(
            sources, data.vocabulary_sample_characters, data.holdout_fraction
        )
        print(
            f"training a vocabulary of {rows} rows on at most "
            f"{sample.characters:,} characters",
            file=sys.stderr,
        )
        try:
            trained = train_vocabulary(sample, rows, data.character_coverage)
        except NoTextError as error:
            held = f", {sample.held_out} held out"
            raise too_little(error.what, sources[0][0], held) from None
        trained.save(path)
    return Vocabulary.load(path)


class _Sample:
    """First documents of the sources' train parts, in their shares.

    Attributes:
        characters: bound of the sample.
        kept: documents of the last pass.
        held_out: documents that it passed over.
    """

    def __init__(self, sources: Sources, characters: int, fraction: float):
        self.characters = characters
        self.kept = self.held_out = 0
        total = sum(weight for _, weight in sources)
        self._parts = [(s, characters * w / total) for s, w in sources]
        self._fraction = fraction

    def __iter__(self) -> Iterator[str]:
        self.kept = self.held_out = 0
        progress = Progress(self.characters, "characters", "reading a sample")
        before = 0
        for source, bound in self._parts:
            taken = 0
            for text in source:
                if is_held_out(text, self._fraction):
                    self.held_out += 1
                    continue
                self.kept += 1
                taken += len(text)
                yield text
                progress.update(min(before + taken, self.characters))
                if taken >= bound:
                    break
            before += taken


def hashed(*parts: object) -> str:
    """Returns a name of what has been made from these parts."""
    text = json.dumps(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
