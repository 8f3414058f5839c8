"""Paths that may be URLs of object storage, through `etils.epath`.

`gs://`, `s3://` and `az://` are reached by drivers of fsspec, which are
installed apart. A local path stays a `pathlib.Path`.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from absl import logging

from runkit.errors import InputError, closest

Result = TypeVar("Result")

# Scheme -> the package that reads it.
DRIVERS = {"gs": "gcsfs", "s3": "s3fs", "az": "adlfs"}
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What `pathlib.Path` makes of a URL, or a hand that forgets a slash.
_ONE_SLASH = re.compile(rf"(?:{'|'.join(DRIVERS)}|https?):/")


class StorageError(OSError):
    """Object storage that does not answer, also not when asked again."""


def url_scheme(path: str | os.PathLike) -> str:
    """Returns the scheme of a URL, "" of a local path."""
    found = _URL.match(os.fspath(path))
    return found[1] if found else ""


def refuse_url(path: str | os.PathLike, *, where: str) -> None:
    """Refuses a URL where only local paths work.

    Raises:
        InputError: `path` is a URL; a directory called `gs:` is never made.
    """
    if url_scheme(path) not in ("", "http", "https"):  # Servers and texts.
        raise InputError(
            "is a URL, and only local paths can be used here",
            where=where,
            got=os.fspath(path),
            remedy="Copy it to a local path. URLs can be given to "
            "spactor_tf.pretrain_main: --output_dir, --cache_dir, --init_from, "
            "--vocabulary and the files of --dataset",
        )


def check_local(path: str | os.PathLike, *, where: str = "") -> None:
    """Refuses to write to a URL as if it were a local path.

    Args:
        path: that a file or directory will be made at.
        where: flag or argument that it came from, for messages.

    Raises:
        InputError: it is a URL, or was one before it became a `pathlib.Path`.
    """
    given = os.fspath(path)
    if url_scheme(given) or _ONE_SLASH.match(given):
        raise InputError(
            "is a URL, and would be written to a local directory of that name",
            where=where or given,
            got=given,
            expected="a local path; where URLs can be given, a scheme and two "
            "slashes, as in gs://bucket/folder",
        )


def as_path(path: str | os.PathLike, *, where: str = "") -> pathlib.Path:
    """Returns the path of a local file or of an object.

    Args:
        path: local, or a URL.
        where: flag or argument that it came from, for messages.

    Returns:
        A `pathlib.Path`, or for a URL an `etils.epath.Path`, which has the
        same methods.

    Raises:
        InputError: an unknown scheme, or its driver is not installed.
    """
    scheme = url_scheme(path)
    if not scheme:
        return pathlib.Path(path)
    if scheme not in DRIVERS:
        raise InputError(
            "unknown scheme of a URL",
            where=where or os.fspath(path),
            got=scheme,
            remedy=closest(scheme, DRIVERS),
        )
    if not os.fspath(path).split("/")[2]:
        raise InputError(
            "names no bucket",
            where=where or os.fspath(path),
            got=os.fspath(path),
            expected=f"{scheme}://bucket/...",
        )
    import fsspec

    try:
        fsspec.get_filesystem_class("gcs" if scheme == "gs" else scheme)
    except ImportError as error:
        raise InputError(
            f"needs a package that is not installed ({error})",
            where=where or os.fspath(path),
            remedy=f"Run `pip install {DRIVERS[scheme]}`",
        ) from None
    return cast(pathlib.Path, _object_path()(os.fspath(path)))


@functools.cache
def _object_path() -> Any:
    """Epath's class of URLs, for which fsspec always answers.

    epath itself asks TensorFlow wherever that is installed, whose file systems
    reach gs:// alone, and no emulator. Its switch, EPATH_USE_TF, holds for the
    whole process: TFDS, which looks at gs:// by itself, would need a driver.
    """
    from etils.epath import backend, gpath

    class ObjectPath(gpath.PosixGPath):
        @property
        def _backend(self) -> Any:
            return backend.fsspec_backend

    return ObjectPath


def retried(
    operation: Callable[[], Result],
    what: str,
    waits: tuple[float, ...] | None = None,
    final: tuple[type[Exception], ...] = (),
) -> Result:
    """Returns what `operation` does, tried again where storage fails.

    Args:
        operation: may be called several times.
        what: is done, for messages.
        waits: seconds between the attempts; None: `RETRY_SECONDS`.
        final: errors that another attempt would not change; they are raised
            as they are.

    Raises:
        StorageError: every attempt failed.
    """
    waits = RETRY_SECONDS if waits is None else waits
    for wait in (*waits, None):
        try:
            return operation()
        except final:
            raise
        # Drivers raise errors of their own, which no base class joins.
        except Exception as error:
            if wait is None:
                raise StorageError(f"{what}: {_in_short(error)}") from error
            logging.warning(
                "%s: %s; again in %g s", what, _in_short(error), wait
            )
            time.sleep(wait)
    raise AssertionError  # The last attempt returns or raises.


class _Object(io.RawIOBase):
    """An object whose reads are tried again."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._handle = retried(
            lambda: path.open("rb"),
            f"reading {path}",
            final=(FileNotFoundError, PermissionError),
        )

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._handle.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        place = self._handle.tell()

        def read() -> bytes:
            self._handle.seek(place)
            return self._handle.read(len(buffer))

        data = retried(read, f"reading {self._path}")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._handle.close()
        super().close()


def open_bytes(path: str | os.PathLike) -> io.BufferedReader:
    """Opens a local file or an object for reading.

    Raises:
        StorageError: an object cannot be read, also not when asked again;
            the reads of what is returned raise it too.
        OSError: a local file cannot be opened, or is a pipe: it might wait
            forever, and could be read once only.
    """
    path = as_path(path)
    if not url_scheme(path):
        if path.is_fifo():
            raise OSError(errno.ESPIPE, "is a pipe", str(path))
        return path.open("rb")
    return io.BufferedReader(_Object(path), 1 << 16)


def read_object(path: str | os.PathLike, count: int | None = None) -> bytes:
    """Returns an object, or its first `count` bytes, in one request.

    Raises:
        StorageError: it cannot be read, also not when asked again.
    """
    import fsspec

    system, name = fsspec.core.url_to_fs(os.fspath(path))
    return retried(lambda: system.cat_file(name, 0, count), f"reading {path}")


def _in_short(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__} {lines[0][:200]}".strip()


def files_below(folder: Any) -> Iterator[tuple[str, pathlib.Path]]:
    """Yields (path relative to the folder, path) of every file below it.

    Names that begin with a dot are passed over: locks and temporary files.
    """
    for path in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            for name, file in files_below(path):
                yield f"{path.name}/{name}", file
        else:
            yield path.name, path


def file_sizes(folder: pathlib.Path) -> dict[str, int]:
    """Returns {name: bytes} of the files in a folder, not below it.

    Args:
        folder: local, or of `as_path`; objects are listed in one go.

    Raises:
        StorageError: object storage does not answer.
    """
    if not url_scheme(folder):
        files = [path for path in folder.iterdir() if path.is_file()]
        return {path.name: path.stat().st_size for path in files}
    import fsspec

    def listing() -> list[dict[str, Any]]:
        system, root = fsspec.core.url_to_fs(os.fspath(folder))
        system.invalidate_cache()
        return system.ls(root, detail=True)

    return {
        entry["name"].rpartition("/")[2]: entry["size"]
        for entry in retried(listing, f"reading {folder}")
        if entry["type"] == "file"
    }
