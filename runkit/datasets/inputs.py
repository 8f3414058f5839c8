"""Files of a dataset: found by a pattern, unpacked, read with clear errors."""

from __future__ import annotations

import bz2
import contextlib
import glob
import gzip
import lzma
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from runkit.errors import InputError

_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}

_FAILURES = (OSError, EOFError, UnicodeError, zlib.error, lzma.LZMAError)


def matching_files(pattern: str, where: str, spec: str) -> list[pathlib.Path]:
    """Returns the files that a path or pattern names, sorted.

    Args:
        pattern: with `*`, `**` and `~`; a file of exactly this name wins.
        where: flag or argument that it came from, for messages.
        spec: the whole specification, for messages.

    Raises:
        InputError: nothing matches, or directories alone.
    """
    expanded = pathlib.Path(pattern).expanduser()
    if expanded.is_file():
        return [expanded]
    names = sorted(glob.glob(str(expanded), recursive=True))  # noqa: PTH207
    files = [pathlib.Path(n) for n in names if pathlib.Path(n).is_file()]
    if not files:
        raise InputError(
            "matches folders but no file" if names else "no file matches",
            where=where,
            got=spec,
            expected=f"one or more files {pattern}",
        )
    return files


def identity(files: list[pathlib.Path]) -> list[tuple[str, int, int]]:
    """Returns (name, size, time of change in ns) of each file."""
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]


def plain_suffix(path: pathlib.Path) -> str:
    """Returns the suffix below that of the compression: ".jsonl"."""
    name = path.with_suffix("") if path.suffix in _OPENERS else path
    return name.suffix


def open_input(path: str | os.PathLike) -> IO[bytes]:
    """Opens a file for reading bytes; `.gz`, `.bz2` and `.xz` are unpacked."""
    path = pathlib.Path(path)
    return _OPENERS.get(path.suffix, open)(path, "rb")


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Turns a failure to read `path` in the block into an InputError."""
    try:
        yield
    except _FAILURES as error:
        raise InputError(
            f"cannot be read ({error})",
            where=str(path),
            remedy="Repair or remove the file",
        ) from None
