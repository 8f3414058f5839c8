"""kill -9 at twenty moments of clustering and choosing: the same batch."""

import pathlib
import shutil

import numpy as np
import pytest
from absl.testing import absltest

import al_tf
from al_tf import select_main
from al_tf.clustering.store import ARRAYS, is_clustering
from tests.support import testing
from tests.support.faults import killed


@pytest.mark.slow
class KillTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path)
        self.folder = self.base / "out"
        generator = np.random.default_rng(0)
        centers = np.repeat(generator.standard_normal((100, 6)), 6, 0)
        rows = centers + 0.05 * generator.standard_normal(centers.shape)
        np.save(self.base / "rows.npy", rows.astype(np.float32))
        np.save(
            self.base / "margins.npy", generator.random(600).astype(np.float32)
        )
        self.flags = {
            "embeddings": str(self.base / "rows.npy"),
            "margins": str(self.base / "margins.npy"),
            "clustering": str(self.folder / "clusters"),
            "output": str(self.folder / "ids.csv"),
        }

    def state(self):
        """Everything that a run leaves but how long it took."""
        kept = al_tf.load_clustering(self.folder / "clusters")
        names = sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
        )
        arrays = [getattr(kept, name).tobytes() for name in ARRAYS]
        return names, arrays, (self.folder / "ids.csv").read_bytes()

    def test_twenty_kills(self):
        arguments = [f"--{name}={value}" for name, value in self.flags.items()]
        moments = killed.moments(
            self,
            "al_tf.select_main:run",
            self.folder,
            [*arguments, "--batch_size=40"],
            self.base / "counts.json",
        )
        next(moments)
        whole, kills = self.state(), 0
        shutil.rmtree(self.folder)
        for moment in moments:
            with self.subTest(str(moment)):
                kills += 1
                if is_clustering(self.folder / "clusters"):
                    al_tf.load_clustering(self.folder / "clusters")
                with testing.main_flags(
                    select_main, batch_size=40, **self.flags
                ):
                    select_main.main(["main"])
                self.assertEqual(self.state(), whole)
            shutil.rmtree(self.folder, ignore_errors=True)
        print(f"{kills} kills")
        self.assertEqual(kills, 20)


if __name__ == "__main__":
    absltest.main()
