"""Paths in object storage: reached, refused, retried; nothing half."""

import contextlib
import gzip
import os
import pathlib
import sys
from unittest import mock

from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.datasets import open_texts
from runkit.errors import InterruptedRun
from runkit.files import (
    atomic_directory,
    atomic_write,
    check_file,
    check_folder,
    formats,
    storage,
)
from tests.support.bucket import bucket


class PathsTest(parameterized.TestCase):
    @parameterized.parameters("runs/a", "/runs/a", "C:\\runs", "a:b", "./gs:/x")
    def test_local_paths_stay_local(self, path):
        self.assertEqual(storage.url_scheme(path), "")
        self.assertEqual(storage.as_path(path), pathlib.Path(path))
        storage.refuse_url(path, where="--x")

    @parameterized.parameters("gs", "s3", "az")
    def test_a_scheme_without_its_driver_says_how_to_install_it(self, scheme):
        driver = storage.DRIVERS[scheme]
        with (
            mock.patch.dict(sys.modules, {driver: None}),
            mock.patch.dict("fsspec.registry._registry", clear=True),
            self.assertRaisesRegex(
                InputError, f"--output_dir: needs .*pip install {driver}"
            ),
        ):
            storage.as_path(f"{scheme}://b/x", where="--output_dir")

    def test_a_pipe_is_refused_before_it_is_waited_for(self):
        pipe = pathlib.Path(self.create_tempdir().full_path, "model")
        os.mkfifo(pipe)
        with self.assertRaisesRegex(OSError, "is a pipe"):
            storage.open_bytes(pipe)

    def test_storage_that_does_not_answer_is_not_bad_json(self):
        gone = mock.patch.object(
            formats, "open_bytes", side_effect=storage.StorageError("gone")
        )
        with gone, self.assertRaisesRegex(storage.StorageError, "gone"):
            formats.read_json("s3://bucket/index.json")

    def test_an_unknown_scheme(self):
        with self.assertRaisesRegex(InputError, "unknown scheme.*'s3'"):
            storage.as_path("s3a://b/x")

    def test_a_url_is_refused_where_only_paths_work(self):
        with self.assertRaisesRegex(
            InputError, "--run_dir: is a URL.*spactor_tf.pretrain_main"
        ):
            storage.refuse_url("gs://b/x", where="--run_dir")

    @parameterized.parameters(
        "gs://b/x",
        "gs:/b/x",
        pathlib.Path("s3://b/x"),
        "memory://x",
        "https://h/x",
        pathlib.Path("https://h/x"),
    )
    def test_no_writer_makes_a_directory_of_a_url(self, path):
        folder = self.create_tempdir().full_path
        with contextlib.chdir(folder):
            for write in (atomic_write, atomic_directory):
                with (
                    self.assertRaisesRegex(InputError, "is a URL, and would"),
                    write(path),
                ):
                    pass
            for check in (check_file, check_folder):
                with self.assertRaisesRegex(InputError, "--output: is a URL"):
                    check(path, where="--output")
        self.assertEmpty([*pathlib.Path(folder).iterdir()])

    @parameterized.parameters("gs://", "s3:///x")
    def test_a_url_without_a_bucket(self, path):
        with self.assertRaisesRegex(InputError, "--cache_dir: names no bucket"):
            storage.as_path(path, where="--cache_dir")


class RetryTest(absltest.TestCase):
    def test_storage_is_asked_again(self):
        answers = [OSError("one"), ValueError("two"), "found"]

        def operation():
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        with mock.patch("time.sleep") as sleep:
            self.assertEqual(storage.retried(operation, "reading"), "found")
        waits = [call.args[0] for call in sleep.call_args_list]
        self.assertEqual(waits, list(storage.RETRY_SECONDS[:2]))

    def test_what_another_attempt_would_not_change_is_not_asked_again(self):
        operation = mock.Mock(side_effect=FileNotFoundError("no"))
        with self.assertRaises(FileNotFoundError):
            storage.retried(operation, "x", final=(FileNotFoundError,))
        operation.assert_called_once()

    def test_in_the_end_it_is_said(self):
        def gone():
            raise OSError("no such bucket")

        with self.assertRaisesRegex(
            storage.StorageError, "writing x: OSError no such bucket"
        ):
            storage.retried(gone, "writing x", (0.0, 0.0))


class TextsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("text:s3://bucket/a.txt:lines", ["one", "two"]),
        ("text:s3://bucket/*/c.txt", ["deep"]),
        ("jsonl:s3://bucket/t.jsonl.gz:o.text", ["x", "y"]),
        ("csv:s3://bucket/t.csv:text", ["z"]),
        ("text:s3://bucket/none*", "no file matches"),
        ("text:ftp://bucket/a", "unknown scheme of a URL"),
    )
    def test_datasets(self, spec, expected):
        lines = b'{"o": {"text": "x"}}\n{"o": {"text": "y"}}\n'
        with bucket() as files:
            for name, data in {
                "a.txt": b"one\ntwo\n",
                "deep/c.txt": b"deep",
                "t.jsonl.gz": gzip.compress(lines),
                "t.csv": b"text,n\nz,1\n",
            }.items():
                files().pipe(f"s3://bucket/{name}", data)
            if isinstance(expected, str):
                with self.assertRaisesRegex(InputError, expected):
                    open_texts(spec)
                return
            found = [record.text for record in open_texts(spec).records()]
            self.assertEqual(found, expected)
        self.assertFalse(os.path.lexists("s3:"))


class GoneTest(parameterized.TestCase):
    """Storage that stops to answer while texts are read."""

    @parameterized.parameters(
        ("text:s3://bucket/t.txt:lines", b"one\ntwo\n"),
        ("jsonl:s3://bucket/t.jsonl.gz:a", gzip.compress(b'{"a": "x"}\n')),
        ("csv:s3://bucket/t.csv:a", b"a,b\nx,y\n"),
        ("parquet:s3://bucket/t.parquet:a", b"PAR1"),
        ("arrow:s3://bucket/t.arrow:a", b"ARROW1"),
    )
    def test_is_asked_again_and_ends_the_run_with_75(self, spec, data):
        with bucket() as files:
            files().pipe(spec.split(":", 1)[1].rsplit(":", 1)[0], data)
            texts = open_texts(spec)
            files.gone = True
            with self.assertRaisesRegex(
                InterruptedRun, "reading s3://bucket/t.*ValueError gone.*same"
            ):
                list(texts.records())

    def test_one_failed_read_is_not_seen(self):
        data = bytes(range(256)) * 1000
        with bucket() as files:
            files().pipe("s3://bucket/t", data)
            with storage.open_bytes("s3://bucket/t") as handle:
                head = handle.read(70_000)
                files.failures = 2
                self.assertEqual(head + handle.read(), data)
                self.assertEqual(files.failures, 0)
                handle.seek(255)
                self.assertEqual(handle.read(2), b"\xff\0")

    def test_what_is_missing_is_bad_input(self):
        with bucket(), self.assertRaises(FileNotFoundError):
            storage.open_bytes("s3://bucket/none")


if __name__ == "__main__":
    absltest.main()
