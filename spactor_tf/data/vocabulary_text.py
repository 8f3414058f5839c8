"""SentencePiece for a vocabulary: what its trainer reads and says, and readers.

Which ids mean what is the business of `vocabulary.py`.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Set
from typing import Any

from sentencepiece import SentencePieceProcessor, set_min_log_level
from sentencepiece import sentencepiece_model_pb2 as _proto

from runkit import InputError
from spactor_tf.config.model import NUM_RESERVED_ROWS

# Generated at import time, so no type checker knows it.
ModelProto: Any = vars(_proto)["ModelProto"]
SPACE = "\u2581"  # Stands for a space in pieces.
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


def parse_model(proto: bytes, source: str) -> Any:
    """Reads a model and checks that ids 0, 1, 2 mean what they do in T5."""
    model = ModelProto()
    try:
        model.ParseFromString(proto)
    except Exception:  # The protobuf error class differs between versions.
        model.Clear()
    # Bytes that are no UTF-8 stay bytes.
    names = [piece.piece for piece in model.pieces]
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError("is not a SentencePiece model", where=source)
    try:
        set_min_log_level(2)
        SentencePieceProcessor(model_proto=proto)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"is not a whole SentencePiece model ({error})", where=source
        ) from None
    pieces = [piece.piece for piece in model.pieces[:3]]
    expected = ["<pad>", "</s>", "<unk>"]
    if pieces != expected:
        raise InputError(
            "lacks T5's control ids",
            where=source,
            got=pieces,
            expected=f"{expected} as ids 0, 1, 2",
            remedy="Train it with pad_id=0, eos_id=1, unk_id=2, bos_id=-1",
        )
    return model


def add_space_marks(model: Any, names: Set[str]) -> bool:
    """Lets special tokens begin with a space, where every word does.

    Without it, SentencePiece reads the space before a sentinel, also the one
    that it puts before a text itself, as a piece of its own. T5 never saw that
    piece: its library, seqio, adds the sentinels with the mark.

    Args:
        model: `sentencepiece_model_pb2.ModelProto`, changed in place.
        names: of the special tokens, without the mark.

    Returns:
        Whether the model puts a space before every text.
    """
    if (
        not model.normalizer_spec.add_dummy_prefix
        or model.trainer_spec.treat_whitespace_as_suffix
    ):
        return False
    taken = {piece.piece for piece in model.pieces}
    for piece in model.pieces:
        if piece.piece in names and SPACE + piece.piece not in taken:
            piece.piece = SPACE + piece.piece
    return True


@contextlib.contextmanager
def without_greeting() -> Iterator[None]:
    """Keeps a line about the normalizer off the screen, in the block.

    TensorFlow Text's own copy of SentencePiece writes it for each tokenizer
    whose text is read as it is, and has no setting for it. What else is written
    to the standard error in the block appears behind it.
    """
    sys.stderr.flush()
    try:
        screen = os.dup(2)
    except OSError:  # The process has none.
        yield
        return
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
            written.seek(0)
            for line in written:
                if b"precompiled_charsmap is empty" not in line:
                    os.write(2, line)


def text_reader(proto: bytes, spaced: bool = False) -> Any:
    """Returns a tensorflow_text tokenizer.

    Args:
        proto: the serialized SentencePiece model.
        spaced: whether its sentinels begin with a space. One that follows a
            word directly, as in `jel<extra_id_0>`, is given the space;
            SentencePiece alone would spell it out.
    """
    import tensorflow as tf
    import tensorflow_text

    if not spaced:
        with without_greeting():
            return tensorflow_text.SentencepieceTokenizer(model=proto)

    class Reader(tensorflow_text.SentencepieceTokenizer):
        def tokenize(self, input: Any, name: str | None = None) -> Any:
            apart = tf.strings.regex_replace(
                input, r"([^ ])(<extra_id_[0-9]|<mask>)", r"\1 \2"
            )
            return super().tokenize(apart, name)

    with without_greeting():
        return Reader(model=proto)
