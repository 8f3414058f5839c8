"""Flags of a binary: the table, its checks, what --help shows."""

import dataclasses
import pathlib
import subprocess
import sys
from unittest import mock

from absl import flags
from absl.testing import absltest, parameterized

from runkit import InputError, flag_values
from runkit.flag_values import Flag
from tests.support import isolated

TABLE = (
    Flag("folder", "Where to write.", required=True),
    Flag("steps", "Steps.", int, 5, positive=True),
    Flag("length", "Tokens.", int, least=2),
    Flag("rate", "Peak rate.", field="optimizer.rate"),
    Flag("metric", "Metric.", default="f1", choices=("f1", "accuracy")),
    Flag("seeds", "Seeds.", list),
    Flag("set", "Repeatable.", repeated=True),
    Flag("warm", "Whether to warm up.", bool, False),
)


def parsed(*arguments):
    values = flags.FlagValues()
    flag_values.define_flags(TABLE, values)
    values(["main", *arguments])
    return values


class TableTest(parameterized.TestCase):
    def test_values(self):
        values = parsed(
            "--folder=out",
            "--length=3",
            "--seeds=1,2",
            "--set=a=1",
            "--set=b=2",
            "--warm",
        )
        self.assertEqual(values.folder, "out")
        self.assertEqual((values.steps, values.length), (5, 3))
        self.assertEqual(values.seeds, ["1", "2"])
        self.assertEqual(values.set, ["a=1", "b=2"])
        self.assertTrue(values.warm)
        flag_values.check_table(TABLE, values)

    def test_only_flags_that_say_so_take_urls(self):
        values = parsed("--folder=gs://bucket/run")
        with self.assertRaisesRegex(InputError, "--folder: is a URL"):
            flag_values.check_table(TABLE, values)
        taking = [dataclasses.replace(flag, url=True) for flag in TABLE]
        flag_values.check_table(taking, values)

    def test_what_is_not_given_is_not_checked(self):
        values = parsed("--folder=out")
        self.assertIsNone(values.length)
        self.assertEqual(values.set, [])
        flag_values.check_table(TABLE, values)

    @parameterized.parameters(
        ("--steps=1", "--folder: is missing"),
        ("--folder=", "--folder: is missing"),
        ("--folder=x --steps=0", "--steps: is not positive"),
        ("--folder=x --length=1", "--length: is too small.*>= 2"),
        ("--folder=x --metric=f", "--metric: unknown name.*'f1'"),
    )
    def test_what_is_refused(self, arguments, message):
        values = parsed(*arguments.split())
        with self.assertRaisesRegex(InputError, message):
            flag_values.check_table(TABLE, values)

    def test_fields_are_those_given(self):
        self.assertEqual(flag_values.given_fields(TABLE, parsed()), {})
        self.assertEqual(
            flag_values.given_fields(TABLE, parsed("--rate=0.1")),
            {"optimizer.rate": "0.1"},
        )
        with self.assertRaisesRegex(InputError, "--rate: is empty.*Leave the"):
            flag_values.given_fields(TABLE, parsed("--rate="))

    def test_help_says_what_the_table_says(self):
        values = parsed()
        self.assertEqual(values["folder"].help, "Where to write. Required.")
        self.assertEqual(
            values["rate"].help, "Peak rate. Overrides optimizer.rate."
        )
        self.assertEqual(values["metric"].help, "Metric. One of f1, accuracy.")

    def test_help_shows_no_empty_default(self):
        table = (*TABLE, Flag("tool", "Tool.", default=""))
        values = flags.FlagValues()
        flag_values.define_flags(table, values)
        values(["main"])
        text = values.get_help().partition("absl.flags:")[0]
        self.assertIn("(default: '5')", text)
        self.assertNotIn("(default: '')", text)
        self.assertNotIn("(default: '[]')", text)
        self.assertEqual((values.tool, values.set), ("", []))

    def test_a_new_output_folder_must_not_exist(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        values = flags.FlagValues()
        flag_values.define_flags((Flag("output_dir", "Where."),), values)
        values(["main", f"--output_dir={folder}/new"])
        found = flag_values.new_output_folder(values)
        self.assertEqual(found, folder / "new")
        values.output_dir = str(folder)
        with self.assertRaisesRegex(InputError, "--output_dir: exists already"):
            flag_values.new_output_folder(values)

    def test_a_table_may_be_defined_twice(self):
        values = parsed("--steps=7")
        flag_values.define_flags(TABLE, values)
        self.assertEqual(values.steps, 7)


_MODULE = '''"""Counts sheep."""
from runkit import run_binary
from runkit.flag_values import Flag

def main(argv):
    pass

def run():
    run_binary(main, (Flag("sheep", "How many.", int, 3),))

if __name__ == "__main__":
    run()
'''


class HelpTest(isolated.FolderTestCase):
    def test_module_and_installed_command_show_the_same(self):
        (self.folder / "counter.py").write_text(_MODULE)
        command = self.folder / "command"
        command.write_text("from counter import run\nrun()\n")
        root = pathlib.Path(flag_values.__file__).parents[1]
        for script in (self.folder / "counter.py", command):
            done = subprocess.run(
                [sys.executable, script, "--help"],
                capture_output=True,
                text=True,
                check=False,
                env={"PYTHONPATH": f"{root}:{self.folder}"},
            )
            self.assertIn("Counts sheep.", done.stdout, done.stderr)
            self.assertIn("--sheep: How many.", done.stdout, done.stderr)


class CheckFlagsTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"required": ("name",)}, "", "--name: is missing"),
        ({"positive": ("name",)}, 0, "--name: is not positive"),
        ({"positive": ("name",)}, float("nan"), "--name: is not positive"),
        ({"positive": ("name",)}, float("inf"), "--name: is not positive"),
        ({"least": {"name": 2}}, 1, "--name: is too small.*>= 2"),
        ({"least": {"name": 2}}, float("nan"), "--name: is too small"),
    )
    def test_what_is_refused(self, rule, value, message):
        values = mock.Mock()
        values.configure_mock(name=value)
        with self.assertRaisesRegex(InputError, message):
            flag_values.check_flags(values, **rule)

    def test_none_is_a_default_that_is_chosen_later(self):
        values = mock.Mock(steps=None, length=2)
        flag_values.check_flags(
            values, positive=("steps",), least={"length": 2}
        )
        flag_values.check_flags(values, least={"steps": 1})


if __name__ == "__main__":
    absltest.main()
