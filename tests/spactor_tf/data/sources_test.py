"""Sources: which documents come out, and what is said of those that cannot."""

import json
import os
import pathlib
import tracemalloc
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

from runkit import InputError
from runkit.datasets import plain_text, tables
from spactor_tf.data.sources import Source
from tests.support import source_folder


class TextTest(source_folder.FolderTest):
    def test_each_file_is_a_document_in_the_order_of_names(self):
        self.write("b.txt", "second\n\nstill second\n")
        self.write("a.txt", "first é")
        self.write("c.txt.gz", "third")
        self.write("empty.txt", " \n")
        self.assertEqual(
            self.read("*.txt*"),
            ["first é", "second\n\nstill second\n", "third"],
        )

    def test_folders_below(self):
        self.write("x/y/a.txt", "deep")
        self.write("x/b.txt", "flat")
        self.assertEqual(self.read("**/*.txt"), ["flat", "deep"])

    def test_home_folder(self):
        self.write("a.txt", "mine")
        with mock.patch.dict(os.environ, HOME=str(self.folder)):
            self.assertEqual(list(Source("text:~/*.txt")), ["mine"])

    @parameterized.parameters("a.txt", "a.txt.gz")
    def test_blank_lines_separate(self, name):
        self.write(name, "\n one\nline two\n\n \t\r\n\ntwo\r\nx\n\nlast")
        self.assertEqual(
            self.read("*:blank_lines"),
            [" one\nline two\n", "two\r\nx\n", "last"],
        )

    def test_max_documents(self):
        self.write("a.txt", "1\n\n2\n\n3")
        got = self.read("*:blank_lines", max_documents=2)
        self.assertEqual([text.strip() for text in got], ["1", "2"])

    def test_every_pass_gives_the_same_and_counts_anew(self):
        self.write("a.txt", b"1\n\n2\n\n\xff")
        source = Source(f"text:{self.folder}/*:blank_lines")
        self.assertEqual(list(source), list(source))
        self.assertEqual(source.report.documents, 2)
        self.assertEqual(sum(source.report.invalid_utf8.values()), 1)


class LongDocumentTest(source_folder.FolderTest):
    def parts(self, content, rest, limit=10):
        self.write("a.txt", content)
        with mock.patch.object(plain_text, "MAX_TEXT_BYTES", limit):
            return self.read(rest)

    @parameterized.parameters("*", "*:blank_lines")
    def test_cut_behind_a_line(self, rest):
        parts = self.parts("abc\ndef\nghi\njkl\nmno", rest)
        self.assertEqual(parts, ["abc\ndef\n", "ghi\njkl\n", "mno"])

    @parameterized.parameters(*range(5, 13))
    def test_long_line_is_cut_between_characters(self, limit):
        text = "a é€\U0001f600" * 7
        parts = self.parts(text, "*", limit)
        self.assertEqual("".join(parts), text)
        self.assertLessEqual(max(len(p.encode()) for p in parts), limit)

    @parameterized.parameters(*range(16, 60))
    def test_nothing_is_lost_at_any_size(self, limit):
        text = "one\ntwo three\n\nfour\r\nfive six seven\n\n\neight"
        self.assertEqual("".join(self.parts(text, "*", limit)), text)
        blocks = self.parts(text, "*:blank_lines", limit)
        self.assertEqual("".join(blocks).split(), text.split())

    def test_memory_does_not_grow_with_the_file(self):
        size = 40 * plain_text.MAX_TEXT_BYTES
        with (self.folder / "a.txt").open("wb") as handle:
            for _ in range(40):  # One line; zeros would be no text.
                handle.write(b"a" * plain_text.MAX_TEXT_BYTES)
        tracemalloc.start()
        read = sum(map(len, Source(f"text:{self.folder}/*")))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        self.assertEqual(read, size)
        self.assertLess(peak, 6 * plain_text.MAX_TEXT_BYTES)


class JsonLinesTest(source_folder.FolderTest):
    @parameterized.parameters("a.jsonl", "a.jsonl.gz")
    def test_field_of_every_line(self, name):
        lines = [{"text": "one\n\nx"}, {"text": "é", "n": 1}, {"text": " "}]
        self.write(name, "\n\n".join(json.dumps(line) for line in lines))
        self.assertEqual(self.read("*:text"), ["one\n\nx", "é"])

    @parameterized.parameters(
        ('{"text": "a"}\n{"tex": "b"}', "line 2: has no field.*'text'"),
        ('{"tex": "b"}', "Did you mean 'tex'"),
        ('{"text": 3}', "line 1, field text: is not text; got 3"),
        ("[1]", "line 1: has no field"),
        ('{"text": "a"', "line 1: is not JSON"),
        ("[" * 100_000, "line 1: is not JSON"),
    )
    def test_bad_line_is_named(self, content, pattern):
        self.write("a.jsonl", content)
        self.refused("*:text", pattern)

    def test_endless_line(self):
        self.write("a.jsonl", '{"text": "' + "a" * 100)
        with mock.patch.object(tables, "MAX_LINE_BYTES", 50):
            self.refused("*:text", "a.jsonl, line 1: is longer than 50 bytes")

    def test_field_and_kind_of_file_must_go_together(self):
        self.write("a.jsonl", '{"text": "a"}')
        self.write("b.txt", "b")
        self.refused("*.jsonl", "need the name of the text field")
        self.refused("*.jsonl:blank_lines", "need the name of the text field")
        self.refused("*.txt:text", "no file is a table.*blank_lines")


class TablesByNameTest(source_folder.FolderTest):
    """Files are read as what they hold, whatever their names are."""

    rows = ({"t": {"a": "one\n"}, "t.b": "x"}, {"t": {"a": "é"}, "t.b": "y"})

    @parameterized.parameters(
        "a.jsonl", "a.JSONL", "a.ndjson", "a.json", "a.JSON.gz"
    )
    def test_json_lines(self, name):
        self.write(name, "\n".join(map(json.dumps, self.rows)))
        self.assertEqual(self.read("*:t.a"), ["one\n", "é"])
        self.assertEqual(self.read("*:t.b"), ["x", "y"])
        self.assertEqual(self.read("*:t.a+t.b"), ["one\n\nx", "é\ny"])
        self.refused("*:t.c", "has no field 't.c'.*Known: a")

    @parameterized.parameters(None, 0, 2)
    def test_one_json_list(self, indent):
        rows = [*self.rows, {"t": {"a": "x" * 200_000}}] * 3
        self.write("a.json", " \n" + json.dumps(rows, indent=indent) + "\n")
        self.assertEqual(self.read("*:t.a"), [row["t"]["a"] for row in rows])

    @parameterized.parameters(
        ('[{"t": "a"}, 3]', "item 1: has no field"),
        ('[{"t": "a"} {"t": "b"}]', "item 1: is not JSON"),
        ('[{"t": "a"}, ', "item 1: is not JSON"),
        ('[{"t": "a"}]\n[{"t": "b"}]', "more than one list"),
        ('[{"t": "a"},]', "item 1: is not JSON"),
        ("[" + '{"t":' * 100_000, "item 0: is not JSON"),
    )
    def test_bad_lists(self, content, pattern):
        self.write("a.json", content)
        self.refused("*:t", pattern)

    @parameterized.parameters("a.parquet", "a.PQ")
    def test_parquet(self, name):
        table = {
            "t": pa.array([{"a": "one"}, {"a": "é"}]),
            "raw": pa.array([b"good", b"\xff"], pa.binary()),
            "none": pa.array(["a", None]),
        }
        parquet.write_table(pa.table(table), self.folder / name)
        self.assertEqual(self.read("*:t.a"), ["one", "é"])
        self.assertEqual(self.read("*:raw"), ["good"])
        self.refused("*:none", "row 1, field none: holds no text")
        self.refused("*:x", "no field")
        self.refused("*", "a parquet table needs the name of the text field")

    def test_csv(self):
        self.write("a.CSV", "t;n\none;1\n")
        self.assertEqual(self.read("*:t"), ["one"])
        self.refused("*", "a csv table needs the name of the text field")
        # Asked for by name: a document of each line.
        self.assertEqual(self.read("*:lines"), ["t;n", "one;1"])

    def test_no_parquet(self):
        self.write("a.parquet", "PAR1")
        self.refused("*:t", "is not a Parquet file that can be read")


class InvalidUtf8Test(source_folder.FolderTest):
    def corpus(self):
        self.write("a.txt", "good")
        self.write("b.txt", b"bad \xff")
        self.write("c.jsonl", b'{"t": "ok"}\n{"t": "\xe9"}\n{"t": "\\ud800"}\n')

    @parameterized.parameters(
        (b"one\n\ncaf\xe9\n\ntwo\n", "one\n\ntwo\n", 1),
        (b"one\ncaf\xe9\ntwo\n", "one\ntwo\n", 1),
        (b"one\r\n\r\n\xff\r\n\r\ntwo", "one\r\n\r\ntwo", 1),
        (b"one\n\n\xe9\n\n\xe9\n\n", None, 1),  # Most of it.
        (b"\x89PNG\n\0\n\nIHDR\n\ntext", None, 1),  # Not a text.
        (b"one \xff", None, 1),
    )
    def test_a_bad_byte_takes_its_paragraph(self, data, expected, skipped):
        self.write("a.txt", data)
        source = Source(f"text:{self.folder}/*")
        self.assertEqual(list(source), [expected] if expected else [])
        self.assertEqual(sum(source.report.invalid_utf8.values()), skipped)

    def test_a_bad_byte_in_a_long_file(self):
        line = "a line of a long file\n"
        count = 2 * plain_text.MAX_TEXT_BYTES // len(line)
        data = (line * count).encode()
        place = len(data) // 4
        self.write("a.txt", data[:place] + b"\xff" + data[place + 1 :])
        read = sum(map(len, Source(f"text:{self.folder}/*")))
        self.assertEqual(read, len(data) - len(line))

    def test_skipped_and_counted_by_file(self):
        self.corpus()
        source = Source(f"text:{self.folder}/*:t")
        self.assertEqual(list(source), ["good", "ok"])
        counts = {
            pathlib.Path(name).name: count
            for name, count in source.report.invalid_utf8.items()
        }
        self.assertEqual(counts, {"b.txt": 1, "c.jsonl": 2})

    @parameterized.parameters("b.txt", "c.jsonl")
    def test_refused_with_file_and_remedy(self, name):
        self.corpus()
        self.refused(
            f"{name}:t" if name.endswith("jsonl") else name,
            f"{name}, (text 1|line 2): is not UTF-8"
            ".*--set=data.invalid_utf8=skip",
            invalid_utf8="refuse",
        )

    def test_a_corpus_read_with_skips_is_not_taken_for_a_checked_one(self):
        self.corpus()
        spec = f"text:{self.folder}/*:t"
        self.assertNotEqual(
            Source(spec).fingerprint, Source(spec, "refuse").fingerprint
        )


class BadFilesTest(source_folder.FolderTest):
    def test_nothing_matches(self):
        message = self.refused("*.txt", "--dataset: no file matches")
        # A long value loses its middle in messages.
        self.assertIn(f"text:{self.folder}/*.txt"[:90], message)

    def test_only_folders_match(self):
        self.write("sub/a.txt", "x")
        self.refused("*", "matches folders but no file.*pattern of files")
        self.refused("", "matches folders but no file")

    def test_truncated_gz(self):
        data = bytes(i * i % 251 for i in range(100_000))
        path = self.write("a.txt.gz", data)
        path.write_bytes(path.read_bytes()[:-20])
        for rest in ("*", "*:blank_lines"):
            self.refused(rest, "a.txt.gz: cannot be read.*end-of-stream")

    @parameterized.parameters(b"plain text", b"\x1f\x8b\x08\0" + b"\xff" * 50)
    def test_not_gz(self, content):
        (self.folder / "a.gz").write_bytes(content)
        self.refused("*", "a.gz: cannot be read")

    def test_unreadable_file(self):
        path = self.write("a.txt", "x")
        source = Source(f"text:{path}")
        path.unlink()  # Permissions would not stop root.
        with self.assertRaisesRegex(InputError, "a.txt: cannot be read"):
            list(source)


class SpecTest(parameterized.TestCase):
    @parameterized.parameters(
        ("docstring", "docstrings"),
        ("txt:*.txt", "text:"),
        ("tfd:x", "tfds:"),
        ("", "docstrings"),
    )
    def test_unknown_kind_names_the_nearest(self, spec, near):
        with self.assertRaisesRegex(InputError, "unknown kind of dataset") as e:
            Source(spec)
        self.assertIn(near, str(e.exception))

    def test_fingerprint_follows_files_and_limits(self):
        path = pathlib.Path(self.create_tempfile(content="one").full_path)
        spec = f"text:{path}"
        first = Source(spec).fingerprint
        self.assertEqual(Source(spec).fingerprint, first)
        self.assertNotEqual(Source(spec, max_documents=1).fingerprint, first)
        path.write_text("other", encoding="utf-8")
        self.assertNotEqual(Source(spec).fingerprint, first)

    def test_a_change_within_one_tick_of_the_clock_is_seen(self):
        path = pathlib.Path(self.create_tempfile(content="one").full_path)
        source, at = Source(f"text:{path}"), path.stat().st_mtime_ns
        before = source.content()
        path.write_text("two", encoding="utf-8")
        os.utime(path, ns=(at, at))
        after = source.content(before)
        self.assertNotEqual(
            after[str(path)]["sha256"], before[str(path)]["sha256"]
        )


if __name__ == "__main__":
    absltest.main()
