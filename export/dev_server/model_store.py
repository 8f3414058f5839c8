"""The newest version of a served model, replaced under load."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from export.dev_server.batching import Batcher, Tensors
from export.saved_model import records
from export.saved_model.session import SessionModel
from export.saved_model.versions import WARM_UP, list_versions
from runkit import InputError

LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"


class NotServed(LookupError):
    """The version asked for is not the one that is served."""


class Servable:
    """One loaded version.

    Args:
        path: directory of the version.
        make_batcher: wraps the function of a signature; None runs each
            request alone.

    Raises:
        InputError: the loader refuses the version, or a warm-up request fails.
    """

    def __init__(
        self,
        path: pathlib.Path,
        make_batcher: Callable[[Callable[[Tensors], Tensors]], Batcher]
        | None = None,
    ):
        self.version = int(path.name)
        self.model = SessionModel(path)
        self.users = 0
        self._batchers: dict[str, Batcher] = {}
        try:
            if (path / WARM_UP).is_file():
                for signature, inputs, _ in records.read_records(
                    path / WARM_UP
                ):
                    self.model.run(signature, inputs)
        except Exception:
            self.model.close()
            raise
        if make_batcher is not None:
            for name in self.model.signatures:
                run = functools.partial(self.model.run_checked, name)
                self._batchers[name] = make_batcher(run)

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        timeout: float | None = None,
    ) -> Tensors:
        """Answers one request.

        Args:
            signature: its name.
            inputs: {input name: array or list}.
            timeout: seconds to wait in the queue; None waits forever.

        Raises:
            InputError: the request does not fit the signature.
            QueueFull, TimeoutError: from the queue.
        """
        arrays = self.model.check_inputs(signature, inputs)
        if signature not in self._batchers:
            return self.model.run_checked(signature, arrays)
        future = self._batchers[signature].submit(arrays)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Answers what is queued, then frees the model."""
        for batcher in self._batchers.values():
            batcher.close()
        self.model.close()


class ModelStore:
    """Serves the newest version in a base path.

    Args:
        base_path: holds the versions as directories with integer names.
        load: path of a version -> Servable.
        poll_seconds: seconds between two looks for a newer version.
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
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.watch, daemon=True)

    def start(self) -> None:
        """Loads the newest version and starts to watch for newer ones.

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
        """Loads the newest version unless that was tried before.

        Not to be called by two threads at once.
        """
        newest = max(list_versions(self._base_path), default=None)
        if newest is None or newest in self._states:
            return
        self._set_state(newest, LOADING)
        try:
            fresh = self._load(self._base_path / str(newest))
        except Exception as error:  # Whatever it is, the old version stays.
            self._set_state(newest, END, str(error))
            print(
                f"version {newest} cannot be served: {error}", file=sys.stderr
            )
            return
        with self._changed:
            old, self._current = self._current, fresh
            self._states[newest] = (AVAILABLE, "")
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
        """
        with self._changed:
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
        """Loads newer versions until `stop`; runs in the store's thread."""
        while not self._stop.wait(self._poll_seconds):
            self.refresh()

    def stop(self) -> None:
        """Stops watching, waits for running requests, frees the model."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._changed:
            current, self._current = self._current, None
        if current is not None:
            self._unload(current)
