"""The vocabulary: the only module that knows what each id means.

A vocabulary is a SentencePiece model in T5's layout (pad 0, EOS 1, unknown 2)
with the special tokens of this project appended as pieces of the model itself,
so that any SentencePiece reader understands them in text:

    ids 0 .. n-1      the pieces of the base model
    ids n .. n+99     <extra_id_99> .. <extra_id_0>, T5's descending order
    id  n+100         <mask>, read by the generator only

`sentinel_ids[i]` is the id of `<extra_id_i>`, that of the i-th noise span. A
base model keeps its own ids for them. Where the model puts a space before every
text (`add_dummy_prefix`, as in T5), special tokens carry the mark of a space:
the space before a sentinel is part of it, as in T5.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from sentencepiece import SentencePieceTrainer

from runkit import InputError, atomic_write
from runkit.files import open_bytes
from spactor_tf.config.model import NUM_RESERVED_ROWS, NUM_SENTINELS
from spactor_tf.data.vocabulary_text import (
    MAX_SENTENCE_BYTES,
    SPACE,
    ModelProto,
    TooManyCharactersError,
    add_space_marks,
    frequent_characters,
    parse_model,
    sentences,
    text_reader,
    training_error,
)

_Piece = ModelProto.SentencePiece
PAD_ID, EOS_ID, UNK_ID = 0, 1, 2
MASK_PIECE = "<mask>"


def sentinel_piece(index: int) -> str:
    """Returns the text of the sentinel of noise span `index`."""
    return f"<extra_id_{index}>"


class Vocabulary:
    """Text to ids and back.

    Attributes:
        proto: the serialized SentencePiece model, special tokens included.
        size: number of pieces, special tokens included; ids are below it.
        pad_id: 0, also the first decoder input, as in T5.
        eos_id: 1, ends documents, inputs and targets.
        unk_id: 2.
        mask_id: what the generator reads in place of a masked token.
        sentinel_ids: [100] int32, ids of `<extra_id_0>`, `<extra_id_1>`, ...
        fingerprint: SHA-256 of `proto`; compare by `has_fingerprint`.
    """

    pad_id, eos_id, unk_id = PAD_ID, EOS_ID, UNK_ID

    def __init__(self, proto: bytes, source: str = "vocabulary"):
        model = parse_model(proto, source)
        known = {piece.piece.removeprefix(SPACE) for piece in model.pieces}
        special = [sentinel_piece(i) for i in reversed(range(NUM_SENTINELS))]
        for name in [*special, MASK_PIECE]:
            if name not in known:
                kind = _Piece.USER_DEFINED
                model.pieces.add(piece=name, score=0.0, type=kind)
        model.trainer_spec.vocab_size = len(model.pieces)
        self._unmarked = _fingerprint(model)
        self._spaced = add_space_marks(model, {*special, MASK_PIECE})
        ids = {
            piece.piece.removeprefix(SPACE): i
            for i, piece in enumerate(model.pieces)
            if piece.piece.startswith((SPACE + "<", "<"))
        }
        self.proto: bytes = model.SerializeToString(deterministic=True)
        self.size = len(model.pieces)
        self.mask_id = ids[MASK_PIECE]
        self.sentinel_ids = np.array(
            [ids[sentinel_piece(i)] for i in range(NUM_SENTINELS)], np.int32
        )
        self.fingerprint = _fingerprint(model)
        self._model = model

    @classmethod
    def load(cls, path: str | os.PathLike) -> Vocabulary:
        """Reads a SentencePiece model file such as T5's `spiece.model`.

        Raises:
            InputError: no file, or no SentencePiece model of T5's layout.
        """
        try:
            with open_bytes(path) as handle:
                proto = handle.read()
        except OSError as error:
            raise InputError(
                f"cannot be read ({error.strerror or error})", where=str(path)
            ) from None
        return cls(proto, str(path))

    def has_fingerprint(self, fingerprint: object) -> bool:
        """Whether this vocabulary is the one that a file names.

        Earlier files name it as it was without the marks of a space; no id and
        no token of a corpus has changed with them.
        """
        return fingerprint in (self.fingerprint, self._unmarked)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the model, special tokens included, atomically."""
        with atomic_write(path, "wb") as handle:
            handle.write(self.proto)

    @property
    def special_ids(self) -> np.ndarray:
        """Ids that are never text: [n] int32.

        Pad, EOS, mask, sentinels and unused pieces. They are neither masked
        nor sampled as replacements.
        """
        control = [self.pad_id, self.eos_id, self.mask_id]
        pieces = enumerate(self._model.pieces)
        unused = [i for i, piece in pieces if piece.type == _Piece.UNUSED]
        ids = np.concatenate([control, self.sentinel_ids, unused])
        return ids.astype(np.int32)

    @property
    def model_proto(self) -> Any:
        """The `sentencepiece_model_pb2.ModelProto`; not to be changed."""
        return self._model

    def padded(self, rows: int) -> Vocabulary:
        """Returns this vocabulary with unused pieces up to `rows`.

        For readers that look up every id a model can generate: an embedding
        has a few more rows than there are pieces.
        """
        model = ModelProto()
        model.CopyFrom(self._model)
        for index in range(len(model.pieces), rows):
            model.pieces.add(
                piece=f"<unused_{index}>", score=0.0, type=_Piece.UNUSED
            )
        return Vocabulary(model.SerializeToString(deterministic=True))

    @functools.cached_property
    def tokenizer(self) -> Any:
        """tensorflow_text tokenizer that reads `<extra_id_i>` as sentinels."""
        return self.new_tokenizer()

    def new_tokenizer(self) -> Any:
        """`tokenizer` with a resource of its own, for a graph to keep."""
        return text_reader(self.proto, spaced=self._spaced)

    @functools.cached_property
    def corpus_tokenizer(self) -> Any:
        """tensorflow_text tokenizer that never reads text as a sentinel.

        For raw text: a corpus that happens to contain the characters
        `<extra_id_0>` must not put sentinels into the examples.
        """
        base = ModelProto()
        base.CopyFrom(self._model)
        for index in {self.mask_id, *self.sentinel_ids.tolist()}:
            base.pieces[index].type = _Piece.UNUSED
        return text_reader(base.SerializeToString(deterministic=True))

    def _run(self, name: str, operation: Callable[[Any], Any]) -> Any:
        """Applies `operation` to a tokenizer, rebuilding it if it was lost.

        Setting a global seed clears TensorFlow's kernels, and with them the
        resources of all existing tokenizers.
        """
        import tensorflow as tf

        try:
            return operation(getattr(self, name))
        except tf.errors.NotFoundError:
            del self.__dict__[name]
            return operation(getattr(self, name))

    def encode(self, texts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Returns int32 ids per text, without EOS; sentinels are read."""
        ragged = self._run(
            "tokenizer", lambda t: t.tokenize(np.array(texts, object))
        )
        ends = ragged.row_splits.numpy()[1:]
        return np.split(ragged.flat_values.numpy(), ends)[:-1]

    def encode_corpus(
        self, texts: Sequence[str | bytes]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokenizes documents and appends EOS to each.

        Returns:
            (tokens [total] int32, document lengths [documents] int64, EOS
            included).
        """
        import tensorflow as tf

        ragged = self._run(
            "corpus_tokenizer", lambda t: t.tokenize(np.array(texts, object))
        )
        end = tf.fill([ragged.nrows(), 1], tf.constant(self.eos_id, tf.int32))
        ragged = tf.concat([ragged, end], axis=1)
        return ragged.flat_values.numpy(), ragged.row_lengths().numpy()

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Returns the text of ids.

        Pad and EOS give no text, and neither do the spare rows of an
        embedding, which a barely trained model may well predict.
        """
        silent = (self.pad_id, self.eos_id)
        kept = [int(i) for i in ids if 0 <= i < self.size and i not in silent]
        if not kept:
            return ""
        text = self._run("tokenizer", lambda t: t.detokenize([kept]))
        return text.numpy()[0].decode("utf-8")

    def pieces(self, ids: Iterable[int] | np.ndarray) -> list[str]:
        """Returns the piece of each id, for display."""
        return [
            self._model.pieces[i].piece.replace(SPACE, " ")
            if 0 <= i < self.size
            else f"<{i}>"
            for i in (int(i) for i in ids)
        ]

    def check_rows(self, rows: int, where: str) -> None:
        """Raises InputError if an embedding of `rows` rows is too small."""
        if rows < self.size:
            raise InputError(
                "has fewer rows than the vocabulary has pieces",
                where=where,
                got=rows,
                expected=f"at least {self.size}",
                remedy=f"Give --set=model.vocabulary_size={self.size} or more",
            )


COVERAGE = 0.9995  # SentencePiece's default.


def train_vocabulary(
    texts: Iterable[str], rows: int, character_coverage: float = COVERAGE
) -> Vocabulary:
    """Trains a lossless unigram SentencePiece model.

    Identity normalization, unchanged white space and byte fallback make
    `decode(encode(text)) == text` for every text that does not contain
    SentencePiece's own space mark U+2581.

    Args:
        texts: documents.
        rows: rows of the embedding that it must fit into; 128 of them are
            reserved for special tokens, as in T5.
        character_coverage: share of the characters that get pieces.

    Raises:
        InputError: the corpus is empty or too small for that many pieces;
            also what `texts` itself raises.
    """
    if iter(texts) is texts:
        texts = list(texts)  # They may be read more than once.
    try:
        return _train(texts, rows, character_coverage)
    except TooManyCharactersError:
        # The rare ones are read as bytes, and need no piece.
        if not (characters := frequent_characters(texts, rows)):
            raise
        return _train(texts, rows, character_coverage, characters)


def _train(
    texts: Iterable[str],
    rows: int,
    character_coverage: float,
    characters: set[str] | None = None,
) -> Vocabulary:
    """Trains on the given characters alone; fewer pieces may come of it."""
    buffer = io.BytesIO()
    failure: list[BaseException] = []
    options: dict[str, Any] = {}
    if character_coverage != COVERAGE:
        # Naming the default would change the bytes, and the fingerprint.
        options["character_coverage"] = character_coverage
    try:
        SentencePieceTrainer.train(
            sentence_iterator=sentences(texts, failure, characters),
            model_writer=buffer,
            vocab_size=rows - NUM_RESERVED_ROWS,
            model_type="unigram",
            byte_fallback=True,
            **options,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,  # It would swallow leading spaces.
            allow_whitespace_only_pieces=True,
            max_sentence_length=MAX_SENTENCE_BYTES,
            bos_id=-1,
            pad_id=PAD_ID,
            eos_id=EOS_ID,
            unk_id=UNK_ID,
            pad_piece="<pad>",
            eos_piece="</s>",
            unk_piece="<unk>",
            hard_vocab_limit=characters is None,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        if failure:
            raise failure[0] from None
        raise training_error(str(error), rows) from None
    return Vocabulary(buffer.getvalue(), "trained vocabulary")


def _fingerprint(model: Any) -> str:
    proto = model.SerializeToString(deterministic=True)
    return hashlib.sha256(proto).hexdigest()
