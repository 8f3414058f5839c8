"""A folder and a process of a test's own."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap

from absl.testing import parameterized

ROOT = pathlib.Path(__file__).absolute().parents[2]


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs Python code in a fresh process that imports this checkout."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def hear_ctrl_c() -> None:
    """For `preexec_fn`: a child of a background job would ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
