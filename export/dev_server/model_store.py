"""The newest version of a served model, replaced under load."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator

from export.dev_server.failures import Failures
from export.dev_server.servable import Servable
from export.saved_model.versions import list_versions, version_paths
from runkit import InputError

LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"


class NotServed(LookupError):
    """The version asked for is not the one that is served."""


class Stopping(RuntimeError):
    """The server ends and takes no new requests."""


class ModelStore:
    """Serves the newest version in a base path, as TF Serving does.

    The base path is read again at each poll. A version whose directory goes is
    unloaded; if an older one is left, that is loaded first. One that cannot be
    loaded, such as a copy in progress, is tried again: at the next poll if its
    files have changed, else after growing pauses.

    Args:
        base_path: holds the versions as directories with integer names.
        load: path of a version -> Servable.
        poll_seconds: seconds between two looks at the base path.
    """

    def __init__(
        self,
        base_path: pathlib.Path,
        load: Callable[[pathlib.Path], Servable],
        poll_seconds: float = 1.0,
    ):
        self._base_path, self._load = base_path, load
        self._poll_seconds = poll_seconds
        self._changed = threading.Condition()
        self._current: Servable | None = None
        self._states: dict[int, tuple[str, str]] = {}
        self._failures = Failures(poll_seconds)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.watch, daemon=True)

    def start(self) -> None:
        """Loads the newest version and starts to watch the base path.

        Raises:
            InputError: there is no version, or the newest cannot be served.
        """
        found = list_versions(self._base_path)
        if not found:
            raise InputError(
                "holds no version",
                where=str(self._base_path),
                expected="directories with integer names, as written by "
                "export_main",
            )
        self.refresh()
        if self._current is None:
            raise InputError(
                self._states[found[-1]][1], where=str(self._base_path)
            )
        self._thread.start()

    def refresh(self) -> None:
        """Makes the newest version on disk the one that is served.

        Not to be called by two threads at once.
        """
        if not self._base_path.is_dir():
            return  # A disk that is away for a moment takes no model with it.
        paths = version_paths(self._base_path)
        self._failures.keep_only(paths)
        current = self._current
        if not paths:
            if current is not None:
                print("no version is left: none is served", file=sys.stderr)
                self._replace(current, None)
            return
        newest = max(paths)
        if current is not None and current.version == newest:
            return
        if not self._failures.is_due(newest, paths[newest]):
            return
        fresh = self._loaded(newest, paths[newest])
        if fresh is not None:
            self._replace(current, fresh)

    def _loaded(self, version: int, path: pathlib.Path) -> Servable | None:
        """Loads a version; notes why it cannot be."""
        # A further attempt leaves the error of the last one in the status.
        if not self._failures.has(version):
            self._set_state(version, LOADING)
        files = Failures.files(path)  # Before: they may change meanwhile.
        try:
            return self._load(path)
        except Exception as error:  # Whatever it is, the old version stays.
            self._set_state(version, END, str(error))
            if self._failures.add(version, files, str(error)):
                print(
                    f"version {version} cannot be served: {error}",
                    file=sys.stderr,
                )
            return None

    def _replace(self, old: Servable | None, fresh: Servable | None) -> None:
        with self._changed:
            self._current = fresh
            if fresh is not None:
                self._states[fresh.version] = (AVAILABLE, "")
        if old is not None:
            self._unload(old)

    def _unload(self, servable: Servable) -> None:
        self._set_state(servable.version, UNLOADING)
        with self._changed:
            self._changed.wait_for(lambda: servable.users == 0)
        servable.close()
        self._set_state(servable.version, END)

    def _set_state(self, version: int, state: str, error: str = "") -> None:
        with self._changed:
            self._states[version] = (state, error)

    def states(self) -> dict[int, tuple[str, str]]:
        """Returns {version: (state, error)}, newest first."""
        with self._changed:
            return dict(sorted(self._states.items(), reverse=True))

    @contextlib.contextmanager
    def lease(self, version: int | None = None) -> Iterator[Servable]:
        """Yields the served version, which stays loaded until the end.

        Args:
            version: None means the newest.

        Raises:
            NotServed: it is not the version asked for.
            Stopping: the server ends.
        """
        with self._changed:
            if self._stop.is_set():
                raise Stopping("the server is shutting down")
            servable = self._current
            if servable is None or version not in (None, servable.version):
                raise NotServed(version)
            servable.users += 1
        try:
            yield servable
        finally:
            with self._changed:
                servable.users -= 1
                self._changed.notify_all()

    def watch(self) -> None:
        """Follows the base path until `stop`; runs in the store's thread."""
        while not self._stop.wait(self._poll_seconds):
            try:
                self.refresh()
            except OSError as error:  # What is served goes on.
                print(f"{self._base_path}: {error}", file=sys.stderr)

    def refuse(self) -> None:
        """Refuses new requests from now on; running ones go on."""
        with self._changed:
            self._stop.set()

    def stop(self) -> None:
        """Stops watching, waits for running requests, frees the model."""
        self.refuse()
        if self._thread.is_alive():
            self._thread.join()
        if self._current is not None:
            self._replace(self._current, None)
