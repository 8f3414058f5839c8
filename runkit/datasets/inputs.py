"""Files of a dataset: found by a pattern, unpacked, read with clear errors."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import glob
import gzip
import hashlib
import importlib
import io
import itertools
import lzma
import os
import pathlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from runkit.errors import InputError, InterruptedRun
from runkit.files.storage import (
    StorageError,
    as_path,
    open_bytes,
    retried,
    url_scheme,
)


def _open_zst(path: Any, mode: str) -> IO[bytes]:
    """Opens with a Zstandard library, if one is installed."""
    del mode  # As the other openers have it; files are only read.
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        with contextlib.suppress(ImportError):
            library: Any = importlib.import_module(name)
            is_path = isinstance(path, pathlib.Path)
            packed = path.open("rb") if is_path else path
            return io.BufferedReader(_Frames(packed, library))
    raise InputError(
        "is compressed with Zstandard, which is not installed",
        where=str(path),
        remedy="Run `pip install zstandard`, or unpack the file with `zstd -d`",
    )


class _Converted(io.RawIOBase):
    """What a file's bytes are turned into, a block at a time."""

    def __init__(self, handle: IO[bytes]):
        self._handle = handle
        self._rest: memoryview | None = memoryview(b"")

    def next_block(self) -> bytes | None:
        """Returns the next block, which may be empty; None behind the last."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._rest is not None and not self._rest:
            block = self.next_block()
            self._rest = None if block is None else memoryview(block)
        if self._rest is None:
            return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        self._handle.close()
        super().close()


class _Frames(_Converted):
    """What the frames of a Zstandard file hold.

    The readers of the libraries are not used: that of `zstandard` takes a file
    that is cut off for a whole one.
    """

    def __init__(self, handle: IO[bytes], library: Any):
        super().__init__(handle)
        self._library = library
        self._frame = self._new_frame()

    def _new_frame(self) -> Any:
        frame = self._library.ZstdDecompressor()
        is_zstandard = hasattr(frame, "decompressobj")
        return frame.decompressobj() if is_zstandard else frame

    def next_block(self) -> bytes | None:
        packed = self._frame.unused_data if self._frame.eof else b""
        packed = packed or self._handle.read(_ZST_BYTES)
        if not packed and self._frame.eof:
            return None
        if not packed:
            raise EOFError("it ends inside of a Zstandard frame")
        if self._frame.eof:
            self._frame = self._new_frame()
        try:
            return self._frame.decompress(packed)
        except Exception as error:  # Each library has a class of its own.
            raise OSError(f"not Zstandard: {error}") from None


_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zst,
}
# First bytes of a compressed file, whatever its name is.
_MAGIC = {
    b"\x1f\x8b\x08": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ\0": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
}
_LONGEST_MAGIC = 6
_BLOCK_BYTES = 1 << 16
_ZST_BYTES = 1 << 14  # Of a packed file; they may hold a lot.

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
    if url_scheme(pattern):
        return _matching_objects(pattern, where, spec)
    try:
        expanded = pathlib.Path(pattern).expanduser()
        if expanded.is_file():
            return [expanded]
        found = glob.glob(escaped(expanded), recursive=True)  # noqa: PTH207
    except (OSError, RuntimeError, ValueError, re.error) as error:
        # A name that is too long or holds a zero, a home that nobody has.
        raise InputError(
            f"is not a path or pattern ({error})", where=where, got=spec
        ) from None
    names = sorted(found)
    files = [pathlib.Path(n) for n in names if pathlib.Path(n).is_file()]
    if not files:
        is_folder = any(map(os.path.isdir, names))
        raise InputError(
            "no file matches"
            if not names
            else "matches folders but no file"
            if is_folder
            else "matches a pipe or a device, which cannot be read twice",
            where=where,
            got=spec,
            expected=f"a path or pattern of files; {pattern!r} names none",
            remedy="FOLDER/* names the files of a folder" if names else "",
        )
    return files


def _matching_objects(
    pattern: str, where: str, spec: str
) -> list[pathlib.Path]:
    """Returns the objects that a URL or a pattern of URLs names, sorted."""
    magic = re.search(r"[*?\[]", pattern)
    folder, _, rest = (
        pattern[: magic.start()].rpartition("/") if magic else (pattern, "", "")
    )
    path = as_path(folder, where=where)

    def find() -> list[pathlib.Path]:
        found = [path] if path.exists() else []
        if magic:
            found = [*path.glob(rest + pattern[magic.start() :])]
        return sorted((file for file in found if not file.is_dir()), key=str)

    try:
        files = retried(find, f"reading {folder}", (1.0,))
    except StorageError as error:
        raise InputError(
            f"cannot be read ({error})",
            where=where,
            got=spec,
            remedy="Check the bucket's name and your credentials",
        ) from None
    if not files:
        raise InputError(
            "no file matches",
            where=where,
            got=spec,
            expected=f"a path or pattern of files; {pattern!r} names none",
        )
    return files


def escaped(path: pathlib.Path) -> str:
    """Returns a pattern in which folders that exist stand for themselves.

    A folder may be called `part[1]`, which as a pattern is `part1`.
    """
    for folder in path.parents:
        if folder.is_dir():
            rest = path.relative_to(folder)
            return str(pathlib.Path(glob.escape(str(folder))) / rest)
    return str(path)


def identity(
    files: Iterable[pathlib.Path], names: Iterable[str] = ()
) -> list[tuple[str, int, int]]:
    """Returns (name, size, time of change in ns) of each file.

    Args:
        files: local or in object storage.
        names: what they are called; default: their paths.
    """
    found = []
    for file, name in itertools.zip_longest(files, names):
        is_local = isinstance(file, pathlib.Path)
        with reading(file):
            status: Any = (
                file.stat()
                if is_local
                else retried(file.stat, f"reading {file}")
            )
        # Of objects it is often not known.
        size = status.st_size if is_local else status.length
        changed = status.st_mtime_ns if is_local else status.mtime * 10**9
        found.append((name or str(file), size, changed))
    return found


def sha256(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file's bytes, packed as they are."""
    with reading(path), open_bytes(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def plain_suffix(path: pathlib.Path) -> str:
    """Returns the suffix below that of the compression: ".jsonl"."""
    packed = path.suffix.lower() in _OPENERS
    return (path.with_suffix("") if packed else path).suffix.lower()


def open_input(path: str | os.PathLike) -> IO[bytes]:
    """Opens a file for reading its bytes; UTF-16 is given as UTF-8.

    `.gz`, `.bz2`, `.xz` and `.zst` are unpacked, and so is what begins like
    one of them under another name.
    """
    path = as_path(path)
    suffix = path.suffix.lower()
    if url_scheme(path):
        # An object's name alone tells how it is compressed.
        packed = open_bytes(path)
        if suffix in _OPENERS:
            return _as_utf8(_OPENERS[suffix](packed, "rb"))
        return _as_utf8(packed)
    if suffix not in _OPENERS and path.is_file():  # No pipe: read once.
        with path.open("rb") as plain:
            head = plain.read(_LONGEST_MAGIC)
        begins = [s for magic, s in _MAGIC.items() if head.startswith(magic)]
        suffix = begins[0] if begins else ""
    return _as_utf8(_OPENERS.get(suffix, open)(path, "rb"))


def _as_utf8(handle: Any) -> IO[bytes]:
    try:
        encoding = _wide_encoding(handle.peek(4)[:4])
    except BaseException:
        handle.close()
        raise
    return io.BufferedReader(_Utf8(handle, encoding)) if encoding else handle


def _wide_encoding(head: bytes) -> str:
    """The encoding whose letters take more than a byte; "" otherwise."""
    if head in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    # Without a mark: ASCII characters, each beside a zero.
    zeros = [byte == 0 for byte in head]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else ""


class _Utf8(_Converted):
    """The text of a file in another encoding, as bytes of UTF-8."""

    def __init__(self, handle: IO[bytes], encoding: str):
        super().__init__(handle)
        # Halves of characters become bytes that are not UTF-8 either.
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._ended = False

    def next_block(self) -> bytes | None:
        if self._ended:
            return None
        block = self._handle.read(_BLOCK_BYTES)
        self._ended = not block
        text = self._decoder.decode(block, self._ended)
        return text.encode("utf-8", "surrogatepass")


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Ends the run where object storage does not answer in the block.

    Raises:
        InterruptedRun: it does not, also not when asked again.
    """
    try:
        yield
    except StorageError as error:
        raise InterruptedRun(
            f"{error}. The same command goes on from what it has saved"
        ) from None


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Turns a failure to read `path` in the block into an InputError.

    Raises:
        InputError: the file is missing or damaged.
        InterruptedRun: it is an object whose storage does not answer.
    """
    try:
        with answering():
            yield
    except _FAILURES as error:
        is_missing = isinstance(error, FileNotFoundError)
        raise InputError(
            f"cannot be read ({'no such file' if is_missing else error})",
            where=str(path),
            remedy="" if is_missing else "Repair or remove the file",
        ) from None
