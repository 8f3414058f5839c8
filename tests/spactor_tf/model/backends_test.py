"""Layers and losses under JAX and PyTorch, against TensorFlow.

Needs a Python with all three, named by BACKENDS_PYTHON:

    python3 -m venv .venv-backends
    .venv-backends/bin/pip install -e . jax torch
    BACKENDS_PYTHON=.venv-backends/bin/python .venv/bin/python -m pytest \
      tests/spactor_tf/model/backends_test.py -m "slow or not slow"
"""

import functools
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import pytest
from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).absolute().parents[3]
PYTHON = os.environ.get("BACKENDS_PYTHON", "")
TOLERANCE = 1e-5
V1_1 = ("model.activation=gated_gelu", "model.tie_embeddings=false")


@functools.cache
def computed(backend: str, *fields: str) -> dict[str, np.ndarray]:
    """Losses and gradients of a process with that backend."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "values.npz"
        done = subprocess.run(
            [
                PYTHON,
                "-m",
                "tests.support.workers.backend_worker",
                output,
                *fields,
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONPATH": str(ROOT),
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{backend} failed:\n{done.stderr[-3000:]}")
        with np.load(output) as stored:
            return {name: stored[name] for name in stored.files}


@pytest.mark.slow
@absltest.skipUnless(
    PYTHON, "BACKENDS_PYTHON names no Python with JAX and PyTorch"
)
class BackendsTest(parameterized.TestCase):
    @parameterized.product(backend=("jax", "torch"), fields=((), V1_1))
    def test_losses_and_gradients_are_those_of_tensorflow(
        self, backend, fields
    ):
        expected = computed("tensorflow", *fields)
        found = computed(backend, *fields)
        self.assertEqual(set(found), set(expected))
        self.assertIn("hybrid/rtd", found)
        self.assertIn("span_corruption/sc", found)
        for name, value in expected.items():
            scale = max(1.0, np.abs(value).max())
            np.testing.assert_allclose(
                found[name] / scale,
                value / scale,
                rtol=0,
                atol=TOLERANCE,
                err_msg=name,
            )
            if "gradient" in name:
                self.assertTrue(np.any(value), name)


if __name__ == "__main__":
    absltest.main()
