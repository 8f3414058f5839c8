"""Checksums of a directory's files: a flipped byte is noticed.

    DIR/checksums.json   {"crc32": {"config.json": 2868412345, ...}}

CRC-32 finds every change within 32 neighboring bits; it is no protection
against intent. Directories of earlier releases and of other programs have no
such file and pass.
"""

from __future__ import annotations

import os
import pathlib
import zlib
from collections.abc import Iterable

from runkit.errors import InputError
from runkit.files.formats import read_json, write_json

CHECKSUMS = "checksums.json"
_BLOCK = 1 << 20


def write_checksums(
    folder: str | os.PathLike, names: Iterable[str] | None = None
) -> None:
    """Writes the checksums of files that are all written.

    Args:
        folder: the folder that holds them.
        names: the files, relative to `folder`; None takes all below it but
            README.md, which people edit.
    """
    folder = pathlib.Path(folder)
    if names is None:
        names = [
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "README.md"
        ]
    crc32 = {name: _crc32(folder / name) for name in names}
    write_json(folder / CHECKSUMS, {"crc32": crc32})


def check_checksums(folder: str | os.PathLike, remedy: str) -> None:
    """Refuses a directory whose files are not those that were written.

    Args:
        folder: one without checksums passes; files that they do not name may
            be added.
        remedy: what to do about a damaged one.

    Raises:
        InputError: a file is missing or has another checksum.
    """
    folder = pathlib.Path(folder)
    path = folder / CHECKSUMS
    if not path.is_file():
        return
    stated = read_json(path)
    crc32 = stated.get("crc32") if isinstance(stated, dict) else None
    if not isinstance(crc32, dict) or not crc32:
        raise InputError(
            "damaged: holds no checksums", where=str(path), remedy=remedy
        )
    for name, expected in crc32.items():
        file = folder / name
        try:
            found = _crc32(file)
        except (OSError, ValueError) as error:
            raise InputError(
                f"damaged: a file that {CHECKSUMS} names cannot be read "
                f"({getattr(error, 'strerror', None) or error})",
                where=str(file),
                remedy=remedy,
            ) from None
        if found != expected:
            raise InputError(
                f"damaged: not the checksum that {CHECKSUMS} states",
                where=str(file),
                remedy=remedy,
            )


def _crc32(path: pathlib.Path) -> int:
    crc = 0
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc
