"""The error that names the examples whose values cannot be used."""

from __future__ import annotations

import numpy as np

from runkit import InputError

_SHOWN = 10


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
        InputError: with the number of bad rows and the first example ids.
    """
    if not bad.any():
        return
    named = first + np.flatnonzero(bad) if ids is None else ids[bad]
    shown = ", ".join(str(i) for i in named[:_SHOWN])
    more = ", ..." if len(named) > _SHOWN else ""
    raise InputError(
        f"{what} in {len(named)} rows; example ids {shown}{more}",
        where=where,
        remedy=remedy,
    )
