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
# Fields of TensorProto by type; the smaller integers are in `int_val`.
_VALUE_FIELDS = {
    tf.bfloat16: "half_val",
    tf.bool: "bool_val",
    tf.complex128: "dcomplex_val",
    tf.complex64: "scomplex_val",
    tf.float16: "half_val",
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int64: "int64_val",
    tf.string: "string_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
}


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


def typed_proto(value: np.ndarray) -> tensor_pb2.TensorProto:
    """Returns a TensorProto with its values in the field of their type.

    TF Serving answers in this form unless it is told otherwise, and clients in
    other languages read `float_val` and the like; `tf.make_tensor_proto` packs
    arrays into `tensor_content`.

    Args:
        value: objects hold texts.
    """
    # All of the session's object arrays hold texts.
    dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in value.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = value.ravel()
    if dtype in (tf.float16, tf.bfloat16):
        flat = flat.view(np.uint16)  # The field holds the bits.
    elif dtype in (tf.complex64, tf.complex128):
        flat = flat.view(flat.real.dtype)  # Real and imaginary parts by turns.
    name = _VALUE_FIELDS.get(dtype, "int_val")
    getattr(proto, name).extend(flat.tolist())
    return proto
