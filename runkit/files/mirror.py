"""A directory in object storage, worked on in a local copy.

Object storage has no rename, no lock and no append, which whole files, locks
and logs are made with. So a run works in a local directory, and `push` brings
it to the URL. `MANIFEST`, one object that is written last, lists what belongs
together: a process that is killed in `push` leaves the state before.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

from absl import logging

from runkit.errors import InputError, InterruptedRun
from runkit.files.locks import lock_directory
from runkit.files.storage import (
    StorageError,
    as_path,
    files_below,
    retried,
    url_scheme,
)

MANIFEST = "files.json"
NOTHING = "none"  # The state of a URL that holds no run yet.
_BLOCK_BYTES = 1 << 23
_Stamp = tuple[int, int]  # Size and time of change.


class Mirror:
    """A local directory and its copy at a URL.

    Attributes:
        state: the name of what the URL holds: "step 100", or `NOTHING`.

    Args:
        url: of the directory in object storage.
        folder: local; its content is replaced by `pull`.
        where: flag that named the URL, for messages.

    Raises:
        InputError: an unknown scheme, or its driver is not installed.
    """

    def __init__(
        self, url: str, folder: str | os.PathLike, where: str = "--output_dir"
    ):
        self.url, self.folder = url, pathlib.Path(folder)
        self._where = where
        self._remote = as_path(url, where=where)
        self._pushed: dict[str, _Stamp] = {}
        self.state = NOTHING

    def pull(self) -> None:
        """Makes the local directory what the URL holds; empty if nothing.

        Of a URL that holds nothing any more the local directory may be the
        last copy: it is moved aside.

        Raises:
            InputError: it cannot be read: no such bucket, no permission. The
                local directory stays.
        """
        with self._reading():
            names, state = self._manifest()
        if not names and self.folder.is_dir() and any(self.folder.iterdir()):
            aside = self.folder.with_name(f"{self.folder.name}-before")
            shutil.rmtree(aside, ignore_errors=True)
            self.folder.rename(aside)
            logging.warning(
                "%s holds no run; what this machine had of one is in %s",
                self.url,
                aside,
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with self._reading():
            for name in names:
                copy = functools.partial(
                    _copy, self._remote / name, self.folder / name
                )
                retried(copy, f"reading {self.url}/{name}")
        self._pushed, self.state = self._stamps(), state

    def look(self) -> None:
        """Sets `state` to that of the URL; nothing is copied.

        Raises:
            InputError: it cannot be read: no such bucket, no permission.
        """
        with self._reading():
            _, self.state = self._manifest()

    def check_writable(self) -> None:
        """Refuses a URL that nothing can be written to.

        Raises:
            InputError: no such bucket, no credentials, no permission.
        """
        try:
            retried(self._write_manifest, f"writing to {self.url}", ())
        except StorageError as error:
            raise InputError(
                f"may not be written ({error})",
                where=self._where,
                got=self.url,
                remedy="Check the bucket's name and your credentials",
            ) from None

    def push(self, state: str) -> None:
        """Brings what has changed to the URL, whole or not at all.

        Args:
            state: the name of what is there then.

        Raises:
            StorageError: the URL still holds the state before.
        """
        before, now = self._pushed, self._stamps()
        listed = (self._remote / MANIFEST).exists
        if before and not retried(listed, f"reading {self.url}"):
            before = {}  # It was emptied; what has not changed is gone too.
        for name, stamp in now.items():
            if before.get(name) != stamp:
                copy = functools.partial(
                    _copy, self.folder / name, self._remote / name
                )
                retried(copy, f"writing {self.url}/{name}")
        self._pushed = now
        write = functools.partial(self._write_manifest, state)
        retried(write, f"writing {self.url}/{MANIFEST}")
        self.state = state
        for name in before.keys() - now.keys():
            # No longer listed: if it stays, nobody reads it.
            path = self._remote / name
            delete = functools.partial(path.unlink, missing_ok=True)
            retried(delete, f"deleting {self.url}/{name}")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            raise InputError(
                f"cannot be read ({error})",
                where=self._where,
                got=self.url,
                remedy="Check that the bucket exists and that you may read it",
            ) from None

    def _manifest(self) -> tuple[list[str], str]:
        path = self._remote / MANIFEST
        text = retried(
            lambda: path.read_text() if path.exists() else "",
            f"reading {self.url}",
            (),
        )
        return _listed(text, str(path))

    def _write_manifest(self, state: str = "") -> None:
        sizes = {name: size for name, (size, _) in self._pushed.items()}
        content = {"files": sizes, "state": state or self.state}
        text = json.dumps(content, indent=2, sort_keys=True)
        (self._remote / MANIFEST).write_text(text)

    def _stamps(self) -> dict[str, _Stamp]:
        found = {}
        for name, path in files_below(self.folder):
            status = path.stat()
            found[name] = (status.st_size, status.st_mtime_ns)
        return found


def _listed(text: str, where: str) -> tuple[list[str], str]:
    """Returns the names in a manifest, none of nothing, and its state.

    Raises:
        InputError: it is not a manifest, or a name leads out of the directory.
    """
    if not text:
        return [], NOTHING
    try:
        content = json.loads(text)
        names = [pathlib.PurePosixPath(name) for name in content["files"]]
        # Earlier versions did not write it.
        state = str(content.get("state", "that of an earlier version"))
    except (AttributeError, LookupError, TypeError, ValueError):
        raise InputError(
            "lists no files of a run",
            where=where,
            remedy="Name a directory of a run, or one that is empty",
        ) from None
    for name in names:
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise InputError(
                "lists a file outside of the run", where=where, got=str(name)
            )
    return [str(name) for name in names], state


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a file; the other side may be an object.

    Objects need no folders, and drivers would make a bucket that is gone anew:
    it would hold what changed last, and lack the rest of the run.
    """
    if not url_scheme(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _BLOCK_BYTES)


def working_folder(url: str, parent: str | os.PathLike) -> pathlib.Path:
    """Returns the local directory below `parent` that belongs to a URL."""
    digest = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    return pathlib.Path(parent) / f"copy-{digest}"


@contextlib.contextmanager
def mirrored(
    path: str | os.PathLike, parent: str | os.PathLike
) -> Iterator[tuple[pathlib.Path, Callable[[str], None]]]:
    """Yields where a run works, and what brings its state to `path`.

    Args:
        path: directory of the run. A local one is where it works.
        parent: local directory in which the copy of a URL lies; one process
            at a time may work in it.

    Yields:
        (local directory, publish): `publish(state)` names the state that is
        published, "step 100", and raises InterruptedRun if the URL does not
        answer, with the name of the last state that it holds.

    Raises:
        InputError: the URL cannot be read or written; or another process of
            this machine works on it.
    """
    if not url_scheme(path):
        yield pathlib.Path(path), lambda state: None
        return
    url = os.fspath(path).rstrip("/")
    folder = working_folder(url, parent)
    mirror = Mirror(url, folder)

    def publish(state: str) -> None:
        try:
            mirror.push(state)
        except StorageError as error:
            raise InterruptedRun(
                f"{error}. The last good checkpoint there: {mirror.state}; "
                "the same command goes on from it"
            ) from None

    with lock_directory(folder, beside=True):
        mirror.pull()
        mirror.check_writable()
        yield folder, publish


def downloaded(
    path: str | os.PathLike, parent: str | os.PathLike, *, where: str
) -> pathlib.Path:
    """Returns a local copy of the model at a URL; a local path as it is.

    Args:
        path: directory of a model, or of a run, whose `preset` is copied.
        parent: local directory in which the copy lies.
        where: flag that named the URL, for messages.

    Raises:
        InputError: nothing is there, or it cannot be read.
    """
    if not url_scheme(path):
        return pathlib.Path(path)
    url = os.fspath(path).rstrip("/")
    remote, folder = as_path(url, where=where), working_folder(url, parent)

    def copy() -> int:
        preset = remote / "preset"
        files = [*files_below(preset if preset.is_dir() else remote)]
        shutil.rmtree(folder, ignore_errors=True)
        for name, file in files:
            _copy(file, folder / name)
        return len(files)

    try:
        found = retried(copy, f"reading {url}")
    except StorageError as error:
        raise InputError(
            f"cannot be read ({error})", where=where, got=url
        ) from None
    if not found:
        raise InputError("holds no files", where=where, got=url)
    return folder
