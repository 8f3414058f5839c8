"""One dataset is the same dataset in every binary.

Each case is a specification and what it reads as: the texts, the labels and
classes, or the refusal. Every door that reads such a dataset must agree:
pre-training, pools, scoring and the classifiers.
"""

import bz2
import codecs
import gzip
import io
import lzma
import os
import pathlib
import re
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized

from al_tf.pools import pool as pools
from export.scoring import texts as scoring
from runkit import InputError
from spactor_tf import classify_main
from spactor_tf.data.sources import Source
from spactor_tf.tasks import records
from tests.support import source_folder


class Read(NamedTuple):
    """What a door read; labels by name, None where it reads no labels."""

    texts: list[str]
    labels: list[Any] | None = None
    classes: tuple[str, ...] | None = None


def pretraining(spec: str) -> Read:
    return Read(list(Source(spec, invalid_utf8="refuse")))


def scoring_texts(spec: str) -> Read:
    return Read([text.decode() for text in scoring.pool_texts(spec)])


def named(labels: np.ndarray, classes: tuple[str, ...]) -> list[Any]:
    if labels.ndim == 2:
        return [[classes[i] for i in np.flatnonzero(row)] for row in labels]
    return [classes[i] for i in labels]


def pool(spec: str) -> Read:
    found = pools.open_pool(spec, where="--dataset")
    labels = named(found.labels, found.classes)
    return Read(found.inputs.tolist(), labels, found.classes)


def classifier(spec: str) -> Read:
    found = classify_main.labeled_texts(spec, "--dataset")
    labels = named(found.labels, found.classes)
    return Read(found.inputs.tolist(), labels, found.classes)


def task_texts(source: str, folder: pathlib.Path) -> list[str]:
    """Texts of the records of a task; its files lie below a folder."""
    return [row["text"] for row in records.read(source, "train", folder)]


PLAIN = {"pre-training": pretraining, "scoring": scoring_texts}
LABELED = {"pool": pool, "classifier": classifier}


def arrow_stream(columns: dict[str, list[Any]], rows: int) -> bytes:
    """A table as `datasets` writes it: a stream of batches."""
    table = pa.table(columns)
    target = io.BytesIO()
    with pa.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table, rows)
    return target.getvalue()


# File -> content; every specification below names them in the test's folder.
FILES: dict[str, str | bytes] = {
    "a.txt": "one\n\ntwo\nlines\n",
    "mark.txt": codecs.BOM_UTF8 + b"marked",
    "empty.txt": "",
    "bytes.txt": b"bad \xff",
    "utf16.txt": "two bytes".encode("utf-16"),
    "zip.txt.gz": gzip.compress(b"packed"),
    "broken.txt.gz": gzip.compress(b"packed" * 99)[:-9],
    "t.jsonl": '{"text": "x", "q": "y", "n": 10}\n\n'
    '{"text": "z", "q": "w", "n": 2}\n{"text": "v", "q": "", "n": 1}\n',
    "mark.jsonl": codecs.BOM_UTF8 + b'{"text": "x", "n": 1}\r\n',
    "zip.jsonl.gz": gzip.compress(b'{"text": "x", "n": "a"}'),
    "zip.csv.bz2": bz2.compress(b"text,n\nx,1\n"),
    "deep.jsonl.xz": lzma.compress(b'{"o": {"text": "x"}, "n": 1}'),
    "t.arrow": arrow_stream({"text": ["x", None, "y"], "n": [1, 2, 3]}, 2),
    "deep.arrow": arrow_stream({"o": [{"text": "x"}], "n": [1]}, 1),
    "a:b.jsonl": '{"text": "colon", "n": 1}',
    "lists.jsonl": '{"text": "x", "n": ["b", "a"]}\n{"text": "y", "n": []}\n',
    "mixed.jsonl": '{"text": "x", "n": ["b"]}\n{"text": "y", "n": "b"}\n',
    "words.jsonl": '{"text": "x", "n": "b"}\n{"text": "y", "n": "10"}\n'
    '{"text": "z", "n": "9"}\n',
    "half.jsonl": '{"text": "\\ud800", "n": 1}',
    "bytes.jsonl": b'{"text": "\xff", "n": 1}',
    "broken.jsonl": '{"text": "x", "n": 1}\n{"text": ',
    "other.jsonl": '{"txt": "x", "n": 1}',
    "number.jsonl": '{"text": 3, "n": 1}',
    "t.csv": 'text,q,n\r\n"x, with ""quotes""\n",y,10\r\nz,w,2\r\nv,"",1\r\n',
    "mark.csv": codecs.BOM_UTF8 + b"text,n\nx,1\n",
    "short.csv": "n,text\n1\n",
    "twice.csv": "text,text,n\na,b,1\n",
    "bytes.csv": b"text,n\n\xff,1\n",
    "t.tsv": 'text\tn\nsaid "so\t1\nx\t2\n',
}

# Specification of texts -> (texts, or the refusal).
TEXTS: tuple[tuple[str, list[str] | str], ...] = (
    ("text:a.txt", ["one\n\ntwo\nlines\n"]),
    ("text:a.txt:blank_lines", ["one\n", "two\nlines\n"]),
    ("text:a.txt:lines", ["one", "two", "lines"]),
    ("text:mark.txt", ["marked"]),
    ("text:empty.txt", []),
    ("text:[am]*.txt:lines", ["one", "two", "lines", "marked"]),
    ("text:zip.txt.gz", ["packed"]),
    ("text:broken.txt.gz", "broken.txt.gz: cannot be read"),
    ("text:bytes.txt", "bytes.txt, text 1: is not UTF-8 .byte 0xff"),
    ("text:utf16.txt", ["two bytes"]),
    ("text:none*.txt", "--dataset: no file matches"),
    ("text:", "--dataset: names nothing"),
    ("text::", "--dataset: names nothing"),
    ("jsonl::text:n", "--dataset: names no file; got 'jsonl::text:n'"),
    ("text:a.txt:", ["one\n\ntwo\nlines\n"]),
    ("text:a.txt:lines:", ["one", "two", "lines"]),
    ("jsonl:t.jsonl:text:", ["x", "z", "v"]),
    ("text: a.txt", "no file matches; got 'text: a.txt'"),
    ("'text:a.txt'", "unknown kind of dataset"),
    ("TEXT:a.txt", "unknown kind of dataset.*Did you mean 'text'"),
    ("text:./a.txt:lines", ["one", "two", "lines"]),
    ("text:t.jsonl", "JSON lines need the name"),
    ("text:a.txt:field", "names a field 'field', but no file is a table"),
    ("jsonl:t.jsonl:text", ["x", "z", "v"]),
    ("text:t.jsonl:text", ["x", "z", "v"]),
    ("jsonl:t.jsonl:text:n", ["x", "z", "v"]),
    ("jsonl:t.jsonl:text+q", ["x\ny", "z\nw", "v\n"]),
    ("jsonl:t.jsonl", "names no text field"),
    ("jsonl:t.jsonl:txet", "t.jsonl, line 1: has no field.*'text'"),
    ("jsonl:none.jsonl:text", "--dataset: no file matches"),
    ("jsonl:a:b.jsonl:text", ["colon"]),
    (r"jsonl:a\:b.jsonl:text", ["colon"]),
    ("text:a:b.jsonl:text", ["colon"]),
    ("jsonl:?ark.jsonl:text", ["x"]),
    ("jsonl:zip.jsonl.gz:text", ["x"]),
    ("jsonl:half.jsonl:text", "half.jsonl, line 1: holds half of a character"),
    ("jsonl:bytes.jsonl:text", "bytes.jsonl, line 1: is not UTF-8"),
    ("jsonl:broken.jsonl:text", "broken.jsonl, line 2: is not JSON"),
    ("jsonl:number.jsonl:text", "line 1, field text: is not text; got 3"),
    ("jsonl:C:\\pool.jsonl:text", "no file matches"),
    ("csv:zip.csv.bz2:text", ["x"]),
    ("jsonl:deep.jsonl.xz:o.text", ["x"]),
    ("arrow:deep.arrow:o.text", ["x"]),
    ("arrow:t.arrow:text", "t.arrow, row 1, field text: holds no text"),
    ("arrow:t.arrow:txt", "t.arrow, row 0: has no field.*'text'"),
    ("arrow:t.csv:text", "t.csv: is not an Arrow file"),
    ("csv:t.csv:text", ['x, with "quotes"\n', "z", "v"]),
    ("csv:mark.csv:text", ["x"]),
    ("csv:short.csv:text", "record 1, field text: holds no text"),
    ("csv:twice.csv:text", "names a column twice; got 'text'"),
    ("csv:bytes.csv:text", "record 1: is not UTF-8"),
    (
        "csv:t.csv:text:n:x",
        "more parts behind t.csv than can be used.*At most 2",
    ),
    ("t.csv", "unknown kind of dataset.*Did you mean csv:t.csv:FIELD"),
    ("a.txt", "unknown kind of dataset.*Did you mean text:a.txt"),
    ("text:a.txt:line", "names a field 'line'.*Did you mean 'lines'"),
    ("docstrings:x", "has nothing to choose from; got 'docstrings:x'"),
    ("csv:t.csv:txt", "record 1: has no field.*'text'"),
    ("tsv:t.tsv:text", ['said "so', "x"]),
    ("json:t.jsonl:text", "unknown kind of dataset.*mean 'jsonl'"),
    ("npz:x.npz", "cannot be used here"),
)

# Specification of labeled texts -> (texts, labels, classes), or the refusal.
LABELS: tuple[tuple[str, Any], ...] = (
    (
        "jsonl:t.jsonl:text:n",
        (["x", "z", "v"], ["10", "2", "1"], ("1", "2", "10")),
    ),
    (
        "text:t.jsonl:text:n",
        (["x", "z", "v"], ["10", "2", "1"], ("1", "2", "10")),
    ),
    ("csv:t.csv:q:n", (["y", "w", ""], ["10", "2", "1"], ("1", "2", "10"))),
    ("tsv:t.tsv:text:n", (['said "so', "x"], ["1", "2"], ("1", "2"))),
    (
        "jsonl:words.jsonl:text:n",
        (["x", "y", "z"], ["b", "10", "9"], ("10", "9", "b")),
    ),
    ("jsonl:lists.jsonl:text:n", (["x", "y"], [["a", "b"], []], ("a", "b"))),
    ("jsonl:zip.jsonl.gz:text:n", (["x"], ["a"], ("a",))),
    ("jsonl:mixed.jsonl:text:n", "line 2: is not a list of labels; got 'b'"),
    ("jsonl:t.jsonl:text", "--dataset: names no label field"),
    ("jsonl:t.jsonl:text:m", "line 1: has no field 'm'"),
    ("jsonl:other.jsonl:text:n", "line 1: has no field.*'txt'"),
    ("text:a.txt", "names no label field"),
    ("text:empty.txt:lines", "names no label field"),
    ("jsonl:e*.txt:text:n", "--dataset: holds no examples"),
    ("jsonl:none:text:n", "--dataset: no file matches"),
    ("json:t.jsonl:text:n", "unknown kind of dataset.*mean 'jsonl'"),
)


def doors(table, functions):
    """One parameter set for every case and door."""
    return [
        (f"{name}_{number}", function, spec, expected)
        for number, (spec, expected) in enumerate(table)
        for name, function in functions.items()
    ]


class DoorTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        before = pathlib.Path.cwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)

    def write(self):
        for name, content in FILES.items():
            if isinstance(content, str):
                content = content.encode("utf-8")
            (self.folder / name).write_bytes(content)

    def check(self, read, spec, expected):
        if isinstance(expected, str):
            with self.assertRaises(InputError) as caught:
                read(spec)
            self.assertRegex(
                str(caught.exception), re.compile(expected, re.DOTALL)
            )
            return
        found = read(spec)
        if isinstance(expected, tuple):
            self.assertEqual(found, Read(*expected))
        else:
            self.assertEqual(found.texts, expected)


class FileDoorsTest(DoorTestCase):
    @parameterized.named_parameters(*doors(TEXTS, PLAIN))
    def test_texts(self, read, spec, expected):
        self.write()
        self.check(read, spec, expected)

    @parameterized.named_parameters(*doors(LABELS, LABELED))
    def test_labeled_texts(self, read, spec, expected):
        self.write()
        self.check(read, spec, expected)

    @parameterized.named_parameters(*LABELED.items())
    def test_labels_change_nothing_about_the_texts(self, read):
        self.write()
        for spec, expected in LABELS:
            if isinstance(expected, tuple):
                self.assertEqual(scoring_texts(spec).texts, read(spec).texts)

    @parameterized.parameters(
        ("jsonl:t.jsonl", ["x", "z", "v"]),
        ("jsonl:mark.jsonl", ["x"]),
        ("jsonl:broken.jsonl", "broken.jsonl, line 2: is not JSON"),
        ("jsonl:bytes.jsonl", "bytes.jsonl, line 1: is not UTF-8"),
    )
    def test_tasks(self, source, expected):
        self.write()
        self.check(
            lambda spec: Read(task_texts(spec, self.folder)), source, expected
        )


def _class_names(*names):
    import tensorflow_datasets as tfds

    return tfds.features.ClassLabel(names=names)


def _text():
    import tensorflow_datasets as tfds

    return tfds.features.Text()


class TfdsDoorsTest(DoorTestCase):
    """The same for TensorFlow Datasets."""

    def builder(self, names):
        features = {name: _text() for name in names}
        rows = [{name: f"{name} {i}" for name in names} for i in range(2)]
        for row, label in zip(rows, (1, 0), strict=True):
            row["label"] = label
        features["label"] = _class_names("yes", "no")
        return source_folder.FakeBuilder(features, rows, ("train", "test"))

    @parameterized.product(
        door=[*PLAIN, *LABELED],
        case=[
            (("text",), "tfds:toy", ["text 0", "text 1"]),
            (("sentence",), "tfds:toy", ["sentence 0", "sentence 1"]),
            (("id", "text"), "tfds:toy:test", ["text 0", "text 1"]),
            (("a", "b"), "tfds:toy:train:b", ["b 0", "b 1"]),
            (("a", "b"), "tfds:toy::b:label", ["b 0", "b 1"]),
            (("a", "b"), "tfds:toy::a+b", ["a 0\nb 0", "a 1\nb 1"]),
            (("a", "b"), "tfds:toy", "--dataset: has several text features"),
            (("text",), "tfds:toy:train:txt", "no such text feature.*'text'"),
            (("text",), "tfds:toy:train:label", "no such text feature"),
            (("text",), "tfds:toy:trian", "no such split.*'train'"),
            ((), "tfds:toy", "has no text feature"),
            (("text",), "tfds:toy:a:b:c:d", "has too many parts"),
            (("text",), "tfds:", "names nothing"),
        ],
    )
    def test_tfds(self, door, case):
        names, spec, expected = case
        read = {**PLAIN, **LABELED}[door]
        if isinstance(expected, list) and door in LABELED:
            expected = (expected, ["no", "yes"], ("yes", "no"))
        with source_folder.patched(self.builder(names)):
            self.check(read, spec, expected)

    def test_tasks(self):
        with source_folder.patched(self.builder(("text",))):
            found = task_texts("tfds:toy", self.folder)
        self.assertEqual(found, ["text 0", "text 1"])


class DocstringsDoorsTest(absltest.TestCase):
    def test_pre_training_and_scoring_read_the_same(self):
        texts = scoring.pool_texts("docstrings")
        documents = iter(Source("docstrings"))
        for _ in range(3):
            self.assertEqual(next(texts).decode(), next(documents))


if __name__ == "__main__":
    absltest.main()
