"""Habits of the code that a reader depends on, counted over the whole tree."""

import ast
import collections
import pathlib
import re

from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).absolute().parents[2]
PACKAGES = ("runkit", "spactor_tf", "al_tf", "export")

# A helper of a few lines that is called once breaks a reader's walk; these
# many may stay, where the name says more than the lines.
FEW_LINES = 6
MOST_SMALL_HELPERS = 20
MOST_PRIVATE_USES = 15

BRITISH = (
    "isation",
    "abelled",
    "eighbour",
    "ptimis",
    "okenis",
    "ormalis",
    "nitialis",
    "ehaviour",
    "olour",
    "avour",
    "erialis",
    "ynchronis",
    "entred",
    "entres",
    "owards",
)


def trees(*folders: str) -> dict[pathlib.Path, ast.Module]:
    """Every module of the folders, parsed."""
    return {
        path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def uses(tree: ast.Module) -> collections.Counter[str]:
    """How often each name or attribute is read in a module."""
    found: collections.Counter[str] = collections.Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found[node.id] += 1
        elif isinstance(node, ast.Attribute):
            found[node.attr] += 1
    return found


def small_helpers(tree: ast.Module) -> list[str]:
    """Private functions of a few lines that one place of the module uses.

    Decorated ones (properties, compiled kernels) are of another kind.
    """
    used = uses(tree)
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and re.match(r"_[^_]", node.name)
        and not node.decorator_list
        and code_lines(node) <= FEW_LINES
        and used[node.name] == 1
    ]


def private_uses(tree: ast.Module) -> list[str]:
    """Private attributes that a test reads from others than itself.

    The methods of named tuples are public: `_` keeps them apart from fields.
    """
    return [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and re.match(r"_[^_]", node.attr)
        and node.attr not in ("_replace", "_asdict", "_fields", "_make")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]


def patched_privates(tree: ast.Module) -> list[str]:
    """Private names that a test replaces with `patch.object`."""
    return [
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "object"
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
        and re.match(r"_[^_]", str(node.args[1].value))
    ]


def lost_marks(tree: ast.Module) -> list[str]:
    """Tests with a pytest mark above `parameterized`, which drops it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            kinds = [ast.unparse(d) for d in node.decorator_list]
            marks = [k for k in kinds if k.startswith("pytest.mark.")]
            below = kinds[kinds.index(marks[0]) :] if marks else []
            if any(k.startswith("parameterized.") for k in below):
                found.append(node.name)
    return found


class ReadersTest(absltest.TestCase):
    """The counters above count what they are meant to count."""

    def test_small_helpers(self):
        tree = ast.parse(
            "def _once():\n    '''Says.'''\n    return 1\n"
            "def _twice():\n    return 2\n"
            "@property\n"
            "def _decorated(self):\n    return 3\n"
            "def public():\n    return _once() + _twice() + _twice()\n"
            "def _long():\n" + "    x = 1\n" * 7 + "_long()\n"
        )
        self.assertEqual(small_helpers(tree), ["_once"])

    def test_private_uses(self):
        tree = ast.parse(
            "self._mine = other._theirs\n"
            "point._replace(x=1)\n"
            "mock.patch.object(module, '_LIMIT', 4)\n"
            "mock.patch.object(module, 'LIMIT', 4)\n"
            "x.__class__\n"
        )
        self.assertEqual(private_uses(tree), ["_theirs"])
        self.assertEqual(patched_privates(tree), ["_LIMIT"])

    def test_lost_marks(self):
        mark, cases = "@pytest.mark.slow\n", "@parameterized.parameters(1, 2)\n"
        tree = ast.parse(
            f"{mark}{cases}def test_lost(self, x): pass\n"
            f"{cases}{mark}def test_kept(self, x): pass\n"
            f"{mark}def test_plain(self): pass\n"
        )
        self.assertEqual(lost_marks(tree), ["test_lost"])


class HabitsTest(parameterized.TestCase):
    def test_few_small_helpers(self):
        found = [
            f"{path}: {name}"
            for path, tree in trees(*PACKAGES).items()
            for name in small_helpers(tree)
        ]
        self.assertLessEqual(len(found), MOST_SMALL_HELPERS, "\n".join(found))

    def test_tests_use_few_private_names(self):
        found = [
            f"{path}: {name}"
            for path, tree in trees("tests").items()
            for name in private_uses(tree) + patched_privates(tree)
        ]
        self.assertLessEqual(len(found), MOST_PRIVATE_USES, "\n".join(found))

    def test_marks_are_not_lost(self):
        for path, tree in trees("tests").items():
            self.assertEmpty(lost_marks(tree), path)

    def test_the_formatter_has_no_exceptions(self):
        for folder in (*PACKAGES, "tests", "benchmarks", "examples"):
            for path in (ROOT / folder).rglob("*.py"):
                text = path.read_text(encoding="utf-8")
                self.assertNotRegex(text, r"# fmt: (?:skip|off)\b", path.name)

    def test_private_parts_of_keras_hub_are_imported_in_one_file(self):
        found = {
            str(path)
            for path, tree in trees(*PACKAGES).items()
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("keras_hub.src")
        }
        self.assertLessEqual(found, {"spactor_tf/model/t5.py"})

    def test_american_spelling(self):
        pattern = "|".join(BRITISH)
        folders = (*PACKAGES, "docs", "examples", "benchmarks", "experiments")
        paths = [
            path
            for folder in folders
            for suffix in ("py", "md", "json", "toml", "html", "ipynb")
            for path in (ROOT / folder).rglob(f"*.{suffix}")
        ]
        for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *paths):
            text = path.read_text(encoding="utf-8")
            text = text.replace("aria-labelledby", "")  # HTML's own word.
            found = re.findall(rf"\w*(?:{pattern})\w*", text)
            self.assertEmpty(found, path.relative_to(ROOT))


if __name__ == "__main__":
    absltest.main()
