"""What the documents promise exists: targets, files, modules, code."""

import doctest
import pathlib
import re

from absl.testing import absltest

from tests.support.serving.tf_serving_cases import cases

ROOT = pathlib.Path(__file__).absolute().parents[2]
FOLDERS = "runkit spactor_tf al_tf export tests docs benchmarks examples"
FOLDERS += " experiments third_party deploy .ci .github"


def documents() -> list[pathlib.Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted([*found, *(ROOT / "benchmarks").glob("*.md")])


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """Returns (language, code) of each fenced block."""
    return re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.M | re.S)


def inline_code(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.findall(r"`([^`\n]+)`", prose)


def all_code(text: str) -> list[str]:
    return [*(code for _, code in fenced_blocks(text)), *inline_code(text)]


def make_targets(text: str) -> set[str]:
    pattern = r"(?:^|[\s;&|(])make ([a-z][\w-]*)"
    return {t for code in all_code(text) for t in re.findall(pattern, code)}


def python_modules(text: str) -> set[str]:
    """Names of the project's modules run with `python -m`."""
    found = {
        name
        for code in all_code(text)
        for name in re.findall(r"python3? -m ([\w.]+)", code)
    }
    return {n for n in found if n.partition(".")[0] in FOLDERS.split()}


def linked_paths(text: str) -> set[str]:
    """Targets of the links that stay inside the repository."""
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    local = (link.partition("#")[0] for link in links if ":" not in link)
    return {link for link in local if link}


def named_paths(text: str) -> set[str]:
    """Repository paths in inline code; `tests/x_test.py::Case` names x."""
    found = (code.partition("::")[0] for code in inline_code(text))
    top = "|".join(re.escape(name) for name in FOLDERS.split())
    return {p for p in found if re.fullmatch(rf"(?:{top})/[\w./*-]*", p)}


def python_blocks(text: str) -> list[str]:
    """Code of the Python blocks; console sessions without their output."""
    blocks = (c for lang, c in fenced_blocks(text) if lang == "python")
    return [
        doctest.script_from_examples(c) if c.startswith(">>>") else c
        for c in blocks
    ]


class ReadersTest(absltest.TestCase):
    """The readers below find what they are meant to find."""

    TEXT = (
        "Just make it run: `make quickstart`, see [map](docs/map.md#top),\n"
        "[paper](https://arxiv.org/abs/2401.13160), [here](#below),\n"
        "`tests/conftest.py::T`, `spactor_tf/*.py`, `runs/x`.\n"
        "```bash\nmake test && make bazel-test\n"
        "python -m al_tf.select_main --k=3; python -m pip list\n```\n"
        "```python\nx = 1\n```\n"
        "```python\n>>> x + 1\n2\n```\n"
    )

    def test_readers(self):
        self.assertEqual(
            make_targets(self.TEXT), {"quickstart", "test", "bazel-test"}
        )
        self.assertEqual(python_modules(self.TEXT), {"al_tf.select_main"})
        self.assertEqual(linked_paths(self.TEXT), {"docs/map.md"})
        self.assertEqual(
            named_paths(self.TEXT),
            {
                "tests/conftest.py",
                "spactor_tf/*.py",
            },
        )
        first, second = python_blocks(self.TEXT)
        self.assertEqual(first, "x = 1\n")
        self.assertStartsWith(second, "x + 1\n")


class DocumentsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.texts = {
            str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
            for path in documents()
        }
        self.assertIn("README.md", self.texts)

    def test_make_targets_exist(self):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        known = set(re.findall(r"^([a-z][\w-]*):", makefile, re.M))
        self.assertIn("test", known)
        for name, text in self.texts.items():
            self.assertEmpty(make_targets(text) - known, name)

    def test_modules_exist(self):
        for name, text in self.texts.items():
            for module in python_modules(text):
                path = ROOT.joinpath(*module.split("."))
                found = path.with_suffix(".py"), path / "__main__.py"
                self.assertTrue(any(p.exists() for p in found), (name, module))

    def test_links_lead_somewhere(self):
        for name, text in self.texts.items():
            for link in linked_paths(text):
                target = (ROOT / name).parent / link
                self.assertTrue(target.exists(), (name, link))

    def test_every_how_to_page_is_listed_first_and_in_the_menu(self):
        index = self.texts["docs/how_to/index.md"].partition("\n## ")[0]
        menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
        pages = {path.name for path in (ROOT / "docs/how_to").glob("*.md")}
        for page in pages - {"index.md"}:
            self.assertIn(f"]({page})", index)
            self.assertIn(f": how_to/{page}\n", menu)

    def test_named_files_exist(self):
        for name, text in self.texts.items():
            for path in named_paths(text):
                found = list(ROOT.glob(path.rstrip("/")))
                self.assertNotEmpty(found, (name, path))

    def test_readme_maps_every_folder(self):
        text = self.texts["README.md"]
        lines = text.partition("## Repository layout")[2].splitlines()
        mapped, package = set(), ""
        for line in lines[: lines.index("```", lines.index("```text") + 1)]:
            names = re.match(r"\s*((?:[\w.]+/ ?)+)", line)
            for name in names[1].split() if names else ():
                package = "" if line[0] != " " else package
                mapped.add(package + name)
                package = package or name
        code = {
            f"{path.parent.relative_to(ROOT)}/"
            for top in FOLDERS.split()
            for path in (ROOT / top).glob("**/*.py")
            if top not in ("third_party", "tests") and path.parent != ROOT
        }
        self.assertEmpty(code - mapped, "folders that the map does not name")
        for name in mapped:
            self.assertTrue((ROOT / name).is_dir(), name)

    def test_python_blocks_compile(self):
        for name, text in self.texts.items():
            for code in python_blocks(text):
                compile(code, name, "exec")


class ServingTableTest(absltest.TestCase):
    def test_every_case_has_its_row(self):
        page = (ROOT / "docs" / "tf_serving.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| ([^|]+) \| `[A-Z]+ ", page, re.MULTILINE)
        self.assertEqual(rows, [case.what for case in cases()])
        same = [case for case in cases() if not case.tf_serving]
        self.assertGreaterEqual(len(same), 60)


if __name__ == "__main__":
    absltest.main()
