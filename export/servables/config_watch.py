"""Follows a `models.config` that is edited while the server runs."""

from __future__ import annotations

import pathlib
import sys
import threading
from collections.abc import Callable, Mapping

from export.servables.model_config import ModelConfig, read_config_file
from export.servables.model_store import Stopping
from runkit import InputError


class ConfigWatch:
    """Applies a configuration file at each poll, as TF Serving does.

    A label that is refused because its version still loads is thus taken at a
    later poll.

    Args:
        path: of the file.
        apply: takes {name: configuration}.
        poll_seconds: seconds between two looks at it; 0 reads it once.
    """

    def __init__(
        self,
        path: pathlib.Path,
        apply: Callable[[Mapping[str, ModelConfig]], None],
        poll_seconds: float = 0.0,
    ):
        self._path, self._apply = path, apply
        self._poll_seconds = poll_seconds
        self._refused = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.follow, daemon=True)

    def start(self) -> None:
        """Applies the file, then watches it.

        Raises:
            InputError: it cannot be read, or is refused.
        """
        self._apply(read_config_file(self._path))
        if self._poll_seconds:
            self._thread.start()

    def refresh(self) -> None:
        """Applies the file; why it is refused is reported once."""
        try:
            self._apply(read_config_file(self._path))
            self._refused = ""
        except (InputError, OSError, Stopping) as error:
            if str(error) != self._refused:
                self._refused = str(error)
                print(f"{self._path} is not applied: {error}", file=sys.stderr)

    def follow(self) -> None:
        """Applies the file at each poll; runs in the watch's thread."""
        while not self._stop.wait(self._poll_seconds):
            self.refresh()

    def stop(self) -> None:
        """Ends the watch."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
