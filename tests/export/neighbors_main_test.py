"""From files of a pool to a served index of neighbors."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib

import numpy as np
import pyarrow as pa
import pytest
from absl.testing import absltest, parameterized
from pyarrow import parquet

import al_tf
from al_tf.inputs.pool_files import read_pool
from export import neighbors_main
from export.model_sources import LocalModel
from export.saved_model import write
from export.saved_model.session import SessionModel
from export.scoring import scorer
from runkit import InputError
from spactor_tf.inference.pretrained import save_pretrained
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

    @parameterized.parameters(True, False)
    def test_answers_hold_the_ids_of_the_pool(self, is_text):
        names = [f"id-{i:03d}" if is_text else 3 * i for i in range(400)]
        order = np.random.default_rng(1).permutation(400)
        columns = {
            "id": [names[i] for i in order],
            "embedding": list(self.rows[order]),
        }
        path = self.folder / "e.parquet"
        parquet.write_table(pa.table(columns), path)
        pool = read_pool(path)
        self.clusters.save(self.folder / "clusters", ids=pool.ids)
        self.main(embeddings=str(path))
        found = SessionModel(self.folder / "served" / "1").run(
            "neighbors_of_embedding", {"embedding": self.rows[[5, 9]]}
        )
        expected = [names[5], names[9]]
        if is_text:
            expected = [name.encode() for name in expected]
        self.assertEqual(found["ids"][:, 0].tolist(), expected)
        self.assertEqual(found["ids"].shape, (2, 3))
        with self.assertRaisesRegex(InputError, "other ids"):
            self.main()

    @parameterized.parameters("embeddings", "clustering", "output_dir")
    def test_missing_flags(self, name):
        with self.assertRaisesRegex(InputError, name):
            self.main(**{name: None})

    def test_clusters_of_another_pool(self):
        np.save(self.folder / "e.npy", self.rows[::-1])
        with self.assertRaisesRegex(InputError, "another pool"):
            self.main()
        self.assertFalse((self.folder / "served").exists())

    @pytest.mark.slow
    def test_embeddings_of_another_model(self):
        """The dimensions agree; only the weights tell the models apart."""
        model = testing.random_t5()
        ours, other = self.folder / "ours", self.folder / "other"
        save_pretrained(ours, model.backbone, model.vocabulary)
        variable = model.backbone.trainable_variables[0]
        before = variable.numpy()
        variable.assign(before + 1e-3)
        save_pretrained(other, model.backbone, model.vocabulary)
        variable.assign(before)  # Other tests use the model too.
        version = write.export_saved_model(str(ours), self.folder / "t5")
        texts = [f"text {i}" for i in range(30)]
        scores = self.folder / "scores"
        scorer.score_pool(
            SessionModel(version).run,
            texts,
            scores,
            model="m",
            weights_sha256=LocalModel(str(version)).weights(),
        )
        embeddings = np.load(scores / "embeddings.npy")
        clusters = al_tf.cluster_embeddings(embeddings, target_cluster_size=4)
        clusters.save(self.folder / "text_clusters")
        change = {
            "embeddings": str(scores / "embeddings.npy"),
            "clustering": str(self.folder / "text_clusters"),
        }
        with self.assertRaisesRegex(InputError, "other weights.*scored it"):
            self.main(run_dir=str(other), **change)
        self.assertEmpty(list((self.folder / "served").glob("[0-9]*")))
        self.main(run_dir=str(ours), **change)
        found = SessionModel(self.folder / "served" / "1").run(
            "neighbors", {"text": texts[:2]}
        )
        np.testing.assert_array_equal(found["example_ids"][:, 0], [0, 1])


if __name__ == "__main__":
    absltest.main()
