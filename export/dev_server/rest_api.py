"""TF Serving's REST API apart from HTTP: a request in, an answer out."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import sys
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from export.dev_server import inference
from export.dev_server.errors import ServiceError
from export.dev_server.json_tensors import (
    examples_input,
    parse_body,
    predict_inputs,
)
from export.dev_server.metrics import CONTENT_TYPE
from export.dev_server.service import DevService, ModelSpec
from export.dev_server.tensors import decimals, predict_body
from export.saved_model.versions import METRICS_PATH

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)",
    re.IGNORECASE | re.ASCII,
)
_GET = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?P<method>/metadata)?",
    re.IGNORECASE | re.ASCII,
)
_HTTP = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_WORTH_COMPRESSING = 1400  # Bytes: less fits into one packet.
NOTICE = "development server of spactor-al: not TensorFlow Serving"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What goes back to the client.

    Attributes:
        status: HTTP status.
        body: bytes, as the headers say.
        headers: {name: value}.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]


def error_answer(status: int, message: str) -> Answer:
    """Returns an error in the form of all of them."""
    body = json.dumps({"error": message}).encode()
    return Answer(status, body, {"Content-Type": "application/json"})


class RestApi:
    """Answers requests; threads may share it.

    Args:
        service: answers what concerns models.
        enable_cors: allow other sites' pages to call.
    """

    def __init__(self, service: DevService, enable_cors: bool = False):
        self._service = service
        self._cors = _CORS if enable_cors else {}

    def answer(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        """Answers one request; nothing is raised.

        Args:
            method: of HTTP, in capitals.
            path: with the query, as it was sent.
            body: uncompressed.
            headers: of the request; names in any case.
        """
        try:
            answer = self._answer(method, path, body, headers)
        except RecursionError:
            answer = error_answer(400, "the body is nested too deeply")
        except Exception as error:
            print(f"internal error: {error!r}", file=sys.stderr)
            answer = error_answer(500, "internal error")
        extra = {"X-Server": NOTICE, **self._cors}
        body = answer.body
        accepted = headers.get("Accept-Encoding", "")
        if len(body) >= _WORTH_COMPRESSING and re.search(
            r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", accepted
        ):
            body = gzip.compress(body, 1)
            extra["Content-Encoding"] = "gzip"
        return Answer(answer.status, body, {**answer.headers, **extra})

    def _answer(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        if path == METRICS_PATH:
            text = self._service.metrics.text().encode()
            return Answer(200, text, {"Content-Type": CONTENT_TYPE})
        if not re.match(r"/v1/", path, re.IGNORECASE):
            return error_answer(404, f"no such path: {path[:200]}")
        if method == "OPTIONS":
            if re.search(r"https?://", headers.get("Origin", "")):
                return Answer(200, b"", {})
            return error_answer(
                400, "Origin header is missing in CORS preflight"
            )
        pattern = {"POST": _POST, "GET": _GET}.get(method)
        match = pattern and pattern.fullmatch(path)
        name = urllib.parse.unquote((match and match["name"]) or "")
        api = ((match and match["method"]) or "").lower()
        try:
            with self._service.counted(name, api, "REST"):
                if not match:
                    raise ServiceError(
                        "INVALID_ARGUMENT",
                        f"Malformed request: {method} {path[:200]}",
                    )
                value = self._call(_spec(match, name), method, api, body)
        except ServiceError as error:
            return error_answer(_HTTP[error.code], error.message)
        return Answer(
            200,
            json.dumps(value).encode(),
            {"Content-Type": "application/json"},
        )

    def _call(
        self, spec: ModelSpec, method: str, api: str, body: bytes
    ) -> dict[str, Any]:
        if method == "GET":
            if not spec.name:
                raise ServiceError(
                    "INVALID_ARGUMENT", "Missing model name in request."
                )
            if api == "/metadata":
                return _metadata(spec.name, *self._service.signatures(spec))
            return _status(self._service.states(spec))
        request = parse_body(body)
        spec = dataclasses.replace(
            spec, signature=request.get("signature_name", "")
        )
        if api == "predict":
            _, outputs = self._service.predict(
                spec, lambda signature: predict_inputs(request, signature)
            )
            return predict_body(outputs, "instances" in request)
        examples = examples_input(request)
        if api == "classify":
            _, classes = inference.classify(self._service, spec, examples)
            found = []
            for row in classes.classifications:
                scores = np.array([c.score for c in row.classes], np.float32)
                labels = [c.label for c in row.classes]
                pairs = zip(labels, decimals(scores), strict=True)
                found.append([list(pair) for pair in pairs])
            return {"results": found}
        _, values = inference.regress(self._service, spec, examples)
        numbers = [entry.value for entry in values.regressions]
        return {"results": decimals(np.array(numbers, np.float32))}


def _spec(match: re.Match[str], name: str) -> ModelSpec:
    """Returns which model a path is for.

    Raises:
        ServiceError: the version is beyond any number.
    """
    version = match["version"]
    if version and int(version[:20]) >= 2**63:
        raise ServiceError(
            "INVALID_ARGUMENT",
            f"Failed to convert version: {version[:40]} to numeric.",
        )
    return ModelSpec(
        name,
        int(version) if version else None,
        urllib.parse.unquote(match["label"] or ""),
    )


def _status(states: Mapping[int, tuple[str, str]]) -> dict[str, Any]:
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
        ]
    }


def _metadata(
    name: str, version: int, signatures: Mapping[str, Any]
) -> dict[str, Any]:
    packed = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in signatures.items():
        packed.signature_def[key].MergeFromString(signature.SerializeToString())
    return {
        "model_spec": {
            "name": name,
            "signature_name": "",
            "version": str(version),
        },
        "metadata": {
            "signature_def": json_format.MessageToDict(
                packed,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
        },
    }
