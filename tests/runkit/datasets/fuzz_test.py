"""Whatever stands in a file or on a command line: read, or an InputError.

At least 2,000 inputs a door. Any other exception fails the test.
"""

import contextlib
import csv
import io
import json
import pathlib

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from absl.testing import absltest
from hypothesis import strategies as st
from pyarrow import parquet

from runkit import InputError
from runkit.datasets import LABELED_KINDS, open_texts, parse, read_labeled
from runkit.datasets.tables import rows
from tests.support.faults import fuzzing

pytestmark = pytest.mark.slow
WORDS = st.sampled_from(
    [*LABELED_KINDS, ":", "\\:", "*", "**", "~", "~x", "[", "]", "[1]", "/"]
    + ["text", "lines", "blank_lines", "+", ".", "train[:1%]", "\0", "C:\\"]
    + ["a" * 300, "é", "\ud800", " ", "rows.jsonl", "a.b", "", "\n", "-"]
)
CELLS = st.text(
    st.sampled_from('ab1,;\t|"\n\r \0é\u2028\ufeff=-.') | st.characters(),
    max_size=8,
)
JSON = fuzzing.json_values()


class FuzzTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def read(self, data, name, spec):
        path = self.folder / name
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            list(open_texts(spec.format(path)).records())
        with contextlib.suppress(InputError):
            found = read_labeled(spec.format(path))
            self.assertLen(found.labels, len(found.inputs))
            return found
        return None

    @fuzzing.many
    @hypothesis.given(st.lists(WORDS | st.text(max_size=4), max_size=8))
    def test_specifications(self, words):
        spec = "".join(words)
        with contextlib.suppress(InputError):
            found = parse(spec, kinds=LABELED_KINDS)
            # TFDS asks for names in its own way, and slowly; the source of
            # docstrings is not input from outside.
            if found.kind not in ("tfds", "docstrings") and "*" not in spec:
                with contextlib.suppress(InputError):
                    open_texts(found)
                read_labeled(spec)

    @fuzzing.many
    @hypothesis.given(
        st.lists(JSON, max_size=4), st.binary(max_size=6), st.integers(0, 200)
    )
    def test_json_lines(self, values, noise, place):
        data = "\n".join(json.dumps(value) for value in values).encode()
        self.read(data, "a.jsonl", "jsonl:{}:text:label")
        place = min(place, len(data))
        data = data[:place] + noise + data[place:]
        self.read(data, "a.jsonl", "jsonl:{}:text:label")

    @fuzzing.many
    @hypothesis.given(JSON, st.integers(0, 60), st.booleans())
    def test_json_lists(self, value, cut, whole):
        data = json.dumps([{"text": "a", "label": 1}, value], indent=1)
        self.read(
            data[: None if whole else cut].encode(),
            "a.json",
            "text:{}:text:label",
        )

    @fuzzing.many
    @hypothesis.given(
        st.lists(st.lists(CELLS, max_size=4), max_size=5),
        st.sampled_from(",;\t|"),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    )
    def test_tables_as_they_come(self, cells, separator, encoding):
        text = "text;label\n" + "\n".join(map(separator.join, cells))
        data = text.encode(encoding, "replace")
        self.read(data, "a.csv", "csv:{}:text:label")
        self.read(data, "a.tsv", "tsv:{}:text:label")

    @fuzzing.many
    @hypothesis.given(
        st.lists(st.tuples(CELLS, CELLS), max_size=5),
        st.sampled_from(",;\t|"),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        st.sampled_from(["\n", "\r\n"]),
    )
    def test_written_tables_are_read_unchanged(self, cells, by, encoding, end):
        out = io.StringIO()
        writer = csv.writer(
            out, delimiter=by, lineterminator=end, quoting=csv.QUOTE_ALL
        )
        writer.writerows([("text", "label"), *cells])
        path = self.folder / "b.csv"
        with contextlib.suppress(UnicodeEncodeError):
            path.write_bytes(out.getvalue().encode(encoding))
            got = [tuple(row.values()) for _, row in rows(path)]
            kept = [row for row in cells if "".join(row).strip()]
            self.assertEqual(got, kept)

    @fuzzing.many
    @hypothesis.given(
        st.sampled_from("fiubUOSM"),
        st.lists(st.integers(0, 3), max_size=3),
        st.lists(JSON, max_size=4),
        st.binary(max_size=4),
        st.integers(0, 2000),
    )
    def test_arrays(self, kind, shape, values, noise, place):
        arrays = {}
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            arrays["labels"] = np.array(values)
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            arrays["embeddings"] = np.ones(shape).astype(
                {"f": "f4", "i": "i8", "u": "u1", "M": "M8[s]"}.get(kind, kind)
            )
        out = io.BytesIO()
        np.savez(out, **arrays)
        data = out.getvalue()
        self.read(data, "a.npz", "npz:{}")
        place = min(place, len(data))
        data = data[:place] + noise + data[place + len(noise) :]
        self.read(data, "a.npz", "npz:{}")

    @fuzzing.many
    @hypothesis.given(
        st.lists(st.text(max_size=3) | st.none(), max_size=3),
        st.lists(
            st.integers(-(2**60), 2**60) | st.none(), min_size=3, max_size=3
        ),
        st.binary(min_size=1, max_size=4),
        st.integers(0, 900),
    )
    def test_parquet(self, texts, labels, noise, place):
        out = io.BytesIO()
        with contextlib.suppress(UnicodeEncodeError, pa.ArrowException):
            table = {"text": texts, "label": labels[: len(texts)]}
            parquet.write_table(pa.table(table), out)
        data = out.getvalue()
        self.read(data, "a.parquet", "parquet:{}:text:label")
        place = min(place, len(data))
        data = data[:place] + noise + data[place + len(noise) :]
        self.read(data, "a.parquet", "parquet:{}:text:label")


if __name__ == "__main__":
    absltest.main()
