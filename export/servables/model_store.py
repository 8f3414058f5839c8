"""The served versions of one model, replaced under load."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator

from export.saved_model.versions import version_paths
from export.servables.failures import Failures
from export.servables.model_config import ModelConfig
from export.servables.servable import Servable
from runkit import InputError

LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"


class NotServed(LookupError):
    """The version asked for is not one that is served."""


class Stopping(RuntimeError):
    """The server ends and takes no new requests."""


class ModelStore:
    """Serves the versions that a model's policy names, as TF Serving does.

    The base path is read again at each poll. A version that is no longer to be
    served, or whose directory goes, is unloaded, but only once another one is
    served in its place or none is left to wait for. One that cannot be loaded,
    such as a copy in progress, is tried again: at the next poll if its files
    have changed, else after growing pauses.

    Args:
        config: where the versions are, and which of them are served.
        load: path of a version -> Servable.
        poll_seconds: seconds between two looks at the base path.
    """

    def __init__(
        self,
        config: ModelConfig,
        load: Callable[[pathlib.Path], Servable],
        poll_seconds: float = 1.0,
    ):
        self.config, self._load = config, load
        self._poll_seconds = poll_seconds
        self._changed = threading.Condition()
        self._refreshing = threading.Lock()
        self._served: dict[int, Servable] = {}
        self._states: dict[int, tuple[str, str]] = {}
        self._failures = Failures(poll_seconds)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.watch, daemon=True)

    def start(self) -> None:
        """Loads the versions and starts to watch the base path.

        Raises:
            InputError: there is no version, or none can be served.
        """
        where = str(self.config.base_path)
        aspired = self.config.aspired(version_paths(self.config.base_path))
        if not aspired:
            raise InputError(
                "holds no version"
                if self.config.specific is None
                else f"holds none of the versions {set(self.config.specific)}",
                where=where,
                expected="directories with integer names, as written by "
                "export_main",
            )
        self.refresh()
        if not self._served:
            raise InputError(self._states[max(aspired)][1], where=where)
        self._thread.start()

    def configure(self, config: ModelConfig) -> None:
        """Serves by another policy from now on; the base path stays."""
        self.config = config
        self.refresh()

    def refresh(self) -> None:
        """Loads and unloads until the versions that are wanted are served."""
        with self._refreshing:
            config = self.config
            if not config.base_path.is_dir():
                return  # A disk that is away for a moment takes no model along.
            aspired = config.aspired(version_paths(config.base_path))
            self._failures.keep_only(aspired)
            for version, path in aspired.items():  # The newest first.
                if version not in self._served and self._failures.is_due(
                    version, path
                ):
                    self._try(version, path)
            surplus = sorted(set(self._served) - set(aspired))
            if aspired and not set(self._served) & set(aspired):
                return  # What is served stays until something replaces it.
            if surplus and not aspired:
                print(
                    f"{config.name}: no version is left: none is served",
                    file=sys.stderr,
                )
            for version in surplus:
                self._unload(version)

    def _try(self, version: int, path: pathlib.Path) -> None:
        """Serves a version, or notes why it cannot be."""
        # A further attempt leaves the error of the last one in the status.
        if not self._failures.has(version):
            self._set_state(version, LOADING)
        files = Failures.files(path)  # Before: they may change meanwhile.
        try:
            servable = self._load(path)
        except Exception as error:  # Whatever it is, what is served stays.
            self._set_state(version, END, str(error))
            if self._failures.add(version, files, str(error)):
                print(
                    f"version {version} cannot be served: {error}",
                    file=sys.stderr,
                )
            return
        with self._changed:
            self._served[version] = servable
            self._states[version] = (AVAILABLE, "")

    def _unload(self, version: int) -> None:
        with self._changed:
            servable = self._served.pop(version)
            self._states[version] = (UNLOADING, "")
            self._changed.wait_for(lambda: servable.users == 0)
        servable.close()
        self._set_state(version, END)

    def _set_state(self, version: int, state: str, error: str = "") -> None:
        with self._changed:
            self._states[version] = (state, error)

    def states(self) -> dict[int, tuple[str, str]]:
        """Returns {version: (state, error)}, newest first."""
        with self._changed:
            return dict(sorted(self._states.items(), reverse=True))

    @contextlib.contextmanager
    def lease(self, version: int | None = None) -> Iterator[Servable]:
        """Yields a served version, which stays loaded until the end.

        Args:
            version: None means the newest that is served.

        Raises:
            NotServed: it is not the version asked for.
            Stopping: the server ends.
        """
        with self._changed:
            if self._stop.is_set():
                raise Stopping("the server is shutting down")
            if version is None:
                version = max(self._served, default=None)
            if version not in self._served:
                raise NotServed(version)
            servable = self._served[version]
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
                print(f"{self.config.base_path}: {error}", file=sys.stderr)

    def refuse(self) -> None:
        """Refuses new requests from now on; running ones go on."""
        with self._changed:
            self._stop.set()

    def stop(self) -> None:
        """Stops watching, waits for running requests, frees the versions."""
        self.refuse()
        if self._thread.is_alive():
            self._thread.join()
        with self._refreshing:
            for version in sorted(self._served):
                self._unload(version)
