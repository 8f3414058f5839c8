"""Bad input, whole files, progress and pages: what every binary relies on."""

import base64
import errno
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
from unittest import mock

from absl.testing import absltest, parameterized

from runkit import averages, errors, files, minibatches, progress, report

ROOT = pathlib.Path(__file__).absolute().parents[1]


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs Python code in a fresh process that imports this checkout."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


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
        message = str(errors.InputError("bad", got="x" * 10_000))
        self.assertLess(len(message), 220)
        self.assertIn("...", message)

    def test_closest_suggests_a_near_name_and_lists_all(self):
        hint = errors.closest("smal", ["tiny", "small", "base"])
        self.assertEqual(hint, "Did you mean 'small'? Known: base, small, tiny")
        self.assertEqual(errors.closest("zzz", ["b", "a"]), "Known: a, b")

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

    _FLAG = flags.DEFINE_enum("end", "well", ["well", "input", "stop", "bug",
                              "disk", "lost"], "how to end")

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
        if end == "bug":
            raise ValueError("a defect")

    errors.run_binary(main)
"""


class RunBinaryTest(parameterized.TestCase):
    @parameterized.parameters(
        ("--end=well", 0, "^$"),
        ("--end=input", 2, "error: --dataset: empty corpus.\n"),
        ("--end=stop", 75, "interrupted: saved step 7\n"),
        ("--end=disk", 2, "No space left on device.*Free some room"),
    )
    def test_exit_code_and_message(self, argument, code, message):
        done = run_script(_BINARY, argument)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, message)
        self.assertNotIn("Traceback", done.stderr)

    @parameterized.parameters(
        ("--edn=well", "edn.*Did you mean: end"),
        ("--end=wel", "end.*should be one of"),
        ("end=well", "unexpected argument; got 'end=well'.*--name=value"),
    )
    def test_bad_command_line_never_starts_the_work(self, argument, message):
        done = run_script(_BINARY, argument)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, re.compile(message, re.DOTALL))
        self.assertNotIn("Traceback", done.stderr)

    @parameterized.parameters("--end=bug", "--end=lost")
    def test_a_defect_keeps_its_traceback(self, argument):
        done = run_script(_BINARY, argument)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Traceback", done.stderr)


class FolderTestCase(parameterized.TestCase):
    """Gives each test an empty folder."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(
            self.enter_context(tempfile.TemporaryDirectory())
        )

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def leftovers(self) -> list[str]:
        return [name for name in self.names() if name.startswith(".tmp-")]


class AtomicWriteTest(FolderTestCase):
    def test_writes_text_and_bytes_and_makes_the_folder(self):
        with files.atomic_write(self.folder / "a" / "b.txt") as handle:
            handle.write("ß\n")
        with files.atomic_write(self.folder / "c.bin", "wb") as handle:
            handle.write(b"\x00\xff")
        text = (self.folder / "a" / "b.txt").read_bytes()
        self.assertEqual(text, b"\xc3\x9f\n")
        self.assertEqual((self.folder / "c.bin").read_bytes(), b"\x00\xff")
        self.assertEqual(self.names(), ["a", "c.bin"])

    def test_new_content_is_invisible_until_complete(self):
        path = self.folder / "x"
        path.write_text("old")
        with files.atomic_write(path) as handle:
            handle.write("new")
            handle.flush()
            self.assertEqual(path.read_text(), "old")
        self.assertEqual(path.read_text(), "new")

    def test_an_error_inside_leaves_the_old_file_alone(self):
        path = self.folder / "x"
        path.write_text("old")
        with (
            self.assertRaises(KeyboardInterrupt),
            files.atomic_write(path) as handle,
        ):
            handle.write("half of the n")
            raise KeyboardInterrupt
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(self.names(), ["x"])

    @parameterized.parameters("os.fsync", "pathlib.Path.replace")
    def test_full_disk_leaves_the_old_file_alone(self, call):
        path = self.folder / "x"
        path.write_text("old")
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            mock.patch(call, side_effect=full),
            self.assertRaises(OSError) as caught,
            files.atomic_write(path) as handle,
        ):
            handle.write("new")
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(self.names(), ["x"])

    def test_killed_in_the_middle(self):
        path = self.folder / "x"
        path.write_text("old")
        script = """
            import os, signal, sys
            from runkit import files
            with files.atomic_write(sys.argv[1]) as handle:
                handle.write("half of the n")
                handle.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        """
        done = run_script(script, str(path))
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
        self.assertEqual(path.read_text(), "old")
        self.assertLen(self.leftovers(), 1)
        files.remove_leftovers(self.folder)
        self.assertEqual(self.names(), ["x"])

    def test_data_is_on_disk_before_the_name_changes(self):
        calls = []
        fsync, replace = os.fsync, pathlib.Path.replace

        def traced_fsync(handle):
            calls.append("fsync")
            fsync(handle)

        def traced_replace(source, target):
            calls.append("replace")
            return replace(source, target)

        with (
            mock.patch("os.fsync", traced_fsync),
            mock.patch("pathlib.Path.replace", traced_replace),
            files.atomic_write(self.folder / "x") as handle,
        ):
            handle.write("new")
        self.assertEqual(calls, ["fsync", "replace", "fsync"])


class AtomicDirectoryTest(FolderTestCase):
    def fill(self, content: str, **kwargs) -> None:
        with files.atomic_directory(self.folder / "d", **kwargs) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "f").write_text(content)

    def content(self) -> str:
        return (self.folder / "d" / "sub" / "f").read_text()

    def test_appears_complete(self):
        with files.atomic_directory(self.folder / "d") as folder:
            (folder / "f").write_text("new")
            self.assertFalse((self.folder / "d").exists())
        self.assertEqual((self.folder / "d" / "f").read_text(), "new")
        self.assertEqual(self.names(), ["d"])

    def test_existing_directory_is_refused_before_any_work(self):
        self.fill("old")
        with self.assertRaisesRegex(errors.InputError, "exists already"):
            self.fill("new")
        self.assertEqual(self.content(), "old")

    def test_replace_takes_the_new_one_whole(self):
        self.fill("old")
        (self.folder / "d" / "gone").touch()
        self.fill("new", replace=True)
        self.assertEqual(self.content(), "new")
        self.assertFalse((self.folder / "d" / "gone").exists())
        self.assertEqual(self.names(), ["d"])

    def test_an_error_inside_leaves_the_old_one_alone(self):
        self.fill("old")
        with (
            self.assertRaises(ZeroDivisionError),
            files.atomic_directory(self.folder / "d", replace=True) as folder,
        ):
            (folder / "f").write_text("half")
            raise ZeroDivisionError
        self.assertEqual(self.content(), "old")
        self.assertEqual(self.names(), ["d"])

    def test_full_disk_leaves_the_old_one_alone(self):
        self.fill("old")
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            mock.patch("os.fsync", side_effect=full),
            self.assertRaises(OSError),
        ):
            self.fill("new", replace=True)
        self.assertEqual(self.content(), "old")
        self.assertEqual(self.names(), ["d"])

    @parameterized.parameters(1, 2, 3, 4)
    def test_killed_at_any_change_of_names(self, nth):
        self.fill("old")
        script = """
            import os, signal, sys
            from runkit import files

            left = int(sys.argv[2])

            def kill_at(event, arguments):
                global left
                if event in ("os.rename", "os.rmdir", "shutil.rmtree",
                             "ctypes.dlopen"):
                    left -= 1
                    if not left:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(kill_at)
            with files.atomic_directory(sys.argv[1], replace=True) as folder:
                (folder / "sub").mkdir()
                (folder / "sub" / "f").write_text("new")
        """
        run_script(script, str(self.folder / "d"), str(nth))
        files.remove_leftovers(self.folder)
        self.assertIn(self.content(), ("old", "new"))
        self.assertEqual(self.names(), ["d"])

    @parameterized.parameters(1, 2)
    def test_without_exchange_a_failing_rename_restores_the_old(self, nth):
        self.fill("old")
        rename, calls = pathlib.Path.rename, []

        def failing(source, target):
            calls.append(target)
            if len(calls) == nth:
                raise OSError(errno.EIO, "Input/output error")
            return rename(source, target)

        with (
            mock.patch("ctypes.CDLL", return_value=object()),
            mock.patch("pathlib.Path.rename", failing),
            self.assertRaises(OSError),
        ):
            self.fill("new", replace=True)
        self.assertEqual(self.content(), "old")
        self.assertEqual(self.names(), ["d"])

    def test_leftovers_of_a_killed_process_are_removed(self):
        (self.folder / ".tmp-d-0" / "sub").mkdir(parents=True)
        (self.folder / ".tmp-x-1").touch()
        self.fill("good")
        files.remove_leftovers(self.folder)
        self.assertEqual(self.names(), ["d"])


class JsonTest(FolderTestCase):
    def test_round_trip_is_stable_text(self):
        path = self.folder / "c.json"
        files.write_json(path, {"b": [1, 2.5], "a": None})
        self.assertEqual(files.read_json(path), {"a": None, "b": [1, 2.5]})
        first = path.read_bytes()
        files.write_json(path, {"a": None, "b": [1, 2.5]})
        self.assertEqual(path.read_bytes(), first)

    @parameterized.parameters(b"{", b"", b"\xff\xfe{}")
    def test_what_is_not_json_is_refused_by_name(self, content):
        path = self.folder / "c.json"
        path.write_bytes(content)
        with self.assertRaisesRegex(errors.InputError, "c.json: is not JSON"):
            files.read_json(path)

    def test_missing_file(self):
        with self.assertRaisesRegex(errors.InputError, "no such file"):
            files.read_json(self.folder / "none.json")

    def test_value_that_json_cannot_hold_leaves_the_old_file(self):
        path = self.folder / "c.json"
        files.write_json(path, 1)
        with self.assertRaises(TypeError):
            files.write_json(path, {"a": object()})
        self.assertEqual(files.read_json(path), 1)
        self.assertEqual(self.names(), ["c.json"])


class FakeClock:
    """Stands still until a test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class ProgressTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.clock, self.stream = FakeClock(), io.StringIO()

    def progress(self, total, **kwargs) -> progress.Progress:
        return progress.Progress(
            total, clock=self.clock, stream=self.stream, **kwargs
        )

    def test_line_shows_share_rate_and_remaining_time(self):
        shown = self.progress(2000, unit="steps", label="training")
        self.clock.now += 10
        shown.update(500, "loss 3.2")
        self.assertEqual(
            self.stream.getvalue(),
            "training 500/2,000 steps (25%) 50.0 steps/s ETA 30s loss 3.2\n",
        )

    def test_resumed_work_does_not_count_towards_the_rate(self):
        shown = self.progress(2000, start=1000)
        self.clock.now += 10
        shown.update(1100)
        self.assertIn("1,100/2,000 steps (55%)", self.stream.getvalue())
        self.assertIn("10.0 steps/s ETA 1m30s", self.stream.getvalue())

    def test_at_most_one_line_per_period(self):
        shown = self.progress(100, every_seconds=5.0)
        for done in range(1, 21):
            self.clock.now += 1
            shown.update(done)
        self.assertLen(self.stream.getvalue().splitlines(), 4)

    def test_force_prints_at_once(self):
        shown = self.progress(10)
        shown.update(10, force=True)
        self.assertIn("10/10", self.stream.getvalue())

    def test_unknown_total_has_no_share_and_no_eta(self):
        shown = self.progress(None, unit="documents")
        self.clock.now += 10
        shown.update(5000)
        self.assertEqual(
            self.stream.getvalue(), "5,000 documents 500.0 documents/s\n"
        )

    def test_no_eta_before_the_first_unit(self):
        shown = self.progress(10)
        self.clock.now += 10
        shown.update(0)
        self.assertNotIn("ETA", self.stream.getvalue())

    @parameterized.parameters(
        (-1, "0s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (360_000, "100h00m"),
    )
    def test_durations(self, seconds, text):
        self.assertEqual(progress.format_seconds(seconds), text)


class ReportTest(FolderTestCase):
    def test_text_from_outside_cannot_become_markup(self):
        hostile = "<script>alert('&')</script>"
        page = report.Report(hostile, self.folder)
        page.heading(hostile)
        page.text(hostile)
        page.table([hostile], [[hostile]])
        text = page.write().read_text(encoding="utf-8")
        self.assertNotIn("<script", text)
        self.assertEqual(text.count("&lt;script&gt;"), 6)

    def test_numbers_are_grouped_and_right_aligned(self):
        page = report.Report("t", self.folder)
        page.table(["a"], [[1234567, 0.123456, True, "x"]])
        text = page.write().read_text(encoding="utf-8")
        self.assertIn('<td class="n">1,234,567</td>', text)
        self.assertIn('<td class="n">0.1235</td>', text)
        self.assertIn("<td>True</td><td>x</td>", text)

    def test_figure_is_embedded_and_written_beside_the_page(self):
        figure, axes = report.new_figure()
        axes.plot([1, 2], [3, 4])
        page = report.Report("t", self.folder)
        page.figure(figure, "loss", 'the "loss"')
        text = page.write().read_text(encoding="utf-8")
        png = (self.folder / "loss.png").read_bytes()
        self.assertStartsWith(png, b"\x89PNG")
        self.assertIn(base64.b64encode(png).decode(), text)
        self.assertIn('alt="the &quot;loss&quot;"', text)

    def test_page_loads_nothing_from_elsewhere(self):
        figure, _ = report.new_figure()
        page = report.Report("t", self.folder)
        page.figure(figure, "empty")
        text = page.write("index.html").read_text(encoding="utf-8")
        sources = re.findall(r'(?:src|href)="([^"]{0,22})', text)
        self.assertEqual(sources, ["data:image/png;base64,"])
        self.assertNotIn("url(", text)
        self.assertNotIn("@import", text)


class MinibatchesTest(parameterized.TestCase):
    @parameterized.parameters((10, 4, 9), (3, 8, 5), (1, 1, 2))
    def test_every_example_once_a_pass(self, count, size, steps):
        found = list(minibatches.positions(count, size, steps, seed=1))
        self.assertEqual([len(rows) for rows in found], [size] * steps)
        stream = [int(i) for rows in found for i in rows]
        passes = [stream[i : i + count] for i in range(0, len(stream), count)]
        for order in passes[:-1]:
            self.assertCountEqual(order, range(count))
        self.assertLen(set(passes[-1]), len(passes[-1]))

    def test_order_is_a_function_of_the_seed(self):
        orders = [
            [rows.tolist() for rows in minibatches.positions(50, 7, 9, seed)]
            for seed in (1, 1, 2)
        ]
        self.assertEqual(orders[0], orders[1])
        self.assertNotEqual(orders[0], orders[2])

    def test_rate_rises_and_falls(self):
        rates = [minibatches.rate_factor(i, 20) for i in range(20)]
        self.assertEqual(rates[:2], [0.5, 1.0])
        self.assertEqual(rates[2], 1.0)
        self.assertAlmostEqual(rates[11], 0.5)
        self.assertEqual(rates[2:], sorted(rates[2:], reverse=True))
        self.assertGreater(rates[-1], 0)


class AveragesTest(absltest.TestCase):
    def test_mean_and_standard_error(self):
        # Deviations -2, -1, 3: variance 14 / 2 = 7, error sqrt(7 / 3).
        mean, error = averages.mean_and_error([1.0, 2.0, 6.0])
        self.assertEqual(mean, 3)
        self.assertAlmostEqual(error, (7 / 3) ** 0.5)

    def test_the_error_of_one_value_is_unknown(self):
        self.assertEqual(averages.mean_and_error([2]), (2, None))

    def test_in_words(self):
        self.assertEqual(averages.in_words([10, 20], 0), "15 +- 5")
        self.assertEqual(averages.in_words([0.25]), "0.2500")


class CheckFlagsTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"required": ("name",)}, "", "--name: is missing"),
        ({"positive": ("name",)}, 0, "--name: is not positive"),
        ({"positive": ("name",)}, float("nan"), "--name: is not positive"),
        ({"positive": ("name",)}, float("inf"), "--name: is not positive"),
        ({"least": {"name": 2}}, 1, "--name: is too small.*>= 2"),
    )
    def test_what_is_refused(self, rule, value, message):
        values = mock.Mock()
        values.configure_mock(name=value)
        with self.assertRaisesRegex(errors.InputError, message):
            errors.check_flags(values, **rule)

    def test_none_is_a_default_that_is_chosen_later(self):
        values = mock.Mock(steps=None, length=2)
        errors.check_flags(values, positive=("steps",), least={"length": 2})
        errors.check_flags(values, least={"steps": 1})


if __name__ == "__main__":
    absltest.main()
