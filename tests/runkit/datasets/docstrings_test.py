"""Docstrings of installed packages as a corpus."""

import itertools
import os
import pathlib
import subprocess
import sys
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest

from runkit.datasets import docstrings, open_texts
from tests.support import source_folder


class DocstringsTest(source_folder.FolderTest):
    def docstring(self, word):
        return (word + " ") * docstrings.MIN_CHARACTERS

    def package(self, root, files=3):
        for number in range(files):
            self.write(
                f"{root}/p{number}/mod.py",
                f'"""{self.docstring("module")}"""\n'
                f'def f():\n    """{self.docstring(f"word{number}")}"""\n'
                f'def g():\n    """Short."""\n',
            )

    def test_distinct_long_docstrings_with_their_package(self):
        self.package("lib")
        found = list(docstrings.iter_docstrings(self.folder / "lib"))
        self.assertEqual(
            [(package, text.split()[0]) for package, text in found],
            [
                ("p0", "module"),
                ("p0", "word0"),
                ("p1", "word1"),
                ("p2", "word2"),
            ],
        )

    def test_an_environment_in_a_folder_called_tests(self):
        self.package("tests/lib")
        self.write("tests/lib/p/tests/t.py", f'"""{self.docstring("t")}"""')
        found = docstrings.iter_docstrings(self.folder / "tests/lib")
        self.assertLen(list(found), 4)

    def test_files_that_do_not_parse_are_passed_over(self):
        self.package("lib", 1)
        self.write("lib/bad.py", "def (")
        self.write("lib/nul.py", b"\0")
        self.write("lib/half.py", f'"""\\ud800 {self.docstring("x")}"""')
        (self.folder / "lib/link.py").symlink_to("nowhere.py")
        (self.folder / "lib/folder.py").mkdir()
        found = docstrings.iter_docstrings(self.folder / "lib")
        self.assertLen(list(found), 2)

    def test_many_files_are_parsed_in_order_by_several_processes(self):
        self.package("lib", 210)
        with mock.patch.object(os, "cpu_count", lambda: 2):
            many = list(docstrings.iter_docstrings(self.folder / "lib"))
        with mock.patch.object(os, "cpu_count", lambda: 1):
            one = list(docstrings.iter_docstrings(self.folder / "lib"))
        self.assertEqual(many, one)
        self.assertLen(one, 211)

    def test_a_script_without_a_main_guard_can_read_them(self):
        self.package("lib", 210)
        script = self.write(
            "script.py",
            "from runkit.datasets import docstrings\n"
            f"print(len(list(docstrings.iter_docstrings('{self.folder}/lib'))))",
        )
        root = str(pathlib.Path(docstrings.__file__).parents[2])
        done = subprocess.run(
            [sys.executable, script],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": root},
        )
        self.assertEqual(done.stdout.strip(), "211", done.stderr)

    def test_a_reader_that_stops_early_leaves_no_process(self):
        self.package("lib", 210)
        started = []
        start = subprocess.Popen

        def noted(*args, **kwargs):
            started.append(start(*args, **kwargs))
            return started[-1]

        with (
            mock.patch.object(os, "cpu_count", lambda: 2),
            mock.patch.object(subprocess, "Popen", noted),
        ):
            documents = docstrings.iter_docstrings(self.folder / "lib")
            next(documents)
            documents.close()
        self.assertLen(started, 2)
        for process in started:
            self.assertIsNotNone(process.poll())

    def test_default_corpus_is_there(self):
        records = itertools.islice(open_texts("docstrings").records(), 3)
        for record in records:
            self.assertGreaterEqual(
                len(record.text), docstrings.MIN_CHARACTERS // 2
            )
            self.assertNotEmpty(record.label)


if __name__ == "__main__":
    absltest.main()
