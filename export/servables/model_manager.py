"""The models of one server, changed while it runs."""

from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping

from export.servables.model_config import ModelConfig
from export.servables.model_store import (
    AVAILABLE,
    ModelStore,
    NotServed,
    Stopping,
)
from export.servables.servable import Servable
from runkit import InputError


class UnknownLabel(LookupError):
    """A label that no version of the model has."""


class LabelRefused(InputError):
    """A label of a version that is not served yet."""


class NotAvailable(InputError):
    """A new model of which no version can be served."""


class ModelManager:
    """Serves the models of a configuration, and of each the next one.

    Args:
        load: path of a version -> Servable.
        poll_seconds: seconds between two looks at each base path.
        labels_ahead: take labels of versions that are not served yet, unless
            the label is in use for another version.
    """

    def __init__(
        self,
        load: Callable[[pathlib.Path], Servable],
        poll_seconds: float = 1.0,
        labels_ahead: bool = False,
    ):
        self._load, self._poll_seconds = load, poll_seconds
        self._labels_ahead = labels_ahead
        self._reloading = threading.Lock()
        self._stores: dict[str, ModelStore] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._stopping = False

    def reload(self, configs: Mapping[str, ModelConfig]) -> None:
        """Makes these the models that are served, and no others.

        New models are loaded first and removed ones unloaded last. If a new
        one cannot be served, everything stays as it was.

        Args:
            configs: {name: configuration}.

        Raises:
            LabelRefused: a label of a version that is not served.
            NotAvailable: a new model cannot be served.
            InputError: there is no such base path.
            Stopping: the server ends.
        """
        with self._reloading:
            if self._stopping:
                raise Stopping("the server is shutting down")
            for name, config in configs.items():
                self._check_labels(name, config.labels)
                if not config.base_path.is_dir():
                    raise InputError(
                        "holds no version: could not find base path",
                        where=f"model {name}",
                        got=str(config.base_path),
                    )
            old = self._stores
            fresh = self._start_new(configs)
            self._stores = {
                name: fresh.get(name) or old[name] for name in configs
            }
            for name, config in configs.items():
                if name not in fresh:
                    self._stores[name].configure(config)
            self._labels = {
                name: dict(config.labels) for name, config in configs.items()
            }
            for name, store in old.items():
                if self._stores.get(name) is not store:
                    store.stop()

    def _check_labels(self, name: str, labels: Mapping[str, int]) -> None:
        states = self.states(name)
        for label, version in labels.items():
            if states.get(version, ("",))[0] == AVAILABLE:
                continue
            now = self._labels.get(name, {}).get(label, version)
            if not self._labels_ahead or now != version:
                raise LabelRefused(
                    f"request to assign label {label!r} to version {version}, "
                    "which is not currently available for inference",
                    where=f"model {name}",
                    remedy="Serve the version first, then assign the label"
                    + (
                        ""
                        if self._labels_ahead
                        else ", or start the server with "
                        "--allow_version_labels_for_unavailable_models"
                    ),
                )

    def _start_new(
        self, configs: Mapping[str, ModelConfig]
    ) -> dict[str, ModelStore]:
        """Returns running stores of the models that are new or have moved."""
        fresh: dict[str, ModelStore] = {}
        for name, config in configs.items():
            known = self._stores.get(name)
            if known and known.config.base_path == config.base_path:
                continue
            store = ModelStore(config, self._load, self._poll_seconds)
            try:
                store.start()
            except InputError as error:
                for other in (*fresh.values(), store):
                    other.stop()
                raise NotAvailable(str(error), where=f"model {name}") from None
            fresh[name] = store
        return fresh

    @contextlib.contextmanager
    def lease(
        self, name: str, version: int | None = None, label: str = ""
    ) -> Iterator[Servable]:
        """Yields a version, which stays loaded until the end.

        Args:
            name: of the model.
            version: None means the newest that is served.
            label: of a version, instead of its number; "" for none.

        Raises:
            UnknownLabel: no version of the model has it.
            NotServed: there is no such model, or no such version of it.
            Stopping: the server ends.
        """
        if label:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise UnknownLabel(label)
        store = self._stores.get(name)
        if store is None:
            if self._stopping:
                raise Stopping("the server is shutting down")
            raise NotServed(name)
        with store.lease(version) as servable:
            yield servable

    def names(self) -> list[str]:
        """Returns the names of the models."""
        return list(self._stores)

    def states(self, name: str) -> dict[int, tuple[str, str]]:
        """Returns {version: (state, error)} of a model, newest first."""
        store = self._stores.get(name)
        return {} if store is None else store.states()

    def refuse(self) -> None:
        """Refuses new requests from now on; running ones go on."""
        self._stopping = True
        for store in self._stores.values():
            store.refuse()

    def stop(self) -> None:
        """Waits for running requests and frees all models."""
        self.refuse()
        with self._reloading:
            for store in self._stores.values():
                store.stop()
