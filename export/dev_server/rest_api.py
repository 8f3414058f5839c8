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

from export.dev_server.service import DevService, ServiceError, Timed

_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d{1,19}))?"
    r"(?P<verb>:predict|/metadata)?"
)
_METRICS = "/monitoring/prometheus/metrics"
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "DEADLINE_EXCEEDED": 504,
}
_SOCKET_SECONDS = 30.0  # A silent client gives its thread back.
NOTICE = "development server of spactor-al: not TensorFlow Serving"


def make_handler(service: DevService, max_bytes: int) -> type:
    """Returns the request handler of a `ThreadingHTTPServer`.

    Args:
        service: answers.
        max_bytes: of a request's body.
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
        pass  # The metrics count; a line a request would bury the rest.

    def do_GET(self) -> None:
        if self.path == _METRICS:
            self._send(200, self.service.metrics.text().encode(), "text/plain")
            return
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, method: Any) -> None:
        try:
            with Timed(self.service.metrics, "rest"):
                code, value = 200, method()
        except ServiceError as error:
            code, value = _HTTP[error.code], {"error": error.message}
        except RecursionError:
            code, value = 400, {"error": "the body is nested too deeply"}
        except OSError:
            raise  # The client has gone.
        except Exception as error:
            print(f"defect while answering: {error!r}", file=sys.stderr)
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

    def _target(self) -> tuple[str, int | None, str]:
        match = _PATH.fullmatch(self.path)
        if not match:
            raise ServiceError(
                "INVALID_ARGUMENT",
                f"Malformed request: {self.command} {self.path[:200]}",
            )
        self.service.check_name(match["name"])
        version = int(match["version"]) if match["version"] else None
        return match["name"], version, match["verb"] or ""

    def _get(self) -> Any:
        name, version, verb = self._target()
        if verb == "/metadata":
            return _metadata(name, *self.service.signatures(version))
        if verb:
            raise ServiceError("INVALID_ARGUMENT", "predict is a POST request")
        return _status(self.service.store.states(), version)

    def _post(self) -> Any:
        name, version, verb = self._target()
        if verb != ":predict":
            raise ServiceError("INVALID_ARGUMENT", "POST answers :predict only")
        body = self._body()
        signature = body.get("signature_name", "")
        rows = "instances" in body
        if rows == ("inputs" in body) or not isinstance(signature, str):
            raise ServiceError(
                "INVALID_ARGUMENT",
                "the body needs either `instances` or `inputs`, and a string "
                "as `signature_name`, if any",
            )
        value = _decode(body["instances" if rows else "inputs"])
        inputs = _columns(value) if rows else value
        _, _, outputs = self.service.predict(name, version, signature, inputs)
        return _rows(outputs) if rows else _named(outputs)

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
    """Reads {"b64": ...} as bytes, everywhere.

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
        raise ServiceError("INVALID_ARGUMENT", "`instances` is no filled list")
    if not isinstance(instances[0], dict):
        return instances
    names = set(instances[0])
    if any(not isinstance(r, dict) or set(r) != names for r in instances):
        raise ServiceError("INVALID_ARGUMENT", "instances differ in their keys")
    return {name: [row[name] for row in instances] for name in names}


def _rows(outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    columns = {name: _plain(value) for name, value in outputs.items()}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(names, row, strict=True)) for row in rows]}


def _named(outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    columns = {name: _plain(value) for name, value in outputs.items()}
    only = next(iter(columns.values()))
    return {"outputs": only if len(columns) == 1 else columns}


def _plain(value: np.ndarray) -> list:
    if value.dtype != object:
        return value.tolist()
    texts = [item.decode("utf-8", "replace") for item in value.ravel()]
    return np.array(texts, object).reshape(value.shape).tolist()


def _status(states: dict, version: int | None) -> dict[str, Any]:
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


def _metadata(name: str, version: int, signatures: dict) -> dict[str, Any]:
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
