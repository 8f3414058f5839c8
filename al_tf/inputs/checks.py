"""The error that names the examples whose values cannot be used."""

from __future__ import annotations

import functools
from typing import Any, cast

import numpy as np

from runkit import InputError

_SHOWN = 10


class BadRows(InputError):
    """Rows whose values cannot be used.

    Args:
        rows: `[bad]` their example ids.
        problem: what is wrong with them.
        names: how they are called in the message.
        where: name of the argument that holds them.
        remedy: what the reader can do about it.
    """

    def __init__(
        self,
        rows: np.ndarray,
        problem: str,
        names: str,
        *,
        where: str,
        remedy: str = "",
    ):
        super().__init__(
            f"{problem} in {len(rows)} rows; {names}",
            where=where,
            remedy=remedy,
        )
        self.rows, self._problem, self._names = rows, problem, names
        self._how = {"where": where, "remedy": remedy}

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors of workers come to the driver as copies.
        made = functools.partial(BadRows, **cast(Any, self._how))
        return made, (self.rows, self._problem, self._names)

    def named(self, ids: str) -> BadRows:
        """Returns the same error with the ids of the files in it."""
        return BadRows(self.rows, self._problem, f"ids {ids}", **self._how)


def refuse_rows(
    bad: np.ndarray,
    what: str,
    *,
    where: str,
    first: int = 0,
    ids: np.ndarray | None = None,
    remedy: str = "",
) -> None:
    """Raises an error if any row is bad.

    Args:
        bad: `[rows]` bool.
        what: what is wrong with these rows.
        where: name of the argument that holds them.
        first: example id of the first row, if the rows are consecutive.
        ids: `[rows]` example ids, if they are not.
        remedy: what the reader can do about it.

    Raises:
        BadRows: with the number of bad rows and the first example ids.
    """
    if not bad.any():
        return
    named = first + np.flatnonzero(bad) if ids is None else ids[bad]
    shown = ", ".join(str(i) for i in named[:_SHOWN])
    more = ", ..." if len(named) > _SHOWN else ""
    names = f"example ids {shown}{more}"
    raise BadRows(named, what, names, where=where, remedy=remedy)


def finite_float32(
    rows: np.ndarray, *, where: str, ids: np.ndarray | None = None
) -> np.ndarray:
    """Returns `[n, d]` rows as float32, which has to hold them.

    Args:
        rows: `[n, d]` floating-point.
        where: name of the argument that holds them.
        ids: see `refuse_rows`.

    Raises:
        BadRows: NaN, or what is infinite in float32.
    """
    with np.errstate(over="ignore"):
        rows = rows.astype(np.float32, copy=False)
    refuse_rows(
        ~np.isfinite(rows).all(1),
        "NaN or infinite values",
        where=where,
        ids=ids,
        remedy="Remove or repair these rows",
    )
    return rows
