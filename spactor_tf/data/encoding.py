"""From text to what a T5 reads: tokenize, cut, end with EOS, pad.

One rule for every input and target, in Python (`encode_texts`) and in a
TensorFlow graph (`encode_in_graph`): the first `length - 1` tokens of a text,
then EOS; shorter rows are padded with 0. Sentinels in a text are read as
sentinels. The corpus of pre-training is not cut and has its own reader,
`Vocabulary.encode_corpus`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from runkit.checks import check_texts
from spactor_tf.data.vocabulary import EOS_ID, PAD_ID, Vocabulary

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_text


@dataclasses.dataclass(frozen=True)
class TokenRows:
    """Token sequences of different lengths, stored one after another.

    Attributes:
        flat: [tokens] uint16 or int32.
        starts: [rows + 1] int64, where each row begins in `flat`.
        truncated: number of rows that were cut.
    """

    flat: np.ndarray
    starts: np.ndarray
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self, index: np.ndarray | None = None) -> np.ndarray:
        """Returns the lengths of rows `index`, [n] int64; None: of all."""
        rows = slice(None) if index is None else index
        return self.starts[1:][rows] - self.starts[:-1][rows]

    def row(self, index: int) -> np.ndarray:
        """Returns one row without padding, [length] int32."""
        ids = self.flat[self.starts[index] : self.starts[index + 1]]
        return ids.astype(np.int32)

    def padded(
        self, length: int, index: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns rows as one matrix.

        Args:
            length: columns, at least as many as the longest row has tokens.
            index: [n] numbers of the rows; None returns all of them.

        Returns:
            [n, length] int32, padded with 0.
        """
        numbers = range(len(self)) if index is None else index
        tokens = np.full((len(numbers), length), PAD_ID, np.int32)
        for target, number in zip(tokens, numbers, strict=True):
            ids = self.flat[self.starts[number] : self.starts[number + 1]]
            target[: len(ids)] = ids
        return tokens


def encode_texts(
    vocabulary: Vocabulary, texts: Sequence[str], length: int | None = None
) -> TokenRows:
    """Returns the tokens of texts, each ended by EOS.

    Args:
        vocabulary: of the model that reads the tokens.
        texts: any, also none.
        length: most tokens of a row, EOS included; the rest of a text is cut
            off. None cuts nothing.

    Raises:
        InputError: not a sequence of texts.
    """
    check_texts(texts)
    whole = vocabulary.encode(texts) if len(texts) else []
    room = None if length is None else length - 1
    rows = [np.append(ids[:room], EOS_ID) for ids in whole]
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    kind = np.uint16 if vocabulary.size <= 1 << 16 else np.int32
    flat = np.concatenate(rows) if rows else np.zeros(0)
    truncated = sum(room is not None and len(ids) > room for ids in whole)
    return TokenRows(flat.astype(kind), starts, truncated)


def encode_in_graph(
    tokenizer: tensorflow_text.SentencepieceTokenizer,
    text: tf.Tensor,
    length: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`encode_texts` as TensorFlow ops, padded to the batch's longest row.

    Args:
        tokenizer: `Vocabulary.tokenizer`, or another of the same model.
        text: [batch] string.
        length: most tokens of a row, EOS included.

    Returns:
        (tokens [batch, longest] int32; mask of the same shape, 1 at a token
        and 0 at padding; truncated [batch] bool, whether a text was cut).
    """
    import tensorflow as tf

    ragged = tokenizer.tokenize(text)
    room = length - 1
    truncated = ragged.row_lengths() > room
    ragged = ragged[:, :room]
    end = tf.fill([ragged.nrows(), 1], EOS_ID)
    ragged = tf.concat([ragged, end], axis=1)
    mask = tf.ones_like(ragged).to_tensor(PAD_ID)
    return ragged.to_tensor(PAD_ID), mask, truncated
