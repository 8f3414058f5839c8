"""From files of a pool to a served index of neighbors."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from export import neighbors_main
from export.saved_model.session import SessionModel
from runkit import InputError
from tests.support import testing


class NeighborsMainTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.rows = np.random.default_rng(0).standard_normal((400, 16))
        self.rows = self.rows.astype(np.float32)
        np.save(self.folder / "e.npy", self.rows)
        self.clusters = al_tf.cluster_embeddings(
            self.rows, target_cluster_size=4
        )
        self.clusters.save(self.folder / "clusters")

    def main(self, **change):
        values = {
            "embeddings": str(self.folder / "e.npy"),
            "clustering": str(self.folder / "clusters"),
            "output_dir": str(self.folder / "served"),
            "num_neighbors": 3,
            **change,
        }
        with testing.main_flags(neighbors_main, **values):
            neighbors_main.main(["main"])

    def test_serves_the_pool(self):
        self.main()
        found = SessionModel(self.folder / "served" / "1").run(
            "neighbors_of_embedding", {"embedding": self.rows[[5, 9]]}
        )
        np.testing.assert_array_equal(found["example_ids"][:, 0], [5, 9])
        np.testing.assert_array_equal(
            found["cluster_id"], self.clusters.cluster_ids[[5, 9]]
        )

    @parameterized.parameters("embeddings", "clustering", "output_dir")
    def test_missing_flags(self, name):
        with self.assertRaisesRegex(InputError, name):
            self.main(**{name: None})

    def test_clusters_of_another_pool(self):
        np.save(self.folder / "e.npy", self.rows[::-1])
        with self.assertRaisesRegex(InputError, "another pool"):
            self.main()
        self.assertFalse((self.folder / "served").exists())


if __name__ == "__main__":
    absltest.main()
