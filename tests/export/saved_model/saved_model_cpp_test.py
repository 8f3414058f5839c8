"""Every signature through TensorFlow's C++ loader, built against the wheel.

Slow, and skipped where there is no compiler.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import shutil
import subprocess
import unittest

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text
from absl.testing import absltest

from export.saved_model import records, verify, versions
from tests.support import serving_models

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "testdata/serve_check.cc"
_TYPES = {1: np.float32, 3: np.int32, 7: object, 10: bool}


def build(folder: pathlib.Path) -> pathlib.Path:
    """Compiles the checker."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise unittest.SkipTest("no C++ compiler")
    wheel = pathlib.Path(tf.sysconfig.get_lib())
    program = folder / "serve_check"
    subprocess.run(
        [
            compiler,
            "-std=c++17",
            "-O1",
            *tf.sysconfig.get_compile_flags(),
            str(SOURCE),
            "-o",
            str(program),
            f"-L{wheel}",
            "-l:libtensorflow_cc.so.2",
            "-l:libtensorflow_framework.so.2",
            f"-Wl,-rpath,{wheel}",
        ],
        check=True,
    )
    return program


def tokenizer_ops() -> pathlib.Path:
    folder = pathlib.Path(tensorflow_text.__file__).parent
    return folder / "python/ops/_sentencepiece_tokenizer.so"


def as_line(signature: str, inputs: dict[str, np.ndarray]) -> str:
    ((name, texts),) = inputs.items()
    return " ".join([signature, name, *(t.hex() or "-" for t in texts)])


def as_outputs(lines: list[str]) -> dict[str, np.ndarray]:
    outputs = {}
    for line in lines:
        _, name, dtype, rows, *values = line.split()
        kind = _TYPES[int(dtype)]
        if kind is object:
            values = [bytes.fromhex(v.replace("-", "")) for v in values]
        elif kind is bool:
            values = [v == "1" for v in values]
        array = np.array(values, kind)
        if len(values) > int(rows) > 0:
            array = array.reshape(int(rows), -1)
        outputs[name] = array
    return outputs


@pytest.mark.slow
class CppLoaderTest(absltest.TestCase):
    def test_every_stored_request(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        program = build(folder)
        path = serving_models.export_t5(folder / "t5")
        stored = [
            record
            for name in (versions.WARM_UP, versions.VERIFICATION)
            for record in records.read_records(path / name)
        ]
        requests = "\n".join(as_line(s, inputs) for s, inputs, _ in stored)
        done = subprocess.run(
            [program, path, tokenizer_ops()],
            input=requests,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        lines = done.stdout.splitlines()
        seen = set()
        for signature, _, expected in stored:
            answer, lines = lines[: len(expected)], lines[len(expected) :]
            self.assertEqual({line.split()[0] for line in answer}, {signature})
            found = as_outputs(answer)
            for name, value in expected.items():
                if (
                    not value.size
                ):  # The text does not state an empty batch's width.
                    self.assertEqual(found[name].size, 0)
                    found[name] = value
            verify.largest_difference(expected, found)
            seen.add(signature)
        self.assertEmpty(lines)
        self.assertEqual(
            seen, {"embed", "classify", "generate", "classify_examples"}
        )


if __name__ == "__main__":
    absltest.main()
