"""TF Serving's documented behavior over REST, case by case.

`testdata/tf_serving_cases.json` lists them, `docs/tf_serving.md` shows them.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

_FILE = pathlib.Path(__file__).parents[2] / "testdata/tf_serving_cases.json"


@dataclasses.dataclass(frozen=True)
class Case:
    """A request, and what is answered to it.

    Attributes:
        what: is asked.
        request: method and path.
        body: bytes, or None.
        headers: of the request.
        status: of HTTP.
        answer: the JSON, or None where only the status matters.
        raw_answer: the answer's text, where it is no JSON.
        error: a part of the error's message; "" for any.
        tf_serving: what TF Serving answers, where that differs.
    """

    what: str
    request: str
    body: bytes | None
    headers: dict[str, str]
    status: int
    answer: Any = None
    raw_answer: str = ""
    error: str = ""
    tf_serving: str = ""


def cases() -> list[Case]:
    """Returns all cases, those that differ from TF Serving last."""
    found = []
    for row in json.loads(_FILE.read_text(encoding="utf-8")):
        body = None
        if "raw" in row:
            body = row.pop("raw").encode("latin-1")
        elif "json" in row:
            body = json.dumps(row.pop("json")).encode()
        elif "deep" in row:
            depth = row.pop("deep")
            body = b'{"instances":' + b"[" * depth + b"]" * depth + b"}"
        headers = row.pop("headers", {})
        found.append(Case(body=body, headers=headers, **row))
    return found
