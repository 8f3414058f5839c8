"""Texts of a corpus: which are copies of each other, and their embeddings.

A corpus is read from its beginning for each purpose, text by text, and is
never in memory as a whole.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from al_tf.inputs.ids import ExampleIds, arrow_array, ids_of, sorted_rows
from runkit import InputError
from runkit.datasets.specification import parse
from runkit.datasets.texts import open_texts

_DIGEST_BYTES = 16
_BLOCK_TEXTS = 1024


class Corpus:
    """The texts that a specification names, in their order.

    Args:
        spec: see `runkit.datasets.specification`.
        id_column: field of the ids; "" for none.
        where: flag of the specification, for messages.

    Raises:
        InputError: see `runkit.datasets.open_texts`.
    """

    def __init__(
        self, spec: str, id_column: str = "", where: str = "--dataset"
    ):
        self.spec, self._where, self._has_ids = spec, where, bool(id_column)
        self._texts = open_texts(spec, where=where, id_field=id_column)

    def __iter__(self) -> Iterator[str]:
        for record in self._texts.records():
            assert record.text is not None  # What is not UTF-8 is refused.
            yield record.text

    def ids(self) -> ExampleIds | None:
        """Reads the ids; None without any.

        Raises:
            InputError: an id that occurs twice, both texts and numbers.
        """
        if not self._has_ids:
            return None
        values = arrow_array([record.id for record in self._texts.records()])
        # csv does not tell texts from numbers.
        is_typed = parse(self.spec).kind not in ("csv", "tsv")
        ids = ExampleIds(ids_of(values, self._where), is_typed)
        sorted_rows(ids.settled(), self._where)
        return ids

    def copies(self) -> np.ndarray:
        """Finds texts that are equal, character by character.

        They are told apart by 128-bit digests (BLAKE2b), 16 bytes a text.

        Returns:
            `[n]` int64 the number of the first text equal to each.

        Raises:
            InputError: the corpus is empty.
        """
        digests = b"".join(
            hashlib.blake2b(
                text.encode("utf-8"), digest_size=_DIGEST_BYTES
            ).digest()
            for text in self
        )
        if not digests:
            raise InputError("holds no texts", where=self._where, got=self.spec)
        words = np.frombuffer(digests, np.uint64).reshape(-1, 2)
        order = np.lexsort(words.T)
        same = (words[order[1:]] == words[order[:-1]]).all(1)
        starts = np.append(0, np.flatnonzero(~same) + 1)
        lengths = np.diff(starts, append=len(order))
        owner = np.empty(len(order), np.int64)
        # The sort keeps equal texts in their order.
        owner[order] = np.repeat(order[starts], lengths)
        return owner

    def embed(
        self, encode: Callable[[Sequence[str]], np.ndarray]
    ) -> np.ndarray:
        """Embeds the texts block by block.

        Args:
            encode: from texts to `[texts, d]` float32.

        Returns:
            `[n, d]` float32.

        Raises:
            InputError: the corpus is empty.
        """
        vectors = [encode(block) for _, block in self.blocks()]
        if not vectors:
            raise InputError("holds no texts", where=self._where, got=self.spec)
        return np.concatenate(vectors)

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        """Yields (number of the first text, some consecutive texts)."""
        source, first = iter(self), 0
        while block := list(itertools.islice(source, _BLOCK_TEXTS)):
            yield first, block
            first += len(block)
