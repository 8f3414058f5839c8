"""TF Serving's REST API: predict, status and metadata of one model."""

from __future__ import annotations

import base64
import http.server
import json
import re
import sys
from typing import Any

import numpy as np
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2

from export.dev_server.metrics import CONTENT_TYPE
from export.dev_server.service import DevService, ServiceError, timed
from export.saved_model.versions import METRICS_PATH

_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d{1,19}))?"
    r"(?P<verb>:predict|/metadata)?"
)
# What TF Serving knows and this server does not.
_MISSING = (
    (
        re.compile(r"/v1/models/[^/:]+(/.*)?:(classify|regress)"),
        ":classify and :regress over REST; use :predict with "
        '"signature_name", or Classify over gRPC',
    ),
    (
        re.compile(r"/v1/models/[^/:]+/labels/[^/:]+.*"),
        "version labels; use /versions/NUMBER",
    ),
)
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_SOCKET_SECONDS = 30.0  # Then a silent client loses its thread.
NOTICE = "development server of spactor-al: not TensorFlow Serving"


def make_handler(
    service: DevService, max_bytes: int
) -> type[http.server.BaseHTTPRequestHandler]:
    """Returns the request handler of a `ThreadingHTTPServer`.

    Args:
        service: answers the requests.
        max_bytes: largest body of a request.
    """
    return type(
        "Handler", (_Handler,), {"service": service, "max_bytes": max_bytes}
    )


class _Handler(http.server.BaseHTTPRequestHandler):
    service: DevService
    max_bytes: int
    protocol_version = "HTTP/1.1"
    server_version = "spactor-al-dev-server"
    timeout = _SOCKET_SECONDS
    # Two small packets and a delayed acknowledgement cost 40 ms otherwise.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        pass  # The metrics count; a line per request would bury the rest.

    def do_GET(self) -> None:
        if self.path == METRICS_PATH:
            text = self.service.metrics.text()
            self._send(200, text.encode(), CONTENT_TYPE)
        else:
            self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        value: dict[str, Any]
        try:
            with timed(self.service.metrics, "rest"):
                code, value = 200, self._call()
        except ServiceError as error:
            code, value = _HTTP[error.code], {"error": error.message}
        except RecursionError:
            code, value = 400, {"error": "the body is nested too deeply"}
        except OSError:
            raise  # The client has gone.
        except Exception as error:
            print(f"internal error: {error!r}", file=sys.stderr)
            code, value = 500, {"error": "internal error"}
        # After an error, what is left of the body would be read as a request.
        self.close_connection |= code != 200
        self._send(code, json.dumps(value).encode(), "application/json")

    def _send(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Server", NOTICE)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _call(self) -> dict[str, Any]:
        match = _PATH.fullmatch(self.path)
        for pattern, what in _MISSING:
            if not match and pattern.fullmatch(self.path):
                raise ServiceError(
                    "INVALID_ARGUMENT",
                    f"the development server does not support {what}",
                )
        if not match:
            raise ServiceError(
                "INVALID_ARGUMENT",
                f"Malformed request: {self.command} {self.path[:200]}",
            )
        self.service.check_name(match["name"])
        version = int(match["version"]) if match["version"] else None
        call = self.command, match["verb"]
        if call == ("POST", ":predict"):
            return self._predict(version)
        if call == ("GET", "/metadata"):
            return _metadata(match["name"], *self.service.signatures(version))
        if call == ("GET", None):
            return _status(self.service.store.states(), version)
        if self.command == "POST":
            raise ServiceError("INVALID_ARGUMENT", "POST answers :predict only")
        raise ServiceError("INVALID_ARGUMENT", "predict is a POST request")

    def _predict(self, version: int | None) -> dict[str, Any]:
        body = self._body()
        signature = body.get("signature_name", "")
        by_row = "instances" in body
        if by_row == ("inputs" in body):
            raise ServiceError(
                "INVALID_ARGUMENT",
                "the body has both `instances` and `inputs`; send one of them"
                if by_row
                else "the body has neither `instances` nor `inputs`",
            )
        if not isinstance(signature, str):
            raise ServiceError(
                "INVALID_ARGUMENT", "`signature_name` must be a string"
            )
        value = _decode(body["instances" if by_row else "inputs"])
        inputs = _columns(value) if by_row else value
        _, _, outputs = self.service.predict(version, signature, inputs)
        return _answer_body(outputs, by_row)

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if (
            not re.fullmatch(r"\d{1,12}", length)
            or int(length) > self.max_bytes
        ):
            raise ServiceError(
                "INVALID_ARGUMENT",
                f"Content-Length must be at most {self.max_bytes}",
            )
        data = self.rfile.read(int(length))
        try:
            body = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ServiceError(
                "INVALID_ARGUMENT", f"JSON Parse error: {str(error)[:200]}"
            ) from None
        if not isinstance(body, dict):
            raise ServiceError("INVALID_ARGUMENT", "the body is not an object")
        return body


def _decode(value: Any) -> Any:
    """Replaces {"b64": ...} by its bytes, at any depth.

    Raises:
        ServiceError: it is not base64.
    """
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"b64"}:
        return {key: _decode(item) for key, item in value.items()}
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (ValueError, TypeError):
        raise ServiceError("INVALID_ARGUMENT", "b64 is not base64") from None


def _columns(instances: Any) -> Any:
    """Turns rows into columns; rows of plain values stay a list."""
    if not isinstance(instances, list) or not instances:
        raise ServiceError(
            "INVALID_ARGUMENT", "`instances` must be a list, not empty"
        )
    if not isinstance(instances[0], dict):
        return instances
    names = set(instances[0])
    if any(not isinstance(r, dict) or set(r) != names for r in instances):
        raise ServiceError("INVALID_ARGUMENT", "instances differ in their keys")
    return {name: [row[name] for row in instances] for name in names}


def _answer_body(
    outputs: dict[str, np.ndarray], by_row: bool
) -> dict[str, Any]:
    """Returns the answer as rows or columns; a lone output has no name."""
    columns = {name: _plain(value) for name, value in outputs.items()}
    if len(columns) == 1:
        (only,) = columns.values()
        return {"predictions" if by_row else "outputs": only}
    if not by_row:
        return {"outputs": columns}
    rows = zip(*columns.values(), strict=True)
    return {
        "predictions": [dict(zip(columns, row, strict=True)) for row in rows]
    }


def _plain(value: np.ndarray) -> list:
    if value.dtype != object:
        return value.tolist()
    texts = [item.decode("utf-8", "replace") for item in value.ravel()]
    return np.array(texts, object).reshape(value.shape).tolist()


def _status(
    states: dict[int, tuple[str, str]], version: int | None
) -> dict[str, Any]:
    if version is not None and version not in states:
        raise ServiceError("NOT_FOUND", f"no version {version}")
    return {
        "model_version_status": [
            {
                "version": str(number),
                "state": state,
                "status": {
                    "error_code": "UNKNOWN" if error else "OK",
                    "error_message": error,
                },
            }
            for number, (state, error) in states.items()
            if version in (None, number)
        ]
    }


def _metadata(
    name: str,
    version: int,
    signatures: dict[str, meta_graph_pb2.SignatureDef],
) -> dict[str, Any]:
    plain = {
        key: json_format.MessageToDict(
            signature, preserving_proto_field_name=True
        )
        for key, signature in signatures.items()
    }
    return {
        "model_spec": {
            "name": name,
            "signature_name": "",
            "version": str(version),
        },
        "metadata": {"signature_def": {"signature_def": plain}},
    }
