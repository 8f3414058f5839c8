"""What the development server answers, whatever the transport.

Codes are gRPC's canonical names; both transports map them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from export.dev_server.batching import QueueFull
from export.dev_server.metrics import Metrics
from export.dev_server.model_store import ModelStore, NotServed, Stopping
from export.saved_model.versions import DEFAULT_SIGNATURE
from runkit import InputError

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

    A transport calls `check_name` once per request, before anything else.

    Args:
        name: of the model.
        store: its versions.
        metrics: counts every request.
        timeout_seconds: the longest time that a request waits for the model.
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
        version: int | None,
        signature: str,
        inputs: Any,
        timeout: float | None = None,
        outputs: Iterable[str] = (),
    ) -> tuple[int, str, dict[str, np.ndarray]]:
        """Answers one request.

        Args:
            version: None means the newest.
            signature: "" means the default one.
            inputs: {input name: array or list}; anything else is taken as the
                value of the signature's only input.
            timeout: seconds that the client waits; None means no limit.
            outputs: names of the outputs to return; empty means all.

        Returns:
            (version, signature, {output name: array}).

        Raises:
            ServiceError: with the code that TF Serving gives.
        """
        signature = signature or DEFAULT_SIGNATURE
        limit = min(self.timeout_seconds, timeout or self.timeout_seconds)
        try:
            with self.store.lease(version) as servable:
                if not isinstance(inputs, Mapping):
                    known = servable.model.signatures.get(signature)
                    names = [] if known is None else list(known.inputs)
                    # Without a name, the model's own check says what is wrong.
                    inputs = {names[0]: inputs} if len(names) == 1 else {}
                answer = servable.predict(signature, inputs, limit)
                return servable.version, signature, _filter(answer, outputs)
        except NotServed as error:
            raise self._not_found(error) from None
        except Stopping as error:
            raise ServiceError("UNAVAILABLE", str(error)) from None
        except InputError as error:
            raise ServiceError("INVALID_ARGUMENT", str(error)) from None
        except QueueFull as error:
            raise ServiceError("RESOURCE_EXHAUSTED", str(error)) from None
        except TimeoutError:
            raise ServiceError("DEADLINE_EXCEEDED", "timed out") from None
        except tf.errors.OpError as error:
            text = (error.message or "")[:500]
            raise ServiceError("INVALID_ARGUMENT", text) from None

    def signatures(
        self, version: int | None = None
    ) -> tuple[int, dict[str, meta_graph_pb2.SignatureDef]]:
        """Returns (version, {name: SignatureDef}).

        Raises:
            ServiceError: the version is not served.
        """
        try:
            with self.store.lease(version) as servable:
                return servable.version, servable.model.signatures
        except NotServed as error:
            raise self._not_found(error) from None
        except Stopping as error:
            raise ServiceError("UNAVAILABLE", str(error)) from None

    def _not_found(self, error: NotServed) -> ServiceError:
        return ServiceError(
            "NOT_FOUND",
            f"Servable not found for request: Specific({self.name}, {error})",
        )


@contextlib.contextmanager
def timed(metrics: Metrics, api: str) -> Iterator[None]:
    """Counts the request that its body answers, by outcome and latency."""
    began, code = time.monotonic(), "OK"
    try:
        yield
    except ServiceError as error:
        code = error.code
        raise
    except OSError:  # The client went away.
        code = "CANCELED"
        raise
    except BaseException:
        code = "INTERNAL"
        raise
    finally:
        metrics.request(api, code, time.monotonic() - began)


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


def tensor_value(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Returns the array of a TensorProto from outside.

    Raises:
        ServiceError: it is malformed, or its shape promises more elements
            than it holds. `make_ndarray` would fill those up, however many
            they are.
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
