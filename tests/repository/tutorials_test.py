"""The code of the tutorials and of some how-to pages runs, at a small size.

A comment before a block says how the test runs it; readers do not see it:

    <!-- test: small FLAGS -->       adds flags to the last command
    <!-- test: replace OLD=NEW -->   replaces numbers
    <!-- test: background -->        a server; runs until the tutorial ends
    <!-- test: skip REASON -->       cannot run here
    <!-- test: makes FILES -->       these exist now
"""

import dataclasses
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import pytest
from absl.testing import absltest, parameterized

from tests.support.isolated import FolderTestCase

ROOT = pathlib.Path(__file__).absolute().parents[2]
# Two minutes and more: exports and a server; three seeds of two tasks.
LONG = [
    ROOT / "docs" / "tutorials" / "serve.md",
    ROOT / "docs" / "how_to" / "own_task.md",
]
TUTORIALS = sorted({*(ROOT / "docs" / "tutorials").glob("*.md")} - {*LONG})
HOW_TO = [
    ROOT / "docs" / "how_to" / name
    for name in (
        "duplicates.md",
        "label_project.md",
        "notebook.md",
        "own_files.md",
    )
]
START_SECONDS = 120
# What the development server listens on unless it is told otherwise.
PORTS = {"8500": "--port", "8501": "--rest_api_port"}


@dataclasses.dataclass
class Block:
    """A fenced block: its language, its code, and how to run it."""

    language: str
    code: str
    instructions: dict[str, str]


def blocks(text: str) -> list[Block]:
    """Blocks of a page in order; `makes` without code is one of its own."""
    pattern = (
        r"(?P<notes>(?:<!-- test: [^\n]+ -->\n)*)"
        r"(?:```(?P<language>\w+)\n(?P<code>.*?)```\n)?"
    )
    found = []
    for match in re.finditer(pattern, text, re.S):
        notes = re.findall(r"<!-- test: (\w+) ?(.*?) -->", match["notes"])
        if match["code"] or notes:
            found.append(
                Block(match["language"] or "", match["code"] or "", dict(notes))
            )
    return found


def prepared(block: Block, ports: dict[str, str]) -> str:
    """The block's code at the size of a test."""
    code = block.code.rstrip()
    for pair in block.instructions.get("replace", "").split():
        old, new = pair.split("=")
        if old not in code:
            raise ValueError(f"nothing to replace: {old}")
        code = code.replace(old, new)
    for old, new in ports.items():
        code = code.replace(f"localhost:{old}", f"localhost:{new}")
    # A space behind the end mark of a here-document would hide it.
    return f"{code} {block.instructions.get('small', '')}".rstrip()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


class BlocksTest(absltest.TestCase):
    TEXT = (
        "# Title\n```bash\nls\n```\n"
        "<!-- test: small --k=1 -->\n<!-- test: replace 100=7 -->\n"
        "```bash\nrun --n=100 \\\n  --x\n```\n"
        "<!-- test: makes a b -->\n\n"
        "```python\nClient('localhost:8500')\n```\n"
    )

    def test_blocks_are_found_with_their_instructions(self):
        first, second, third, fourth = blocks(self.TEXT)
        self.assertEqual((first.language, first.code), ("bash", "ls\n"))
        self.assertEqual(
            second.instructions, {"small": "--k=1", "replace": "100=7"}
        )
        self.assertEqual(prepared(second, {}), "run --n=7 \\\n  --x --k=1")
        self.assertEqual(third.instructions, {"makes": "a b"})
        self.assertIn("localhost:9", prepared(fourth, {"8500": "9"}))

    def test_every_page_has_code(self):
        self.assertLen(TUTORIALS, 2)
        for path in (*TUTORIALS, *HOW_TO, *LONG):
            self.assertGreater(len(blocks(path.read_text("utf-8"))), 3, path)


class TutorialsTest(FolderTestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        binaries = self.folder / "bin"
        binaries.mkdir()
        # A link to a virtual environment's Python would leave it.
        python = binaries / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        # A page's code must not change the environment of whoever tests it.
        pip = binaries / "pip"
        pip.write_text("#!/bin/sh\necho 'a test installs nothing'\nexit 1\n")
        pip.chmod(0o755)
        self.env = {
            **os.environ,
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "PIP_NO_INDEX": "1",
        }
        self.ports: dict[str, str] = {}

    def run_block(self, block: Block) -> None:
        command = (
            [sys.executable, "-c"]
            if block.language == "python"
            else ["bash", "-euc"]
        )
        code = prepared(block, self.ports)
        done = subprocess.run(
            [*command, code],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(
            done.returncode, 0, f"{code}\n{done.stdout}\n{done.stderr}"
        )

    def start_server(self, block: Block) -> None:
        self.ports = {old: free_port() for old in PORTS}
        flags = [f"{PORTS[old]}={new}" for old, new in self.ports.items()]
        code = f"exec {prepared(block, {})} {' '.join(flags)}"
        log = (self.folder / "server.log").open("w")
        self.addCleanup(log.close)
        server = subprocess.Popen(
            ["bash", "-c", code],
            cwd=self.folder,
            env=self.env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.assertIsNone(
                server.poll(), (self.folder / "server.log").read_text()
            )
            with socket.socket() as probe:
                if not probe.connect_ex(("localhost", int(self.ports["8501"]))):
                    return
            self.assertLess(time.monotonic(), deadline, "no server")
            time.sleep(0.2)

    @parameterized.named_parameters((p.stem, p) for p in TUTORIALS + HOW_TO)
    def test_code_runs(self, path):
        self.run_page(path)

    @parameterized.named_parameters((p.stem, p) for p in LONG)
    @pytest.mark.slow
    def test_long_code_runs(self, path):
        self.run_page(path)

    def run_page(self, path: pathlib.Path) -> None:
        for block in blocks(path.read_text(encoding="utf-8")):
            if "skip" in block.instructions:
                continue
            if "background" in block.instructions:
                self.start_server(block)
            elif block.code:
                self.run_block(block)
            for name in block.instructions.get("makes", "").split():
                self.assertTrue((self.folder / name).exists(), name)


if __name__ == "__main__":
    absltest.main()
