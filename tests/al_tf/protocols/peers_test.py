"""The adapters with the real packages: scikit-activeml's own checks and more.

Needs a Python that has both, named by PROTOCOLS_PYTHON:

    python3 -m venv .venv-protocols
    .venv-protocols/bin/pip install -e . scikit-activeml small-text
    .venv-protocols/bin/pip install --no-deps --target=.venv-protocols/checks \
      scikit-activeml==0.6.1
    PROTOCOLS_PYTHON=.venv-protocols/bin/python .venv/bin/python -m pytest \
      tests/al_tf/protocols/peers_test.py -m "slow or not slow"

Release 0.6.1 of scikit-activeml is the last whose wheel holds the checks of
query strategies; they run against the release that is installed.
"""

import os
import pathlib
import re
import subprocess

import pytest
from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).absolute().parents[3]
PYTHON = os.environ.get("PROTOCOLS_PYTHON", "")


def run(*arguments):
    return subprocess.run(
        [PYTHON, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@absltest.skipUnless(
    PYTHON,
    "PROTOCOLS_PYTHON names no Python with scikit-activeml and small-text",
)
class PeersTest(parameterized.TestCase):
    @parameterized.parameters(("skactiveml", 29), ("small_text", 17))
    def test_checks(self, name, count):
        # By path: small-text's wheel holds a package `tests` too.
        done = run(f"tests/support/workers/{name}_checks.py")
        self.assertEqual(done.returncode, 0, done.stderr[-5000:])
        (ran,) = re.findall(r"^Ran (\d+) tests", done.stderr, re.MULTILINE)
        # None was lost on the way.
        self.assertGreaterEqual(int(ran), count)
        self.assertNotIn("skipped", done.stderr)

    @parameterized.parameters("skactiveml", "small_text")
    def test_the_code_of_the_page(self, name):
        page = (ROOT / "docs" / "how_to" / "notebook.md").read_text("utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
        (code,) = [b for b in blocks if f"al_tf.protocols.{name}" in b]
        done = run("-c", code)
        self.assertEqual(done.returncode, 0, done.stderr[-5000:])


if __name__ == "__main__":
    absltest.main()
