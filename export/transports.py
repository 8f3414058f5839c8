"""How a client reaches a server: over gRPC or REST, one attempt per call."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from export.c_api.tensors import proto_array
from export.request_inputs import (
    from_json,
    is_text,
    tensor_proto,
    to_json,
)

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


class GrpcTransport:
    """Over gRPC; threads may share it.

    Args:
        address: "host:port".
        model_name: name under which the model is served.
        version: None means the newest.
    """

    def __init__(self, address: str, model_name: str, version: int | None):
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc as stubs

        self._channel = grpc.insecure_channel(
            address, options=[("grpc.max_receive_message_length", -1)]
        )
        self._stub = stubs.PredictionServiceStub(self._channel)
        self._name, self._version = model_name, version
        self._error = grpc.RpcError
        self._known: dict[str, dict[str, int]] = {}

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
        """See `Transport`."""
        predict = self._stub.Predict
        request = self._request(signature, inputs, timeout)
        try:
            response = self._ask(predict, request, timeout)
        except RemoteError as error:
            if error.code != "INVALID_ARGUMENT" or not self._known.pop(
                signature, None
            ):
                raise
            # A newer version may have other types.
            again = self._request(signature, inputs, timeout)
            if again == request:
                raise
            response = self._ask(predict, again, timeout)
        return {k: proto_array(v) for k, v in response.outputs.items()}

    def _request(
        self, signature: str, inputs: Mapping[str, Any], timeout: float
    ) -> Any:
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._specify(request.model_spec)
        request.model_spec.signature_name = signature
        types: Mapping[str, int] = {}
        if not all(len(v) and is_text(v) for v in inputs.values()):
            types = self._types(signature, timeout)
        for name, value in inputs.items():
            proto = tensor_proto(value, types.get(name, 0))
            request.inputs[name].CopyFrom(proto)
        return request

    def _types(self, signature: str, timeout: float) -> dict[str, int]:
        """Returns the DataType of each input; of an unknown signature none."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        if signature not in self._known:
            found = get_model_metadata_pb2.SignatureDefMap()
            self._metadata(timeout).metadata["signature_def"].Unpack(found)
            if signature not in found.signature_def:
                return {}
            self._known[signature] = {
                name: info.dtype
                for name, info in found.signature_def[signature].inputs.items()
            }
        return self._known[signature]

    def _metadata(self, timeout: float) -> Any:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        self._specify(request.model_spec)
        request.metadata_field.append("signature_def")
        return self._ask(self._stub.GetModelMetadata, request, timeout)

    def served_version(self, timeout: float) -> int:
        """See `Transport`."""
        return self._metadata(timeout).model_spec.version.value

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()


class RestTransport:
    """Over REST, with one connection.

    Args:
        address: "host:port".
        model_name: name under which the model is served.
        version: None means the newest.
    """

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
        """See `Transport`."""
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
        """See `Transport`."""
        answer = self._ask("GET", f"{self._path}/metadata", None, timeout)
        return int(answer["model_spec"]["version"])

    def close(self) -> None:
        """See `Transport`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
