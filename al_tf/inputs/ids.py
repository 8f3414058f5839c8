"""Ids of examples: texts or whole numbers by which files are joined.

Inside the package an example is a row of its pool. Where files carry ids, the
pool's rows are in the order of the ids, whatever the order of the files is, and
every other file is joined to them by id.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from al_tf.inputs.checks import BadRows
from runkit import InputError
from runkit.datasets.labels import WHOLE_ID

_SHOWN = 5
_BLOCK_ROWS = 65536
# How programs write whole numbers: each in one way only.
_CANONICAL = r"^(0|-?[1-9][0-9]{0,18})$"


class ExampleIds:
    """Ids in the order of some rows.

    Args:
        values: Arrow array `[n]` of int64 or large_string, without nulls.
        is_typed: the source tells texts from numbers; csv does not.
    """

    def __init__(self, values: Any, is_typed: bool = True):
        self.values, self.is_typed = values, is_typed

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_text(self) -> bool:
        """Whether ids are texts; otherwise they are int64."""
        import pyarrow as pa

        return pa.types.is_large_string(self.values.type)

    @property
    def checksum(self) -> int:
        """CRC-32 of the ids in their order."""
        crc = zlib.crc32(str(self.values.type).encode())
        for start in range(0, len(self), _BLOCK_ROWS):
            block = self.values.slice(start, _BLOCK_ROWS).to_pylist()
            crc = zlib.crc32("".join(f"{i}\0" for i in block).encode(), crc)
        return crc

    def take(self, rows: np.ndarray) -> ExampleIds:
        """Returns the ids of some rows, in their order."""
        return ExampleIds(self.values.take(arrow_array(rows)), self.is_typed)

    def tolist(self) -> list[Any]:
        """Returns the ids as `int` or `str`."""
        return self.values.to_pylist()

    def settled(self) -> ExampleIds:
        """Returns ids whose kind is known: of csv, numbers where all are."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.is_typed or not self.is_text:
            return ExampleIds(self.values)
        fits = pc.match_substring_regex(self.values, _CANONICAL)
        if len(self) and pc.all(fits).as_py():
            with contextlib.suppress(pa.ArrowInvalid):  # Above 2**63.
                return ExampleIds(self.values.cast(pa.int64()))
        return ExampleIds(self.values)

    def like(self, pool: ExampleIds, where: str) -> ExampleIds:
        """Returns these ids as the pool writes its own.

        Args:
            pool: settled ids.
            where: file, for messages.

        Raises:
            InputError: texts here and numbers there, or the other way round.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.is_text == pool.is_text:
            return self
        if self.is_typed:
            kinds = ("whole numbers", "texts")
            raise InputError(
                "ids of another kind than the pool's",
                where=where,
                got=f"{kinds[self.is_text]}, such as {self.values[0].as_py()!r}"
                if len(self)
                else kinds[self.is_text],
                expected=kinds[pool.is_text],
                remedy="Write the ids of both files as texts, or both as "
                "whole numbers",
            )
        text = pc.utf8_trim_whitespace(self.values)
        fits = pc.match_substring_regex(text, f"^{WHOLE_ID}$")
        if not (pc.all(fits).as_py() or not len(text)):
            bad = text.filter(pc.invert(fits))
            raise InputError(
                f"{len(bad):,} ids are not whole numbers, but the pool's are: "
                f"{shown(bad.slice(0, _SHOWN).to_pylist(), len(bad))}",
                where=where,
            )
        # A spreadsheet may write 7 as 7.0.
        text = pc.replace_substring_regex(text, r"^\+|\.0+$", "")
        try:
            return ExampleIds(text.cast(pa.int64()))
        except pa.ArrowInvalid as error:
            raise InputError(
                f"holds ids that are too large ({error})", where=where
            ) from None


def shown(first: Sequence[Any], count: int) -> str:
    """Returns the first few names of `count`."""
    more = ", ..." if count > len(first[:_SHOWN]) else ""
    return ", ".join(repr(name) for name in first[:_SHOWN]) + more


def ids_in_blocks(blocks: Iterable[Any], where: str) -> list[Any]:
    """Returns consecutive Arrow columns as `ids_of` does."""
    parts, first = [], 0
    for block in blocks:
        parts.append(ids_of(block, where, first))
        first += len(block)
    return parts


def ids_of(column: Any, where: str, first: int = 0) -> Any:
    """Returns an Arrow column as int64 or large_string.

    Args:
        column: of a file, or a part of one.
        where: file, for messages.
        first: number of its first row.

    Raises:
        InputError: gaps, empty texts, or neither texts nor whole numbers.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(False))[0])
        raise InputError(
            f"row {first + row} has no id",
            where=where,
            remedy="Fill the gaps, or leave these rows out",
        )
    try:
        if pa.types.is_integer(kind):
            return column.cast(pa.int64())
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            column = column.cast(pa.large_binary())
        is_text = kind in (pa.string(), pa.large_string(), pa.string_view())
        if is_text or pa.types.is_large_binary(column.type):
            column = column.cast(pa.large_string())
            empty = pc.equal(pc.binary_length(column), 0)
            if pc.any(empty).as_py():
                raise InputError("holds an empty id", where=where)
            return column
    except pa.ArrowException as error:
        raise InputError(
            f"holds ids that cannot be read ({error})", where=where
        ) from None
    raise InputError(
        "ids must be texts or whole numbers",
        where=where,
        got=str(kind),
        remedy="A column of whole numbers with gaps becomes one of fractions "
        "in many programs: fill the gaps"
        if pa.types.is_floating(kind)
        else "",
    )


def joined(parts: Sequence[tuple[str, Any, bool]]) -> ExampleIds:
    """Joins the ids of several files, one after the other.

    Args:
        parts: (file, Arrow ids, whether the file tells texts from numbers).

    Raises:
        InputError: texts in one file and whole numbers in another.
    """
    import pyarrow as pa

    kinds = {str(ids.type): where for where, ids, _ in reversed(parts)}
    if len(kinds) > 1:
        texts = kinds[str(pa.large_string())]
        raise InputError(
            "ids are texts, and whole numbers in another file",
            where=texts,
            got=f"whole numbers in {kinds[str(pa.int64())]}",
            expected="one kind of ids in all files",
        )
    values = pa.concat_arrays([ids for _, ids, _ in parts])
    return ExampleIds(values, all(is_typed for *_, is_typed in parts))


def sorted_rows(ids: ExampleIds, where: str) -> np.ndarray:
    """Returns the place of each row in the order of the ids.

    Args:
        ids: of all rows, settled.
        where: flag or file, for messages.

    Returns:
        `[n]` int64: 0 for the row with the smallest id.

    Raises:
        InputError: an id occurs twice; the first few are named.
    """
    import pyarrow.compute as pc

    order = pc.sort_indices(ids.values).to_numpy().astype(np.int64)
    ordered = ids.values.take(arrow_array(order))
    same = pc.equal(ordered.slice(1), ordered.slice(0, max(len(ids) - 1, 0)))
    if pc.any(same).as_py():
        twice = pc.unique(ordered.slice(1).filter(same))
        raise InputError(
            f"{len(twice):,} ids occur more than once: "
            f"{shown(twice.slice(0, _SHOWN).to_pylist(), len(twice))}",
            where=where,
            remedy="Give every example one id and one row",
        )
    places = np.empty(len(ids), np.int64)
    places[order] = np.arange(len(ids))
    return places


def positions(
    pool: ExampleIds, found: ExampleIds, where: str, *, is_complete: bool
) -> np.ndarray:
    """Returns the pool's row of every id of another file.

    Args:
        pool: settled ids without duplicates, by row.
        found: ids of the file, in its order.
        where: flag or file, for messages.
        is_complete: every example of the pool has to be there.

    Returns:
        `[len(found)]` int64.

    Raises:
        InputError: duplicates, strangers, or missing ids; the first few of
            each are named.
    """
    import pyarrow.compute as pc

    found = found.like(pool, where)
    rows = pc.index_in(found.values, value_set=pool.values)
    rows = rows.fill_null(-1).to_numpy().astype(np.int64)
    known = rows[rows >= 0]
    count = np.bincount(known, minlength=len(pool))
    problems = []
    for what, source, bad in (
        ("ids occur more than once", pool, count > 1),
        ("ids are not in the pool", found, rows < 0),
        ("ids of the pool are missing", pool, is_complete & (count == 0)),
    ):
        at = np.flatnonzero(bad)
        if len(at):
            names = shown(source.take(at[:_SHOWN]).tolist(), len(at))
            problems.append(f"{len(at):,} {what}: {names}")
    if problems:
        raise InputError("; ".join(problems), where=where)
    return rows


@contextlib.contextmanager
def naming(ids: ExampleIds | None) -> Iterator[None]:
    """Names rows in the errors of the block by their ids, if there are ids."""
    try:
        yield
    except BadRows as error:
        if ids is None:
            raise
        rows = error.rows
        names = shown(ids.take(rows[:_SHOWN]).tolist(), len(rows))
        raise error.named(names) from None


def no_ids(*, is_typed: bool) -> ExampleIds:
    """Returns the ids of an empty list."""
    import pyarrow as pa

    return ExampleIds(pa.array([], pa.large_string()), is_typed)


def whole_numbers(ids: ExampleIds, where: str) -> np.ndarray:
    """Returns ids that have to be whole numbers as `[n]` int64."""
    empty = ExampleIds(arrow_array(np.zeros(0, np.int64)))
    return ids.like(empty, where).values.to_numpy()


def arrow_array(values: Any) -> Any:
    """Returns a list or an array of one axis as an Arrow array.

    Raises:
        InputError: values of different types.
    """
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=False)
    except (
        pa.ArrowException,
        TypeError,
        ValueError,
        OverflowError,  # A whole number beyond 64 bits.
    ) as error:
        raise InputError(f"are not ids ({error})", where="ids") from None
