"""Whole files and directories or none: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from typing import IO, Any

from runkit.errors import InputError
from runkit.files.storage import check_local


def _fsync(path: pathlib.Path) -> None:
    """Makes a file, or the names in a directory, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary_beside(path: pathlib.Path) -> pathlib.Path:
    # A leading dot and "tmp" so that no reader's glob takes it for a result.
    return path.parent / f".tmp-{path.name}-{uuid.uuid4().hex[:8]}"


def _name(error: OSError, temporary: pathlib.Path, path: pathlib.Path) -> None:
    """Makes an error speak of the result: a full disk names no file at all."""
    failed = error.filename
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    is_ours = failed and os.fsdecode(failed).startswith(str(temporary))
    if is_ours or (is_full and failed is None):
        error.filename = str(path)


def real_path(path: str | os.PathLike) -> pathlib.Path:
    """Where a path leads: a symbolic link stays, its target is written.

    Results are renamed into place, which would replace the link itself, and
    leave the data on the disk of the link.

    Raises:
        InputError: a URL.
    """
    check_local(path)
    path = pathlib.Path(path)
    return pathlib.Path(os.path.realpath(path)) if path.is_symlink() else path


def check_file(path: str | os.PathLike, *, where: str) -> None:
    """Refuses a path that is not a file and cannot become one.

    Raises:
        InputError: a folder, a pipe, a device, a link that leads in a circle;
            or see `check_folder`.
    """
    check_local(path, where=where)
    real = real_path(path)
    if real.exists() and not real.is_file() or real.is_symlink():
        is_folder = real.is_dir()
        raise InputError(
            "is a folder" if is_folder else "is not a plain file",
            where=where,
            got=str(path),
            expected="a file, or a name that is free",
        )
    check_folder(real.parent, where=where)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file that takes the name `path` only when complete.

    Args:
        path: the final name; its directory is created.
        mode: "w" (UTF-8 text) or "wb".
    """
    path = real_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    encoding = None if "b" in mode else "utf-8"
    try:
        with temporary.open(mode, encoding=encoding) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        _name(error, temporary, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _exchange(first: pathlib.Path, second: pathlib.Path) -> None:
    """Swaps two names, in one step where the system can: Linux's renameat2."""
    current_folder, exchange = -100, 2
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(first.absolute()), os.fsencode(second.absolute())
    if renameat2 and not renameat2(
        current_folder, names[0], current_folder, names[1], exchange
    ):
        return
    # Without it (macOS, some network disks) a kill in between loses `second`.
    aside = _temporary_beside(second)
    second.rename(aside)
    try:
        first.rename(second)
    except OSError:
        aside.rename(second)
        raise
    aside.rename(first)


@contextlib.contextmanager
def atomic_directory(
    path: str | os.PathLike, *, replace: bool = False
) -> Iterator[pathlib.Path]:
    """Yields a temporary directory that becomes `path` only when complete.

    Args:
        path: the final name.
        replace: an existing directory is replaced; otherwise it is refused.

    Raises:
        InputError: `path` exists and `replace` is false.
    """
    path = real_path(path)
    if path.exists() and not replace:
        raise InputError("exists already", where=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        for entry in [temporary, *temporary.rglob("*")]:
            _fsync(entry)
        if path.exists():
            _exchange(temporary, path)
        else:
            temporary.rename(path)
        _fsync(path.parent)
    except OSError as error:
        _name(error, temporary, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_folder(path: str | os.PathLike, *, where: str) -> None:
    """Refuses a path that is not a directory and cannot become one.

    Raises:
        InputError: the path, or what should be a directory above it, is a
            file, or may not be written to; a URL.
    """
    check_local(path, where=where)
    found = pathlib.Path(path).absolute()
    while not found.exists():
        if found.is_symlink():
            raise InputError(
                "is a symbolic link that leads nowhere",
                where=where,
                got=str(found),
                remedy="Repair or remove the link",
            )
        found = found.parent
    if not found.is_dir():
        raise InputError("is not a directory", where=where, got=str(found))
    try:
        # Permissions alone do not tell: of a read-only mount, or of root.
        pathlib.Path(tempfile.mkdtemp(prefix=".tmp-", dir=found)).rmdir()
    except OSError as error:
        raise InputError(
            f"may not be written ({error.strerror})",
            where=where,
            got=str(found),
            remedy="Name a directory that you can write to",
        ) from None


def remove_leftovers(folder: str | os.PathLike, name: str = "") -> None:
    """Deletes temporary files that a killed process left in `folder`.

    Args:
        folder: where they are.
        name: of the file or directory that they were to become; "": any.
    """
    if name:
        real = real_path(pathlib.Path(folder) / name)
        folder, name = real.parent, real.name
    begin = f".tmp-{glob.escape(name)}-*" if name else ".tmp-*"
    for path in pathlib.Path(folder).glob(begin):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
