"""Any body of a REST request: the right answer, or a JSON error of 400."""

import base64
import json

import hypothesis
import pytest
from absl.testing import absltest
from hypothesis import strategies as st

from tests.support import served
from tests.support.faults import fuzzing

pytestmark = pytest.mark.slow
PATH = "/v1/models/toy:predict"
TEXTS = st.text(max_size=4) | st.sampled_from(["\ud800", "\0", "é" * 9])
LEAVES = st.one_of(
    TEXTS,
    st.binary(max_size=4).map(
        lambda data: {"b64": base64.b64encode(data).decode()}
    ),
    st.sampled_from([{"b64": "x"}, {"b64": 1}, {"b64": "QQ==", "x": ""}]),
    fuzzing.json_values(("text", "b64", "x")),
)
ROWS = st.lists(
    TEXTS
    | LEAVES
    | st.fixed_dictionaries({"text": LEAVES}, optional={"x": LEAVES}),
    max_size=3,
)
VALUES = st.one_of(
    ROWS,
    st.lists(TEXTS, min_size=1, max_size=3),
    st.lists(st.fixed_dictionaries({"text": TEXTS}), min_size=1, max_size=3),
    st.fixed_dictionaries({"text": ROWS}, optional={"y": ROWS}),
    LEAVES,
)
BODIES = st.dictionaries(
    st.sampled_from(["instances", "inputs", "signature_name", "x"]),
    VALUES,
    max_size=3,
) | st.fixed_dictionaries(
    {"instances": VALUES},
    optional={"signature_name": st.sampled_from(["", "embed", "no", 1, None])},
)


def length(leaf):
    """Bytes of a text or of {"b64": ...}; None: neither."""
    try:
        if isinstance(leaf, str):
            # Half a character of a JSON escape is read as "?".
            return len(leaf.encode("utf-8", "replace"))
        if isinstance(leaf, dict) and set(leaf) == {"b64"}:
            return len(base64.b64decode(leaf["b64"], validate=True))
    except (TypeError, ValueError):
        pass
    return None


def lengths(body):
    """What a right answer is made of; None: the body must be refused."""
    if not isinstance(body, dict) or ("instances" in body) == (
        "inputs" in body
    ):
        return None
    if body.get("signature_name", "") not in ("", "embed"):
        return None
    rows = body.get("instances", body.get("inputs"))
    if "inputs" in body and isinstance(rows, dict) and set(rows) == {"text"}:
        rows = rows["text"]
    elif "instances" in body and isinstance(rows, list):
        keys = [set(r) if isinstance(r, dict) else None for r in rows]
        if keys and all(key == {"text"} for key in keys):
            rows = [row["text"] for row in rows]
    if not isinstance(rows, list) or not rows:
        return None
    found = [length(row) for row in rows]
    return None if None in found else found


class RestFuzzTest(served.ServerCase):
    def check(self, data, expected):
        code, answer = self.rest(PATH, data)
        if expected is None:
            self.assertIn(code, (400, 404), data[:300])
            self.assertEqual(list(answer), ["error"])
            return
        self.assertEqual(code, 200, (data[:300], answer))
        (name,) = answer
        self.assertIn(name, ("predictions", "outputs"))
        self.assertEqual(answer[name], [[n, n] for n in expected])

    def tearDown(self):
        self.assert_serves()
        self.assertNotIn('code="INTERNAL"', self.server.metrics.text())
        super().tearDown()

    @fuzzing.many
    @hypothesis.given(BODIES | fuzzing.json_values())
    def test_bodies(self, body):
        rows = body.get("inputs") if isinstance(body, dict) else None
        if rows == [] or rows == {"text": []}:
            return  # No rows: no answer is wrong.
        self.check(json.dumps(body).encode(), lengths(body))

    @fuzzing.many
    @hypothesis.given(st.data())
    def test_bytes(self, data):
        body = data.draw(BODIES)
        changed = data.draw(fuzzing.damaged_bytes(json.dumps(body).encode()))
        try:
            value = json.loads(changed)
        except (ValueError, RecursionError):
            value = None
        rows = value.get("inputs") if isinstance(value, dict) else None
        if rows == [] or rows == {"text": []}:
            return
        self.check(changed, lengths(value))

    @fuzzing.many
    @hypothesis.given(
        st.sampled_from(["/v1/models/toy", "/v1/models/", "/v1/", "/", ""]),
        st.sampled_from(["", "/versions/1", "/versions/9", "/labels/a"]),
        st.sampled_from(["", ":predict", ":classify", "/metadata", ":", "//"])
        | st.text(st.characters(codec="ascii", exclude_characters=" #")).map(
            lambda text: text if text.isprintable() else "%00"
        ),
        st.booleans(),
    )
    def test_paths(self, begin, version, end, has_body):
        path = f"/{begin}{version}{end}"[1:] or "/"
        if not path.startswith("/"):
            path = f"/{path}"
        body = {"instances": ["ab"]} if has_body else None
        code, answer = self.rest(path, body)
        self.assertIn(code, (200, 400, 404, 405), path)
        if code != 200:
            self.assertEqual(list(answer), ["error"], path)


if __name__ == "__main__":
    absltest.main()
