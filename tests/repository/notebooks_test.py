"""The notebooks run from the first cell to the last."""

import os
import pathlib
from unittest import mock

import nbclient
import nbformat
import pytest
from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).absolute().parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


class NotebooksTest(parameterized.TestCase):
    def test_they_are_committed_without_output(self):
        self.assertLen(NOTEBOOKS, 2)
        for path in NOTEBOOKS:
            for cell in nbformat.read(path, as_version=4).cells:
                self.assertEmpty(cell.get("outputs", []), path.name)

    @parameterized.named_parameters((p.stem, p) for p in NOTEBOOKS)
    @pytest.mark.slow
    def test_every_cell_runs(self, path):
        folder = self.create_tempdir().full_path
        notebook = nbformat.read(path, as_version=4)
        environment = {
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": folder,
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        }
        with mock.patch.dict(os.environ, environment):
            nbclient.NotebookClient(
                notebook,
                timeout=900,
                resources={"metadata": {"path": folder}},
            ).execute()
        codes = [c for c in notebook.cells if c.cell_type == "code"]
        self.assertTrue(all(c.execution_count for c in codes))
        shown = [o for c in codes for o in c.outputs if "data" in o]
        self.assertTrue(any("image/png" in o["data"] for o in shown))


if __name__ == "__main__":
    absltest.main()
