"""What the development server answers, whatever the transport.

Codes are gRPC's canonical names; both transports map them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export.dev_server.batching import QueueFull
from export.dev_server.metrics import Metrics
from export.dev_server.model_store import ModelStore
from runkit import InputError

DEFAULT_SIGNATURE = "serving_default"
MOST_ELEMENTS = 1 << 22  # Of one input tensor.


class ServiceError(Exception):
    """An answer other than OK.

    Args:
        code: canonical gRPC name, such as "NOT_FOUND".
        message: for the client.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


class DevService:
    """Answers requests for one model.

    Args:
        name: of the model.
        store: its versions.
        metrics: counts every request.
        timeout_seconds: a request waits for the model at most so long.
    """

    def __init__(
        self,
        name: str,
        store: ModelStore,
        metrics: Metrics,
        timeout_seconds: float = 60.0,
    ):
        self.name, self.store, self.metrics = name, store, metrics
        self.timeout_seconds = timeout_seconds

    def check_name(self, name: str) -> None:
        """Raises ServiceError for another model."""
        if name != self.name:
            raise ServiceError(
                "NOT_FOUND", f"Servable not found for request: Latest({name})"
            )

    def predict(
        self,
        name: str,
        version: int | None,
        signature: str,
        inputs: Any,
        timeout: float | None = None,
        outputs: Iterable[str] = (),
    ) -> tuple[int, str, dict[str, np.ndarray]]:
        """Answers one request.

        Args:
            name: of the model.
            version: None is the newest.
            signature: "" is the default one.
            inputs: {input name: array or list}; anything else stands for the
                value of the only input.
            timeout: the client's, seconds.
            outputs: names wanted; none is all.

        Returns:
            (version, signature, {output name: array}).

        Raises:
            ServiceError: with the code that TF Serving gives.
        """
        self.check_name(name)
        signature = signature or DEFAULT_SIGNATURE
        limit = min(self.timeout_seconds, timeout or self.timeout_seconds)
        try:
            with self.store.lease(version) as servable:
                if not isinstance(inputs, Mapping):
                    inputs = _only_input(servable.model, signature, inputs)
                answer = servable.predict(signature, inputs, limit)
                return servable.version, signature, _filter(answer, outputs)
        except LookupError:
            raise ServiceError(
                "NOT_FOUND",
                f"Servable not found for request: Specific({name}, {version})",
            ) from None
        except InputError as error:
            raise ServiceError("INVALID_ARGUMENT", str(error)) from None
        except QueueFull as error:
            raise ServiceError("RESOURCE_EXHAUSTED", str(error)) from None
        except TimeoutError:
            raise ServiceError("DEADLINE_EXCEEDED", "timed out") from None
        except tf.errors.OpError as error:
            text = (error.message or "")[:500]
            raise ServiceError("INVALID_ARGUMENT", text) from None

    def signatures(self, version: int | None = None) -> tuple[int, dict]:
        """Returns (version, {name: SignatureDef}).

        Raises:
            ServiceError: the version is not served.
        """
        try:
            with self.store.lease(version) as servable:
                return servable.version, servable.model.signatures
        except LookupError:
            raise ServiceError(
                "NOT_FOUND",
                f"Servable not found for request: "
                f"Specific({self.name}, {version})",
            ) from None


class Timed:
    """Counts a request and its code: `with Timed(metrics, "grpc") as t:`."""

    def __init__(self, metrics: Metrics, api: str):
        self._metrics, self._api = metrics, api
        self.code = "OK"

    def __enter__(self) -> Timed:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ServiceError):
            self.code = error.code
        elif isinstance(error, OSError):
            self.code = "CANCELED"  # The client went away.
        elif error is not None:
            self.code = "INTERNAL"
        seconds = time.monotonic() - self._began
        self._metrics.request(self._api, self.code, seconds)


def _only_input(model: Any, signature: str, value: Any) -> dict[str, Any]:
    known = model.signatures.get(signature)
    if known is None or len(known.inputs) != 1:
        # The signature's own check says what is wrong.
        model.check_inputs(signature, {})
    return {next(iter(known.inputs)): value}


def _filter(
    answer: dict[str, np.ndarray], wanted: Iterable[str]
) -> dict[str, np.ndarray]:
    names = list(wanted) or list(answer)
    unknown = [name for name in names if name not in answer]
    if unknown:
        raise ServiceError(
            "INVALID_ARGUMENT", f"unknown outputs in output_filter: {unknown}"
        )
    return {name: answer[name] for name in names}


def tensor_value(proto: Any) -> np.ndarray:
    """Returns the array of a TensorProto from outside.

    Raises:
        ServiceError: it is malformed, or its shape promises more elements
            than it holds (which would be filled up, whatever their number).
    """
    try:
        sizes = [dim.size for dim in proto.tensor_shape.dim]
        count = int(np.prod(sizes, dtype=object)) if sizes else 1
        held = len(proto.string_val) + len(proto.tensor_content)
        if min(sizes, default=0) < 0 or count > MOST_ELEMENTS:
            raise ValueError(f"shape {sizes}")
        if proto.dtype == tf.string.as_datatype_enum and held != count:
            raise ValueError(f"{held} values for shape {sizes}")
        return tf.make_ndarray(proto)
    except Exception as error:
        raise ServiceError(
            "INVALID_ARGUMENT", f"malformed tensor: {str(error)[:200]}"
        ) from None
