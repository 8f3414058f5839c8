"""Advisory locks on directories that hold a run's state.

The operating system releases a lock when its process ends, however it ends:
a killed run leaves nothing to clean up. The lock file itself stays.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import shlex
import socket
import sys
from collections.abc import Iterator
from typing import Any

from absl import logging

from runkit.errors import InputError
from runkit.files.atomic import real_path

LOCK_NAME = ".lock"


@contextlib.contextmanager
def lock_directory(
    path: str | os.PathLike,
    *,
    where: str = "--output_dir",
    wait: bool = False,
    beside: bool = False,
) -> Iterator[None]:
    """Keeps other processes out of a directory while the block runs.

    The lock is advisory: it stops those who ask for it too. A file system
    without locks is used without one, with a warning.

    Args:
        path: the directory; created unless `beside` is set.
        where: the flag or argument that named it, for messages.
        wait: wait for the holder to finish instead of refusing.
        beside: lock `.lock-NAME` in the parent directory, for a directory
            that appears or is replaced as a whole (`atomic_directory`).

    Raises:
        InputError: another process, or another part of this one, holds the
            lock; says which and since when.
    """
    # Two names of one directory have one lock.
    folder = (real_path(path) if beside else pathlib.Path(path)).absolute()
    name = LOCK_NAME
    if beside:
        folder, name = folder.parent, f"{LOCK_NAME}-{folder.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot be created ({error.strerror})",
            where=where,
            got=str(folder),
            remedy="Name a directory that you can write to",
        ) from None
    handle = _acquired(folder / name, str(path), where, wait)
    try:
        yield
    finally:
        if handle is not None:
            # The holder's name goes first: nobody may read it afterwards.
            os.ftruncate(handle, 0)
            os.close(handle)


def _acquired(
    path: pathlib.Path, shown: str, where: str, wait: bool
) -> int | None:
    """Returns the descriptor that holds the lock; None where there are none."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = os.pread(handle, 1 << 16, 0)
            os.close(handle)
            raise InputError(
                f"is in use by {_in_words(holder)}",
                where=where,
                got=shown,
                remedy="Wait until it ends or stop it, or name another "
                "directory",
            ) from None
        except OSError as error:
            os.close(handle)
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
            logging.warning("%s: no lock (%s)", path, error.strerror)
            return None
        # The directory may have been replaced while we waited.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):  # noqa: PTH116
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps(_this_process()).encode(), 0)
                return handle
        os.close(handle)


def _this_process() -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": shlex.join([sys.executable, *sys.argv])[:500],
        "since": now.isoformat(" ", "seconds"),
    }


def _in_words(holder: bytes) -> str:
    """Who holds a lock, as its file says."""
    try:
        found = json.loads(holder)
        return (
            f"process {found['pid']} on {found['host']} since "
            f"{found['since']} ({found['command']})"
        )
    except (ValueError, KeyError, TypeError):
        return "another process"  # One that has not written its name yet.
