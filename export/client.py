"""A client for TF Serving and for the development server.

client = Client("localhost:8500", "t5")
client.predict("classify", {"text": ["some text"]})["margin"]
"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from export.c_api.tensors import proto_array
from export.request_inputs import (
    checked_inputs,
    from_json,
    tensor_proto,
    to_json,
)
from runkit import InputError
from runkit.errors import check_choice

TRANSPORTS = ("grpc", "rest")
# Failures that may pass. Trying again is safe: signatures have no side effects.
_TRY_AGAIN = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"})
_CODE_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    411: "INVALID_ARGUMENT",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RemoteError(RuntimeError):
    """A request that the server refused, or that failed after all retries.

    Attributes:
        code: canonical gRPC name, such as "UNAVAILABLE".
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code


class Transport(Protocol):
    """How a client reaches a server: one attempt per call, no retries."""

    def call(
        self, signature: str, inputs: Mapping[str, Any], timeout: float
    ) -> dict[str, np.ndarray]:
        """Returns {output name: array} of one request.

        Args:
            signature: its name.
            inputs: {input name: list or array of rows}.
            timeout: seconds.

        Raises:
            RemoteError: the server does not answer, or refuses.
        """

    def served_version(self, timeout: float) -> int:
        """Returns the version that answers now; fails as `call` does."""

    def close(self) -> None:
        """Closes the connection."""


class Client:
    """Calls the signatures of one model; over gRPC, threads may share it.

    Args:
        address: "host:port", without a scheme.
        model_name: name under which the model is served.
        transport: "grpc", "rest" or an object that sends the requests.
        version: None means the newest.
        batch_size: most rows of one request; longer inputs are split.
        deadline_seconds: for one `predict` with all its requests and retries.
        retries: further attempts for each request.
        first_pause_seconds: before the first retry; each pause is twice as
            long as the one before, and shortened by a random part of up to a
            half, so that many clients do not retry at once.
        sleep: waits; replaced in tests.

    Raises:
        InputError: an address without a port, or an unknown transport.
    """

    def __init__(
        self,
        address: str,
        model_name: str = "t5",
        *,
        transport: str | Transport = "grpc",
        version: int | None = None,
        batch_size: int = 64,
        deadline_seconds: float = 60.0,
        retries: int = 5,
        first_pause_seconds: float = 0.1,
        sleep: Callable[[float], None] = time.sleep,
    ):
        if isinstance(transport, str):
            check_choice(transport, TRANSPORTS, where="transport")
        host, _, port = address.rpartition(":")
        is_port = port.isdecimal() and port.isascii() and int(port) < 2**16
        if not host or "/" in address or not is_port:
            raise InputError(
                "is not an address",
                where="address",
                got=address,
                expected="host:port",
            )
        if isinstance(transport, str):
            kind = _GrpcTransport if transport == "grpc" else _RestTransport
            transport = kind(address, model_name, version)
        self._transport: Transport = transport
        self._batch_size, self._deadline = batch_size, deadline_seconds
        self._retries, self._pause = retries, first_pause_seconds
        self._sleep = sleep

    def predict(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature for any number of rows.

        Args:
            signature: its name.
            inputs: {input name: list or array of rows}, all of one length.

        Returns:
            {output name: array}, of the same types over both transports; texts
            are bytes in object arrays.

        Raises:
            InputError: a lone text, or inputs that are not rows of texts or of
                numbers, of one length.
            RemoteError: the server refuses, or all attempts failed.
        """
        inputs = checked_inputs(inputs)
        rows = len(next(iter(inputs.values())))
        end = time.monotonic() + self._deadline
        answers = [
            self._call(
                signature,
                {k: v[i : i + self._batch_size] for k, v in inputs.items()},
                end,
            )
            for i in range(0, max(rows, 1), self._batch_size)
        ]
        return {
            name: np.concatenate([answer[name] for answer in answers])
            for name in answers[0]
        }

    def _call(
        self, signature: str, inputs: Mapping[str, Any], end: float
    ) -> dict[str, np.ndarray]:
        pause = self._pause
        for attempt in range(self._retries + 1):
            left = end - time.monotonic()
            if left <= 0:
                raise RemoteError("DEADLINE_EXCEEDED", "out of time")
            try:
                return self._transport.call(signature, inputs, left)
            except RemoteError as error:
                if error.code not in _TRY_AGAIN or attempt == self._retries:
                    raise
            self._sleep(min(pause * random.uniform(0.5, 1.0), left))
            pause *= 2
        raise AssertionError("unreachable")

    def served_version(self) -> int:
        """Returns the version that answers now.

        Raises:
            RemoteError: the server does not answer.
        """
        return self._transport.served_version(self._deadline)

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()


class _GrpcTransport:
    def __init__(self, address: str, model_name: str, version: int | None):
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc as stubs

        self._channel = grpc.insecure_channel(
            address, options=[("grpc.max_receive_message_length", -1)]
        )
        self._stub = stubs.PredictionServiceStub(self._channel)
        self._name, self._version = model_name, version
        self._error = grpc.RpcError

    def _specify(self, spec: Any) -> None:
        spec.name = self._name
        if self._version is not None:
            spec.version.value = self._version

    def _ask(self, method: Callable, request: Any, timeout: float) -> Any:
        try:
            return method(request, timeout=timeout)
        except self._error as error:
            raise RemoteError(error.code().name, error.details()) from None

    def call(
        self, signature: str, inputs: Mapping[str, Any], timeout: float
    ) -> dict[str, np.ndarray]:
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._specify(request.model_spec)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tensor_proto(value))
        response = self._ask(self._stub.Predict, request, timeout)
        return {k: proto_array(v) for k, v in response.outputs.items()}

    def served_version(self, timeout: float) -> int:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        self._specify(request.model_spec)
        request.metadata_field.append("signature_def")
        response = self._ask(self._stub.GetModelMetadata, request, timeout)
        return response.model_spec.version.value

    def close(self) -> None:
        self._channel.close()


class _RestTransport:
    def __init__(self, address: str, model_name: str, version: int | None):
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        path = f"/v1/models/{model_name}"
        self._path = path if version is None else f"{path}/versions/{version}"
        self._connection: http.client.HTTPConnection | None = None
        self._outputs: dict[str, dict[str, Any]] = {}

    def _ask(
        self, method: str, path: str, body: str | None, timeout: float
    ) -> dict[str, Any]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address)
        connection = self._connection
        try:
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            connection.request(method, path, body)
            response = connection.getresponse()
            code, data = response.status, response.read()
        except TimeoutError:
            self.close()
            raise RemoteError("DEADLINE_EXCEEDED", "out of time") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise RemoteError("UNAVAILABLE", str(error)) from None
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            message = f"the answer is not a JSON object: {data[:80]!r}"
            raise RemoteError("INTERNAL", message) from None
        if code != 200:
            name = _CODE_OF_HTTP.get(code, "INTERNAL")
            raise RemoteError(name, str(answer.get("error", "")))
        return answer

    def call(
        self, signature: str, inputs: Mapping[str, Any], timeout: float
    ) -> dict[str, np.ndarray]:
        columns = {name: to_json(value) for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns})
        answer = self._ask("POST", f"{self._path}:predict", body, timeout)
        try:
            outputs = answer["outputs"]
            # A lone output comes without its name.
            names = set(outputs) if isinstance(outputs, dict) else None
            known = self._known(signature, names, timeout)
            if names is None:
                (name,) = known
                outputs = {name: outputs}
            return {k: from_json(v, known[k]) for k, v in outputs.items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RemoteError(
                "INTERNAL",
                f"the answer does not fit signature {signature}: {error!r}",
            ) from None

    def _known(
        self, signature: str, names: set[str] | None, timeout: float
    ) -> dict[str, Any]:
        """Returns names, types and shapes, which the answers do not tell.

        They are asked for again where an answer has other names: the server
        may serve a newer version by now.
        """
        known = self._outputs.get(signature)
        if known is None or (
            len(known) != 1 if names is None else names != set(known)
        ):
            card = self._ask("GET", f"{self._path}/metadata", None, timeout)
            found = card["metadata"]["signature_def"]["signature_def"]
            known = self._outputs[signature] = found[signature]["outputs"]
        return known

    def served_version(self, timeout: float) -> int:
        answer = self._ask("GET", f"{self._path}/metadata", None, timeout)
        return int(answer["model_spec"]["version"])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
