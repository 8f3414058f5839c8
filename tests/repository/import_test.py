"""Who may import whom, and what an import must not cost."""

import ast
import graphlib
import importlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).absolute().parents[2]

# Package -> other packages of the project that it may import. The binaries
# (`*_main.py`) may join any of them; `DEPENDENCIES` in BUILD says the same.
MAY_IMPORT = {
    "runkit": set(),
    "spactor_tf": {"runkit"},
    "al_tf": {"runkit"},
    "export": {"runkit", "spactor_tf"},
}
PROJECT = {*MAY_IMPORT, "benchmarks", "examples", "tests"}

# Folder -> folders of the same package that it imports. A folder's binaries
# and `__init__` stand above all of its folders and are not listed.
FOLDERS = {
    "spactor_tf": {
        "config": set(),
        "data": {"config"},
        "model": {"config", "data"},
        "inference": {"config", "data", "model"},
        "training": {"config", "data", "inference", "model"},
        "tasks": set(),
        "finetune": {
            "config",
            "data",
            "inference",
            "model",
            "tasks",
            "training",
        },
        "classifier": {"inference", "model"},
        "planning": {"config", "data", "model"},
    },
    "al_tf": {
        "inputs": set(),
        "neighbors": set(),
        "clustering": {"inputs", "neighbors"},
        "selection": {"clustering", "inputs", "neighbors"},
        "duplicates": {"clustering", "inputs", "neighbors"},
        "distributed": {"clustering", "inputs", "neighbors", "selection"},
        "pools": set(),
        "learners": set(),
        "label_tools": {"pools"},
        "loop": {
            "clustering",
            "inputs",
            "label_tools",
            "learners",
            "pools",
            "selection",
        },
        "protocols": {
            "clustering",
            "inputs",
            "learners",
            "loop",
            "selection",
        },
        "project": {
            "clustering",
            "inputs",
            "label_tools",
            "learners",
            "loop",
            "pools",
            "selection",
        },
        "label_page": {"label_tools", "pools", "project"},
    },
    "export": {
        "modules": set(),
        "c_api": set(),
        "saved_model": {"c_api", "modules"},
        "servables": {"saved_model"},
        "dev_server": {"c_api", "saved_model", "servables"},
        "formats": {"modules", "saved_model"},
        "scoring": set(),
    },
}
HEAVY = {
    "keras",
    "keras_hub",
    "scann",
    "tensorflow",
    "tensorflow_datasets",
    "tensorflow_text",
}


def modules(package: str) -> list[pathlib.Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_packages(source: str) -> set[str]:
    """Top-level names of all absolute imports, those in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def imports_at_run_time(tree: ast.AST) -> Iterator[str]:
    """Dotted names that absolute imports may mean, outside TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{a.name}" for a in node.names)
            yield node.module or ""
        elif not (
            isinstance(node, ast.If)
            and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            yield from imports_at_run_time(node)


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Module -> modules among them that it imports, in functions too."""
    graph = {}
    for name, source in sources.items():
        found = set(imports_at_run_time(ast.parse(source)))
        graph[name] = found & set(sources) - {name}
    return graph


def folders(package: str) -> set[str]:
    """Folders of a package that hold modules."""
    folder = ROOT / package
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def parts_imported(package: str, folder: str) -> set[str]:
    """What a folder's modules import of their package outside the folder."""
    found: set[str] = set()
    for path in (ROOT / package / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.update(f"{node.module}.{a.name}" for a in node.names)
    parts = [name.split(".") for name in found]
    return {p[1] for p in parts if p[0] == package and p[1:]} - {folder}


def allowed(path: pathlib.Path, package: str) -> set[str]:
    if path.name.endswith("_main.py"):
        return set(MAY_IMPORT)
    return {package, *MAY_IMPORT[package]}


def run_python(code: str) -> str:
    """Runs code in a fresh interpreter and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


class LayersTest(parameterized.TestCase):
    @parameterized.parameters(*MAY_IMPORT)
    def test_package_imports_only_what_lies_below_it(self, package):
        paths = modules(package)
        self.assertNotEmpty(paths)
        for path in paths:
            names = imported_packages(path.read_text(encoding="utf-8"))
            foreign = (names & PROJECT) - allowed(path, package)
            self.assertEmpty(foreign, f"{path.relative_to(ROOT)} imports")

    def test_imports_are_seen_wherever_they_stand(self):
        source = (
            "import numpy as np, al_tf.clustering.average_linkage\n"
            "from . import config\n"
            "def f():\n"
            "    from spactor_tf.layers import Head\n"
        )
        self.assertEqual(
            imported_packages(source), {"numpy", "al_tf", "spactor_tf"}
        )

    def test_only_binaries_may_join_the_methods(self):
        main = pathlib.Path("al_tf/select_main.py")
        self.assertIn("spactor_tf", allowed(main, "al_tf"))
        self.assertNotIn("tests", allowed(main, "al_tf"))
        library = pathlib.Path("al_tf/select.py")
        self.assertEqual(allowed(library, "al_tf"), {"al_tf", "runkit"})

    def test_build_file_declares_the_same_layers(self):
        tree = ast.parse((ROOT / "BUILD").read_text(encoding="utf-8"))
        declared = next(
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and node.targets[0].id == "DEPENDENCIES"
        )
        self.assertEqual(
            {k: {d.lstrip(":") for d in v} for k, v in declared.items()},
            MAY_IMPORT,
        )

    @parameterized.parameters(*MAY_IMPORT)
    def test_no_module_hides_one_of_the_standard_library(self, package):
        # A binary run as a file has its own folder first on sys.path.
        names = {path.stem for path in (ROOT / package).iterdir()}
        self.assertEmpty(names & (sys.stdlib_module_names | PROJECT | HEAVY))


class RoomsTest(parameterized.TestCase):
    @parameterized.parameters(*FOLDERS)
    def test_every_folder_is_listed(self, package):
        self.assertEqual(set(FOLDERS[package]), folders(package))

    @parameterized.parameters(
        *((package, part) for package in FOLDERS for part in FOLDERS[package])
    )
    def test_a_folder_imports_what_is_stated_and_nothing_else(
        self, package, folder
    ):
        imported = parts_imported(package, folder)
        self.assertEqual(imported, FOLDERS[package][folder])

    @parameterized.parameters(*FOLDERS)
    def test_every_folder_is_an_attribute_of_its_package(self, package):
        module = importlib.import_module(package)
        for folder in FOLDERS[package]:
            self.assertIn(folder, module.__all__)
            self.assertEqual(
                getattr(module, folder).__name__, f"{package}.{folder}"
            )

    @parameterized.parameters(*FOLDERS)
    def test_no_folders_import_each_other(self, package):
        # Raises CycleError, a ValueError, where there is a cycle.
        order = [*graphlib.TopologicalSorter(FOLDERS[package]).static_order()]
        self.assertCountEqual(order, FOLDERS[package])


class ModulesTest(absltest.TestCase):
    """No module imports itself by a detour, sub-folders and functions too."""

    def test_cycles_are_seen_wherever_they_stand(self):
        sources = {
            "p.a": "def f():\n    from p import b\n",
            "p.b": "if x:\n    import p.c\n",
            "p.c": "if TYPE_CHECKING:\n    from p.a import A\n",
        }
        graph = import_graph(sources)
        self.assertEqual(graph, {"p.a": {"p.b"}, "p.b": {"p.c"}, "p.c": set()})
        sources["p.c"] = "from p.a import A\n"
        with self.assertRaises(graphlib.CycleError):
            graphlib.TopologicalSorter(import_graph(sources)).prepare()

    def test_no_modules_import_each_other(self):
        sources = {
            ".".join(path.relative_to(ROOT).with_suffix("").parts): path
            for package in (*PROJECT - {"tests"}, "experiments")
            for path in modules(package)
            if path.stem != "__init__"
        }
        self.assertGreater(len(sources), 300)
        graph = import_graph(
            {k: v.read_text(encoding="utf-8") for k, v in sources.items()}
        )
        graphlib.TopologicalSorter(graph).prepare()  # Raises CycleError.


class ImportCostTest(parameterized.TestCase):
    @parameterized.parameters("runkit", "al_tf")
    def test_import_stays_light(self, package):
        printed = run_python(f"import sys, {package}; print(*sys.modules)")
        loaded = set(printed.split())
        self.assertIn(package, loaded)
        self.assertEmpty(loaded & HEAVY)

    def test_extras_are_not_needed_to_import(self):
        # None in sys.modules makes an import fail as if it were missing.
        run_python(
            "import sys\n"
            "for name in ('rouge_score', 'scann', 'tensorflow_serving'):\n"
            "    sys.modules[name] = None\n"
            "import al_tf, export, spactor_tf\n"
        )


if __name__ == "__main__":
    absltest.main()
