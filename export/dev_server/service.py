"""What the development server answers, whatever the transport.

Codes are gRPC's canonical names; both transports map them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from export.c_api.library import TensorFlowError
from export.c_api.messages import SignatureDef
from export.dev_server.errors import ServiceError
from export.dev_server.metrics import Metrics
from export.saved_model.versions import DEFAULT_SIGNATURE
from export.servables.batching import QueueFull
from export.servables.model_manager import ModelManager, UnknownLabel
from export.servables.model_store import NotServed, Stopping
from export.servables.servable import Servable
from runkit import InputError, closest


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Which model a request is for.

    Attributes:
        name: of the model.
        version: None means the newest that is served.
        label: of a version, instead of its number; "" for none.
        signature: "" means the default one.
    """

    name: str
    version: int | None = None
    label: str = ""
    signature: str = ""

    @property
    def signature_name(self) -> str:
        """Name of the signature that answers."""
        return self.signature or DEFAULT_SIGNATURE

    def __str__(self) -> str:
        if self.version is None:
            return f"Latest({self.name})"
        return f"Specific({self.name}, {self.version})"


class DevService:
    """Answers requests for the models of one server.

    Args:
        manager: their versions.
        metrics: counts every request.
        timeout_seconds: the longest time that a request waits for the model.
    """

    def __init__(
        self,
        manager: ModelManager,
        metrics: Metrics,
        timeout_seconds: float = 60.0,
    ):
        self.manager, self.metrics = manager, metrics
        self._timeout_seconds = timeout_seconds

    @contextlib.contextmanager
    def lease(self, spec: ModelSpec) -> Iterator[Servable]:
        """Yields the version that a request is for.

        Raises:
            ServiceError: there is none; or, in place of an error of the block,
                with the code that TF Serving gives for it.
        """
        if not spec.name:
            raise ServiceError(
                "INVALID_ARGUMENT", "ModelSpec has no name specified."
            )
        try:
            with self.manager.lease(
                spec.name, spec.version, spec.label
            ) as servable:
                yield servable
        except UnknownLabel as error:
            raise ServiceError(
                "INVALID_ARGUMENT",
                f"Unrecognized servable version label: {error}",
            ) from None
        except NotServed:
            raise ServiceError(
                "NOT_FOUND", f"Servable not found for request: {spec}"
            ) from None
        except Stopping as error:
            raise ServiceError("UNAVAILABLE", str(error)) from None
        except InputError as error:
            raise ServiceError("INVALID_ARGUMENT", str(error)) from None
        except QueueFull as error:
            raise ServiceError("RESOURCE_EXHAUSTED", str(error)) from None
        except TimeoutError:
            raise ServiceError("DEADLINE_EXCEEDED", "timed out") from None
        except TensorFlowError as error:
            text = error.message[:500]
            raise ServiceError("INVALID_ARGUMENT", text) from None

    def run(
        self,
        servable: Servable,
        spec: ModelSpec,
        inputs: Mapping[str, Any],
        timeout: float | None,
        api: str,
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature, and measures the time.

        Args:
            servable: a leased version.
            spec: names the signature.
            inputs: {input name: array or list}.
            timeout: seconds that the client waits; None means no limit.
            api: "Predict", "Classify" and so on, for the metrics.

        Raises:
            InputError, QueueFull, TimeoutError: from `Servable.predict`.
        """
        limit = min(self._timeout_seconds, timeout or self._timeout_seconds)
        began = time.monotonic()
        answer = servable.predict(spec.signature_name, inputs, limit)
        self.metrics.runtime(spec.name, api, time.monotonic() - began)
        return answer

    def predict(
        self,
        spec: ModelSpec,
        read_inputs: Callable[[SignatureDef], Mapping[str, Any]],
        timeout: float | None = None,
        outputs: Iterable[str] = (),
    ) -> tuple[int, dict[str, np.ndarray]]:
        """Answers one request.

        Args:
            spec: which model and signature.
            read_inputs: SignatureDef -> {input name: array or list}.
            timeout: seconds that the client waits; None means no limit.
            outputs: names of the outputs to return; empty means all.

        Returns:
            (version, {output name: array}).

        Raises:
            ServiceError: with the code that TF Serving gives.
        """
        with self.lease(spec) as servable:
            known = servable.model.signatures.get(spec.signature_name)
            if known is None:
                near = closest(spec.signature_name, servable.model.signatures)
                raise ServiceError(
                    "FAILED_PRECONDITION",
                    f'Serving signature key "{spec.signature_name}" not '
                    f"found. {near}",
                )
            wanted = _checked_filter(known, list(outputs))
            answer = self.run(
                servable, spec, read_inputs(known), timeout, "Predict"
            )
            return servable.version, {name: answer[name] for name in wanted}

    def signatures(
        self, spec: ModelSpec
    ) -> tuple[int, dict[str, SignatureDef]]:
        """Returns (version, {name: SignatureDef}).

        Raises:
            ServiceError: the version is not served.
        """
        with self.lease(spec) as servable:
            return servable.version, servable.model.signatures

    def states(self, spec: ModelSpec) -> dict[int, tuple[str, str]]:
        """Returns {version: (state, error)}, newest first.

        Labels are not looked at, as TF Serving does not.

        Args:
            spec: the model, and the version if only that is asked for.

        Raises:
            ServiceError: there is no such model or version.
        """
        found = self.manager.states(spec.name)
        if spec.version is not None:
            if spec.version not in found:
                raise ServiceError(
                    "NOT_FOUND",
                    f"Could not find version {spec.version} of model "
                    f"{spec.name}",
                )
            return {spec.version: found[spec.version]}
        if not found:
            raise ServiceError(
                "NOT_FOUND",
                f"Could not find any versions of model {spec.name}",
            )
        return found

    @contextlib.contextmanager
    def counted(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts the request that its body answers, by outcome and latency.

        Args:
            model: name in the request. One that is not served is counted
                without its name: clients could invent any number of them.
            api: "Predict" and so on.
            entrypoint: "GRPC" or "REST".
        """
        name = model if model in self.manager.names() else ""
        began, code = time.monotonic(), "OK"
        try:
            yield
        except ServiceError as error:
            code = error.code
            raise
        except BaseException:
            code = "INTERNAL"
            raise
        finally:
            seconds = time.monotonic() - began
            self.metrics.request(name, api, entrypoint, code, seconds)


def _checked_filter(known: SignatureDef, wanted: list[str]) -> list[str]:
    unknown = [name for name in wanted if name not in known.outputs]
    if unknown:
        raise ServiceError(
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: "
            f"{unknown[0]} Outputs expected to be in the set "
            f"{{{','.join(sorted(known.outputs))}}}.",
        )
    for name in wanted:
        if wanted.count(name) > 1:
            raise ServiceError(
                "INVALID_ARGUMENT", f"duplicate output tensor alias: {name}"
            )
    return wanted or list(known.outputs)
