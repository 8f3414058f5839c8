"""Served neighbors against numpy."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import importlib.util
import pathlib
import unittest

import numpy as np
from absl.testing import absltest, parameterized

from export.saved_model import verify
from export.saved_model.neighbor_index import export_neighbor_index
from export.saved_model.session import SessionModel
from runkit import InputError
from tests.support import serving_models


def pool(rows: int, dim: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(20, dim))
    clusters = rng.integers(0, 20, rows)
    return centers[clusters] + 0.2 * rng.normal(size=(rows, dim)), clusters


def oracle(embeddings, queries, k):
    """Ids and cosine distances in double precision."""
    a, b = (
        x / np.linalg.norm(x, axis=1, keepdims=True)
        for x in (np.asarray(queries, float), np.asarray(embeddings, float))
    )
    distances = 1 - a @ b.T
    ids = np.argsort(distances, axis=1)[:, :k]
    return ids, np.take_along_axis(distances, ids, axis=1)


class NeighborIndexTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path) / "near"

    def test_exact_neighbors_of_embeddings_and_texts(self):
        model = serving_models.pretrained()
        texts = [f"text number {i} of the pool" for i in range(40)]
        embeddings = model.embed(texts, 24)
        clusters = np.arange(40) // 4 + 100
        path = export_neighbor_index(
            embeddings,
            clusters,
            self.base,
            num_neighbors=5,
            model=model,
            options=serving_models.OPTIONS,
        )
        served = SessionModel(path)
        queries = ["something else", texts[7]]
        ids, distances = oracle(embeddings, model.embed(queries, 24), 5)
        for signature, inputs in (
            ("neighbors", {"text": queries}),
            ("neighbors_of_embedding", {"embedding": model.embed(queries, 24)}),
        ):
            found = served.run(signature, inputs)
            np.testing.assert_array_equal(found["example_ids"], ids)
            np.testing.assert_allclose(found["distances"], distances, atol=1e-5)
            np.testing.assert_array_equal(
                found["cluster_id"], clusters[ids[:, 0]]
            )
        card = verify.read_card(path)
        self.assertEqual(card["server"], "stock TF Serving")
        self.assertFalse([op for op in card["ops"] if "Scann" in op])
        empty = served.run("neighbors", {"text": []})
        self.assertEqual(empty["example_ids"].shape, (0, 5))

    def test_scann_artifact(self):
        if importlib.util.find_spec("scann") is None:
            raise unittest.SkipTest("ScaNN is not installed")
        embeddings, clusters = pool(2000, 16)
        path = export_neighbor_index(
            embeddings, clusters, self.base, num_neighbors=5, use_scann=True
        )
        queries, _ = pool(100, 16, seed=0)
        found = SessionModel(path).run(
            "neighbors_of_embedding", {"embedding": queries}
        )
        ids, _ = oracle(embeddings, queries, 5)
        recall = np.mean(
            [
                len(set(a) & set(b)) / 5
                for a, b in zip(found["example_ids"], ids, strict=True)
            ]
        )
        self.assertGreater(recall, 0.9)
        card = verify.read_card(path)
        self.assertIn("ScaNN", card["server"])
        self.assertTrue([op for op in card["ops"] if "Scann" in op])
        with self.assertRaisesRegex(verify.VerificationError, "Scann"):
            verify.check_ops(card["ops"])

    @parameterized.parameters(
        (np.zeros(3), np.zeros(3, int), {}, "not a matrix with rows"),
        (np.ones((3, 2)), np.zeros(2, int), {}, "do not fit"),
        (np.ones((3, 2)), np.zeros(3), {}, "do not fit"),
        (np.ones((3, 2)), np.zeros(3, int), {"num_neighbors": 4}, "range"),
        (
            np.full((3, 2), np.nan),
            np.zeros(3, int),
            {"num_neighbors": 1},
            "not finite",
        ),
        (np.ones((30, 2)), np.zeros(30, int), {"use_scann": True}, "too few"),
    )
    def test_bad_input(self, embeddings, clusters, options, message):
        with self.assertRaisesRegex(InputError, message):
            export_neighbor_index(embeddings, clusters, self.base, **options)

    def test_embeddings_of_another_model(self):
        with self.assertRaisesRegex(InputError, "not from this model"):
            export_neighbor_index(
                np.ones((30, 3)),
                np.zeros(30, int),
                self.base,
                model=serving_models.pretrained(),
            )


if __name__ == "__main__":
    absltest.main()
