"""Bad input at the door: messages, exit codes, flags."""

import re

from absl.testing import absltest, parameterized

from runkit import errors
from runkit.flag_values import Flag
from tests.support.isolated import run_script


class InputErrorTest(parameterized.TestCase):
    def test_message_names_place_value_expectation_and_remedy(self):
        error = errors.InputError(
            "out of range",
            where="--noise_density",
            got=1.5,
            expected="between 0 and 1",
            remedy="T5 uses 0.15.",
        )
        self.assertEqual(
            str(error),
            "--noise_density: out of range; got 1.5; "
            "expected between 0 and 1. T5 uses 0.15.",
        )
        self.assertIsInstance(error, ValueError)

    def test_bare_message(self):
        self.assertEqual(str(errors.InputError("no text")), "no text.")

    @parameterized.parameters((0, "0"), ("", "''"), (False, "False"))
    def test_falsy_values_are_shown(self, got, shown):
        self.assertIn(f"got {shown}", str(errors.InputError("bad", got=got)))

    def test_long_value_is_cut(self):
        path = "/folder" * 100 + "/corpus.txt was changed"
        message = str(errors.InputError("bad", got=path))
        self.assertLess(len(message), 220)
        self.assertIn("got '/folder", message)
        self.assertIn(" ... ", message)
        self.assertIn("/corpus.txt was changed'", message)

    def test_sentences_end_once(self):
        for remedy, end in (
            ("Did you mean 'a'?", "'a'?"),
            ("Repair 1, 2, ...", "2, ..."),
            ("Give --x", "--x."),
        ):
            message = str(errors.InputError("bad", remedy=remedy))
            self.assertEndsWith(message, f"bad. {message[5:]}")
            self.assertEndsWith(message, end)

    @parameterized.parameters(
        ("margins", "--margins: bad."),
        ("margins: m.npy", "--margins: m.npy: bad."),
        ("labels[3]", "--labels[3]: bad."),
        ("optimizer.learning_rate", "--learning_rate: bad."),
        ("model.num_layers", "--set=model.num_layers: bad."),
        ("model.num_heads", "model.num_heads: bad."),
        ("margins.npy", "margins.npy: bad."),
        ("labels/a.csv", "labels/a.csv: bad."),
        ("--margins", "--margins: bad."),
        ("", "bad."),
    )
    def test_fields_are_called_by_their_flags(self, where, expected):
        table = (
            Flag("margins", "Margins."),
            Flag("labels", "Labels."),
            Flag("learning_rate", "Rate.", field="optimizer.learning_rate"),
        )
        error = errors.InputError("bad", where=where)
        given = ["model.num_layers=0"]
        self.assertEqual(errors.in_flags(error, table, given), expected)

    def test_closest_suggests_a_near_name_and_lists_all(self):
        hint = errors.closest("smal", ["tiny", "small", "base"])
        self.assertEqual(hint, "Did you mean 'small'? Known: base, small, tiny")
        self.assertEqual(errors.closest("zzz", ["b", "a"]), "Known: a, b")

    def test_closest_of_very_many_ignores_case_and_always_names_one(self):
        names = [f"task_{i}" for i in range(90)] + ["sst2", "CoLA"]
        for wrong, meant in (("SST2", "sst2"), ("cola", "CoLA")):
            self.assertEqual(
                errors.closest(wrong, names), f"Did you mean {meant!r}?"
            )
        self.assertIn("Did you mean", errors.closest("zzz", names))

    def test_check_choice(self):
        known = iter(["tiny", "small"])
        self.assertEqual(
            errors.check_choice("tiny", known, where="--preset"), "tiny"
        )
        with self.assertRaisesRegex(
            errors.InputError, "^--preset: .*'tinny'.*Did you mean 'tiny'"
        ):
            errors.check_choice("tinny", ["tiny", "small"], where="--preset")


_BINARY = """
    import sys
    from absl import flags
    from runkit import errors
    from runkit.flag_values import Flag

    _FLAG = flags.DEFINE_enum("end", "well", ["well", "input", "stop", "bug",
                              "disk", "lost", "path", "memory"], "how to end")

    flags.DEFINE_integer("sheep", 1, "count")
    PLACES = (Flag("output_dir", "Place."), Flag("cache_dir", "Place."))
    flags.DEFINE_float("rate", 1.0, "share")

    def main(argv):
        end = _FLAG.value
        print("ran", end)
        if end == "input":
            raise errors.InputError("empty corpus", where="--dataset")
        if end == "stop":
            raise errors.InterruptedRun("saved step 7")
        if end == "disk":
            raise OSError(28, "No space left on device")
        if end == "lost":
            raise OSError(5, "Input/output error")
        if end == "memory":
            bytearray(2**62)
        if end == "path":
            open(flags.FLAGS.cache_dir + "/" + "long" * 100)
        if end == "bug":
            raise ValueError("a defect")

    errors.run_binary(main, PLACES)
"""


class RunBinaryTest(parameterized.TestCase):
    @parameterized.parameters(
        ("--end=well", 0, "^$"),
        ("--end=input", 2, "error: --dataset: empty corpus.\n"),
        ("--end=stop", 75, "interrupted: saved step 7\n"),
        ("--end=memory", 2, "error: the memory does not suffice.*smaller"),
        ("--end=disk", 2, "No space left on device.*Free some room"),
    )
    def test_exit_code_and_message(self, argument, code, message):
        done = run_script(_BINARY, argument)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, message)
        self.assertNotIn("Traceback", done.stderr)

    def test_a_path_that_the_system_refuses(self):
        places = ("--output_dir=out", "--cache_dir=.")
        done = run_script(_BINARY, "--end=path", *places)
        self.assertEqual(done.returncode, 2, done.stderr)
        # The middle of the path is cut: where depends on the working folder.
        self.assertRegex(
            done.stderr,
            "error: --cache_dir: File name too long; got '/.* ... .*"
            "long'. Give a shorter name.\n$",
        )
        self.assertNotIn("Traceback", done.stderr)

    @parameterized.parameters(
        ("--edn=well", "edn.*Did you mean: end"),
        ("--end=wel", "end.*should be one of"),
        ("end=well", "unexpected argument; got 'end=well'.*--name=value"),
        ("--sheep=ten", "error: --sheep: is not a whole number; got 'ten'."),
        ("--rate=a=b", "error: --rate: is not a number; got 'a=b'."),
    )
    def test_bad_command_line_never_starts_the_work(self, argument, message):
        done = run_script(_BINARY, argument)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, re.compile(message, re.DOTALL))
        self.assertNotIn("Traceback", done.stderr)

    @parameterized.parameters("--help", "--helpfull", "--helpshort")
    def test_help_is_no_failure(self, argument):
        done = run_script(_BINARY, argument)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("--end", done.stdout)

    @parameterized.parameters("--end=bug", "--end=lost")
    def test_a_defect_keeps_its_traceback(self, argument):
        done = run_script(_BINARY, argument)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Traceback", done.stderr)


if __name__ == "__main__":
    absltest.main()
