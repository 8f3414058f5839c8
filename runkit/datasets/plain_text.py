"""Texts of plain text files, never held in memory as a whole.

A text longer than 4 MiB is cut, after a line if it has any, and its parts count
as texts of their own. A byte order mark at the beginning of a file is dropped.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from runkit.errors import InputError

MAX_TEXT_BYTES = 1 << 22
# Zeros in a text, and the share of its bytes: those of spaces are enough.
_MANY_ZEROS, _ZERO_SHARE = 8, 0.05


def texts(handle: IO[bytes], unit: str) -> Iterator[bytes]:
    """Yields the texts of one file as they stand there.

    Args:
        handle: at the beginning of the file.
        unit: "whole"; "lines", without their ends and without blank ones;
            "blank_lines", runs of lines between blank ones.
    """
    if unit == "blank_lines":
        return _blocks(handle)
    if unit == "lines":
        return (
            line
            for part in _parts(handle)
            for line in part.splitlines()
            if line.strip()
        )
    return _parts(handle)


def refuse_wide(text: bytes, place: str) -> None:
    """Refuses UTF-16 that nothing marks and that is UTF-8 by chance.

    Args:
        text: as it stands in the file. Other bytes that are not UTF-8 pass.
        place: of the text, for the message.

    Raises:
        InputError: it holds many zeros.
    """
    zeros = text.count(0)
    if zeros < max(_MANY_ZEROS, _ZERO_SHARE * len(text)):
        return
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return
    raise InputError(
        f"holds {zeros} zero bytes, as UTF-16 without a byte order mark does",
        where=place,
        expected="UTF-8, or UTF-16 with its mark",
        remedy="Convert it: iconv -f UTF-16LE -t UTF-8 OLD > NEW (or UTF-16BE)",
    )


def _parts(handle: IO[bytes]) -> Iterator[bytes]:
    """Yields a file whole, or in parts of at most MAX_TEXT_BYTES."""
    start = handle.read(len(codecs.BOM_UTF8))
    rest = b"" if start == codecs.BOM_UTF8 else start
    while True:
        part = rest + handle.read(MAX_TEXT_BYTES - len(rest))
        if len(part) < MAX_TEXT_BYTES:
            break
        end = _cutting_place(part)
        yield part[:end]
        rest = part[end:]
    if part:
        yield part


def _cutting_place(text: bytes) -> int:
    """After the last line; in one long line, before a character."""
    if end := text.rfind(b"\n") + 1:
        return end
    end = len(text) - 1
    while end > len(text) - 4 and text[end] & 0xC0 == 0x80:
        end -= 1  # A byte that continues a character of UTF-8.
    return end


def _blocks(handle: IO[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    size = 0
    for part in _parts(handle):
        for line in part.splitlines(keepends=True):
            if line.strip() and size + len(line) <= MAX_TEXT_BYTES:
                block.append(line)
                size += len(line)
                continue
            if block:
                yield b"".join(block)
            block = [line] if line.strip() else []
            size = len(line)
    if block:
        yield b"".join(block)
