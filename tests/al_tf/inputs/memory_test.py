"""What reading a pool takes beside the pool itself."""

import pathlib
import subprocess
import sys
import unittest

import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

_ROWS, _DIMENSION, _SHARDS = 60_000, 384, 6
# In a process of its own: the peak of this one is that of all tests before.
_PROGRAM = """
import pathlib, sys
import numpy as np
from al_tf.inputs import pool_files

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("VmHWM:"))

pool_files.read_pool(sys.argv[1])  # Imports, and what is kept for good.
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = peak()
pool = pool_files.read_pool(sys.argv[2])
print((peak() - before) * 1024, pool.parts[0].dtype, *pool.shape)
"""


@unittest.skipUnless(
    pathlib.Path("/proc/self/clear_refs").exists(), "Linux tells the peak"
)
class MemoryTest(parameterized.TestCase):
    def write(self, folder, rows):
        """Shards with ids, long texts and float16 embeddings."""
        folder.mkdir()
        random = np.random.default_rng(0)
        order = random.permutation(rows)
        for number, at in enumerate(np.array_split(order, _SHARDS)):
            values = random.random(len(at) * _DIMENSION, np.float32)
            table = pa.table(
                {
                    "id": [f"00000000-0000-0000-0000-{i:012d}" for i in at],
                    "text": [f"{i} " * 100 for i in at],
                    "embedding": pa.FixedSizeListArray.from_arrays(
                        pa.array(values.astype(np.float16)), _DIMENSION
                    ),
                }
            )
            path = folder / f"part-{number}.parquet"
            # One row group: nothing but the column may be read of it.
            parquet.write_table(table, path)
        return str(folder)

    def test_a_pool_with_ids_takes_half_as_much_again_at_most(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _PROGRAM,
                self.write(folder / "small", _ROWS // 4),
                self.write(folder / "large", _ROWS),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        peak, *facts = done.stdout.split()
        self.assertEqual(facts, ["float16", str(_ROWS), str(_DIMENSION)])
        size = _ROWS * _DIMENSION * 2
        self.assertBetween(int(peak), size, 1.5 * size)


if __name__ == "__main__":
    absltest.main()
