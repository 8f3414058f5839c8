"""What the trainer of a vocabulary reads, and its errors in our words."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Iterator

from runkit import InputError
from spactor_tf.config.model import NUM_RESERVED_ROWS

MAX_SENTENCE_BYTES = 4096
MOST_UNSPACED = 1_000_000  # Characters; they take the trainer a minute.
_META_PIECES = 3 + 256  # Pad, EOS, unknown; the bytes.


class NoTextError(InputError):
    """The corpus holds no text to train a vocabulary on."""


class TooManyCharactersError(InputError):
    """The corpus has more characters than the vocabulary has pieces."""


def training_error(reason: str, rows: int) -> InputError:
    """Translates the trainer's message, which counts pieces, to rows."""
    where = "model.vocabulary_size"
    if "sentences_.empty()" in reason:
        return NoTextError(
            "the corpus holds no text to train a vocabulary on",
            where="--dataset",
            remedy="Give another dataset",
        )
    if most := re.search(r"value <= (\d+)", reason):
        fitting = int(most[1]) + NUM_RESERVED_ROWS
        return InputError(
            "the corpus is too small for so large a vocabulary",
            where=where,
            got=rows,
            expected=f"at most {fitting}",
            remedy=f"Take a larger corpus, or give --set={where}={fitting}",
        )
    if least := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return TooManyCharactersError(
            "the corpus has more characters than the vocabulary has pieces",
            where=where,
            got=rows,
            expected=f"at least {int(least[1]) + NUM_RESERVED_ROWS}",
            remedy=f"Give --set={where}=N",
        )
    return InputError(
        f"no vocabulary could be trained ({reason.strip()})",
        where=where,
        got=rows,
    )


def frequent_characters(texts: Iterable[str], rows: int) -> set[str]:
    """Returns the characters that get a piece where there are too many.

    They may take three quarters of the pieces; the others are read as bytes.
    """
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(text)
    room = max(0, rows - NUM_RESERVED_ROWS - _META_PIECES) * 3 // 4
    # Ties by code point: the same corpus gives the same vocabulary.
    ranked = sorted(counts, key=lambda char: (-counts[char], char))
    return set(ranked[:room])


def sentences(
    texts: Iterable[str],
    failure: list[BaseException],
    characters: set[str] | None = None,
) -> Iterator[str]:
    """Yields the lines of the texts, cut where the trainer would drop them.

    An error of `texts` is put into `failure`: the trainer would only report
    the line number in this file. Of lines that hold a word longer than a
    sentence may be, no more than `MOST_UNSPACED` characters are yielded.

    Args:
        texts: documents.
        failure: filled.
        characters: lines are cut at all others; None keeps all.
    """
    width = MAX_SENTENCE_BYTES // 4  # A character takes up to four bytes.
    unspaced = 0
    try:
        for text in texts:
            if characters is not None:
                text = "".join(c if c in characters else "\n" for c in text)
            for line in text.splitlines():
                if len(line) > width:
                    words = line.split()
                    is_unspaced = any(len(word) > width for word in words)
                    unspaced += is_unspaced * len(line)
                    if is_unspaced and unspaced > MOST_UNSPACED:
                        continue
                for start in range(0, len(line), width):
                    yield line[start : start + width].replace("\0", " ")
    except BaseException as error:
        failure.append(error)
        raise
