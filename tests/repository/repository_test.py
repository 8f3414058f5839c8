"""The repository itself: portable, of readable size, of one version."""

import ast
import collections
import pathlib
import re
import subprocess
import unittest

from absl.testing import absltest, parameterized

import runkit

ROOT = pathlib.Path(__file__).absolute().parents[2]
PACKAGES = ("runkit", "spactor_tf", "al_tf", "export")
FOLDERS = (*PACKAGES, "benchmarks", "examples", "experiments", "tests")
MOST_LINES = 350
MOST_FILES = 12  # Of one folder; `tasks` has a module for each suite.

# What is true on one machine only. A path such as `/tmp/run` in an example
# is fine, and so are a server on localhost and a public package index.
_MACHINE_BOUND = {
    "folder of one machine": (
        r"(?<![\w.~$})-])/(?:home|Users|root|work|workspace|mnt|srv)/[\w.-]"
    ),
    "local package index": (
        r"file:///\w|(?<![\w-])--(?:extra-)?index-url[= ]"
        r"(?!https://(?:pypi\.org|download\.pytorch\.org)/)\S"
    ),
    "host and port of one network": (
        r"https?://(?!localhost\b|127\.0\.0\.1\b)[\w.-]+:\d"
    ),
    "host of one network": (
        r"https?://(?:(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.[\d.]+"
        r"|[\w.-]+\.(?:corp|internal|intranet|lan|local))\b"
    ),
    "credentials": r"https?://[^\s/:@]+:[^\s/@]+@",
}


def machine_bound(text: str) -> list[str]:
    """Returns what kinds of machine-bound names stand in the text."""
    return [k for k, v in _MACHINE_BOUND.items() if re.search(v, text)]


def tracked_files() -> list[pathlib.Path]:
    """Files under version control; skips where there is no clone (Bazel)."""
    if not (ROOT / ".git").exists():
        raise unittest.SkipTest("not a git clone: no list of tracked files")
    # Continuous integration may run as another user than the one who cloned.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if (ROOT / name).is_file()]


class PortableTest(parameterized.TestCase):
    # The bad names are put together here so that this file passes itself.
    @parameterized.parameters(
        ("data = '/ho" + "me/ann/corpus'", "folder of one machine"),
        ("cd /wo" + "rk/main", "folder of one machine"),
        ("file:" + "///opt/wheels", "local package index"),
        ("pip --index" + "-url=x", "local package index"),
        ("http://" + "pypi.acme.example:8080/simple", "host and port of one "),
        ("https://" + "wheels.acme.internal/", "host of one network"),
        ("http://" + "10.0.0.7/simple", "host of one network"),
        ("https://ann:" + "secret@acme.example/", "credentials"),
    )
    def test_machine_bound_names_are_recognized(self, text, kind):
        self.assertStartsWith(" ".join(machine_bound(text)), kind)

    @parameterized.parameters(
        "python -m spactor_tf.pretrain_main --output_dir=/tmp/run",
        "http://localhost:8501/v1/models/t5 or http://127.0.0.1:8501",
        "https://arxiv.org/abs/2401.13160 and https://a.example/work/x",
        "pip install --extra-index-url https://download.pytorch.org/whl/cpu",
        "uv pip compile --no-emit-index-url --no-emit-find-links",
        "gs://bucket/home/run; ../work/x; $ROOT/work/x",
    )
    def test_portable_names_pass(self, text):
        self.assertEmpty(machine_bound(text))

    def test_no_tracked_file_is_bound_to_a_machine(self):
        paths = tracked_files()
        self.assertGreater(len(paths), 20)
        for path in paths:
            text = path.read_text(encoding="utf-8", errors="replace")
            self.assertEmpty(machine_bound(text), path.relative_to(ROOT))


class SizeTest(parameterized.TestCase):
    @parameterized.parameters(*FOLDERS)
    def test_files_can_be_read_in_one_sitting(self, package):
        for path in (ROOT / package).rglob("*.py"):
            lines = path.read_text(encoding="utf-8").count("\n")
            self.assertLessEqual(lines, MOST_LINES, path.relative_to(ROOT))

    @parameterized.parameters(*FOLDERS)
    def test_folders_can_be_seen_at_a_glance(self, package):
        counts = collections.Counter(
            path.parent.relative_to(ROOT)
            for path in (ROOT / package).rglob("*.py")
        )
        self.assertNotEmpty(counts)
        for folder, count in counts.items():
            if folder != pathlib.Path("spactor_tf/tasks"):
                self.assertLessEqual(count, MOST_FILES, folder)


def misplaced(tests: list[str], modules: list[str]) -> list[str]:
    """Tests that do not lie where their module does, below `tests`.

    A test named after a module of a sub-folder belongs into that sub-folder.
    Other tests of a folder, of several of its modules, lie in the folder.
    """
    known = {pathlib.PurePath(module) for module in modules}
    found = []
    for test in map(pathlib.PurePath, tests):
        module = test.with_name(test.name.replace("_test.py", ".py"))
        below = [
            k
            for k in known
            if k.name == module.name and test.parent in k.parent.parents
        ]
        if below and module not in known:
            found.append(str(test))
    return found


class MirrorTest(absltest.TestCase):
    # Tests of the whole repository; kills of a run need many files.
    OF_THEIR_OWN = ("deploy", "repository", "spactor_tf/training/resuming")

    def test_misplaced(self):
        modules = ["p/files/locks.py", "p/signals.py", "p/loop/ids.py"]
        tests = ["p/locks_test.py", "p/signals_test.py", "p/life_test.py"]
        self.assertEqual(misplaced(tests, modules), ["p/locks_test.py"])
        right = ["p/files/locks_test.py", "p/loop/ids_test.py"]
        self.assertEmpty(misplaced(right, modules))

    def test_tests_lie_where_their_modules_do(self):
        tests = [
            str(path.relative_to(ROOT / "tests"))
            for path in (ROOT / "tests").rglob("*_test.py")
        ]
        modules = [
            str(path.relative_to(ROOT))
            for name in FOLDERS[:-1]
            for path in (ROOT / name).rglob("*.py")
        ]
        self.assertEmpty(misplaced(tests, modules))
        folders = {str(pathlib.PurePath(test).parent) for test in tests}
        for folder in folders - set(self.OF_THEIR_OWN):
            self.assertTrue((ROOT / folder / "__init__.py").exists(), folder)


class BazelTest(absltest.TestCase):
    def test_no_test_imports_another(self):
        """Bazel gives each test the shared files only, not other tests."""
        found = [
            f"{path.name}: {line}"
            for path in sorted((ROOT / "tests").rglob("*_test.py"))
            for line in path.read_text(encoding="utf-8").splitlines()
            if re.match(r"(from|import) .*_test\b", line)
        ]
        self.assertEmpty(found)


class PackagingTest(absltest.TestCase):
    def setup_arguments(self) -> dict[str, ast.expr]:
        tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
        call = next(
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "setup"
        )
        return {word.arg or "": word.value for word in call.keywords}

    def test_every_folder_is_a_package_that_setup_finds(self):
        for name in PACKAGES:
            folders = {p.parent for p in (ROOT / name).rglob("*.py")}
            for folder in folders:
                self.assertTrue((folder / "__init__.py").exists(), folder)
            self.assertTrue((ROOT / name / "py.typed").exists(), name)
        packages = ast.unparse(self.setup_arguments()["packages"])
        self.assertStartsWith(packages, "find_packages(")

    def test_every_binary_is_a_console_script(self):
        points = ast.literal_eval(self.setup_arguments()["entry_points"])
        scripts = {
            line.partition("=")[2].strip() for line in points["console_scripts"]
        }
        for name in PACKAGES:
            for path in (ROOT / name).glob("*_main.py"):
                self.assertIn(f"{name}.{path.stem}:run", scripts)

    def test_the_first_page_names_every_extra(self):
        extras = ast.literal_eval(self.setup_arguments()["extras_require"])
        page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE)
        named = {name for row in rows for name in re.findall("`(.+?)`", row)}
        self.assertEqual(named, set(extras))

    def test_the_lock_has_every_extra_that_all_machines_can_have(self):
        extras = ast.literal_eval(self.setup_arguments()["extras_require"])
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        (locked,) = re.findall(r"^LOCKED_EXTRAS := (.*)$", makefile, re.M)
        (unlocked,) = re.findall(
            r"leaves out the extras that follow.*?\n(.*)\n    \},\n    entry",
            (ROOT / "setup.py").read_text(encoding="utf-8"),
            re.S,
        )
        named = re.findall(r'^ {8}"([\w-]+)":', unlocked, re.M)
        self.assertIn("gpu", named)
        self.assertCountEqual([*locked.split(), *named], extras)

    def test_version_is_the_same_everywhere(self):
        version = re.escape(runkit.__version__)
        for name, pattern in (
            ("CITATION.cff", rf"^version: {version}$"),
            ("MODULE.bazel", rf'version = "{version}",\n\)'),
        ):
            text = (ROOT / name).read_text(encoding="utf-8")
            self.assertRegex(text, re.compile(pattern, re.M), name)


if __name__ == "__main__":
    absltest.main()
