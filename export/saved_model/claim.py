"""Who writes which version of a base path: no two exports take one number.

A number is held by a lock beside the version, `.lock-NUMBER`, as long as the
export runs; the system releases it when the process ends, however it ends.
Numbers are given out under a lock on the base path, which is held for an
instant only, so that exports of different versions work side by side.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from export.saved_model import server_config
from export.saved_model.versions import list_versions, next_version
from runkit import InputError
from runkit.files import lock_directory

_WAIT_SECONDS = 10.0  # For the lock that is held for an instant.
_PAUSE_SECONDS = 0.02
# What the system calls say; TensorFlow's own errors hold the same words.
_STORAGE_ERRORS = frozenset(
    os.strerror(number)
    for number in (
        errno.EACCES,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
    )
)


@contextlib.contextmanager
def claimed_version(
    output_dir: pathlib.Path, version: int | None, name: str
) -> Iterator[int]:
    """Holds a version's number while the block writes it.

    Args:
        output_dir: base path; created.
        version: above 0; None means the next that is neither written nor
            being written.
        name: of the model.

    Yields:
        The number.

    Raises:
        InputError: a bad number or name, an existing version, a base path of
            another model, one that cannot be written, or a version that
            another process writes now (the message says which).
    """
    check_target(output_dir, version, name)
    with contextlib.ExitStack() as stack:
        with (
            storage_errors_named(output_dir),
            _for_an_instant(lambda: lock_directory(output_dir)),
        ):
            if version is None:
                version = _first_free(output_dir, stack)
            else:
                stack.enter_context(_held(output_dir, version))
                # Another export may have ended since the first look.
                check_target(output_dir, version, name)
        yield version


def _first_free(output_dir: pathlib.Path, stack: contextlib.ExitStack) -> int:
    """Holds the next number that no other export holds."""
    version = next_version(output_dir)
    while True:
        try:
            stack.enter_context(_held(output_dir, version))
            return version
        except InputError:
            version += 1


@contextlib.contextmanager
def _held(output_dir: pathlib.Path, version: int) -> Iterator[None]:
    path = output_dir / str(version)
    with lock_directory(path, where="--version", beside=True):
        try:
            yield
        finally:
            # While it is held: whoever waits for it looks for the name again.
            path.with_name(f".lock-{version}").unlink(missing_ok=True)


@contextlib.contextmanager
def _for_an_instant(
    lock: Callable[[], contextlib.AbstractContextManager[None]],
) -> Iterator[None]:
    """Waits a little for a lock; then says who holds it."""
    end = time.monotonic() + _WAIT_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock())
                break
            except InputError:
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE_SECONDS)
        yield


def check_target(
    output_dir: pathlib.Path, version: int | None, name: str
) -> None:
    """Creates the base path; raises InputError where no version can go.

    Args:
        output_dir: base path.
        version: None means any.
        name: of the model.
    """
    if version is not None and not 0 < version < 2**63:
        raise InputError(
            "is not a version number",
            where="version",
            got=version,
            expected="0 < version < 2**63",
        )
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise InputError(
            "is not a model name",
            where="model_name",
            got=name,
            expected="letters, digits, _ - .",
        )
    if version is not None and version in list_versions(output_dir):
        raise InputError(
            "the version exists already",
            where=str(output_dir),
            got=version,
            remedy=f"Use --version={next_version(output_dir)}",
        )
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot be created ({error.strerror})", where=str(output_dir)
        ) from None
    if not os.access(output_dir, os.W_OK):
        raise InputError("is not writable", where=str(output_dir))
    server_config.check_name(output_dir, name)


@contextlib.contextmanager
def storage_errors_named(output_dir: pathlib.Path) -> Iterator[None]:
    """Turns failures to write, also TensorFlow's, into an InputError.

    Args:
        output_dir: where the block writes.

    Raises:
        InputError: says the reason, the directory and what to do.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = _storage_reason(error)
        if reason is None:
            raise
        raise InputError(
            f"cannot be written ({reason})",
            where=f"--output_dir {output_dir}",
            remedy="Free some room there or mend the permissions, or name "
            "another directory",
        ) from None


def _storage_reason(error: OSError | tf.errors.OpError) -> str | None:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = error.message or ""
    return next((r for r in sorted(_STORAGE_ERRORS) if r in text), None)
