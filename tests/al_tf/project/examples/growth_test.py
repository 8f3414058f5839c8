"""A pool that grows: examples, ids, clusters, drift."""

import pathlib
import shutil
import threading

import numpy as np
from absl.testing import absltest

from al_tf.label_tools.answers import LABEL, Given
from al_tf.project.examples.growth import GrowingClusters
from al_tf.project.project import Project
from al_tf.project.settings import Settings
from runkit import InputError
from runkit.files import lock_directory
from tests.support.labeling import project_data


def families(count, seed, first=0, spread=0.01):
    """`count` tight families of five in eight dimensions."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(3).standard_normal((40, 8))
    rows = np.repeat(centers[first : first + count], 5, 0)
    return (rows + spread * random.standard_normal(rows.shape)).astype("f")


class ClustersTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = pathlib.Path(self.create_tempdir().full_path)
        self.folder = folder / "clusters"
        self.clusters = GrowingClusters(self.folder, 5.0)

    def test_more_of_the_same_joins_its_clusters(self):
        parts = [families(10, 0), families(10, 1)]
        found = self.clusters.of_parts(parts)
        self.assertFalse(found.info["reclustered"])
        self.assertEqual(found.info["fresh"], 0)
        self.assertEqual(found.info["expected"], 0)
        self.assertEqual(found.info["growth"], 2)
        np.testing.assert_array_equal(
            found.cluster_ids, np.tile(np.repeat(np.arange(10), 5), 2)
        )

    def test_other_kinds_cluster_the_pool_again(self):
        parts = [families(10, 0), families(10, 1, first=20)]
        found = self.clusters.of_parts(parts)
        self.assertTrue(found.info["reclustered"])
        self.assertEqual(found.info["fresh"], 1)
        np.testing.assert_array_equal(
            found.cluster_ids, np.repeat(np.arange(20), 5)
        )
        self.assertEqual(found.info["clustered_examples"], 100)

    def test_much_growth_clusters_the_pool_again(self):
        parts = [families(10, 0), families(10, 1), families(10, 2)]
        self.assertFalse(self.clusters.of_parts(parts[:2]).info["reclustered"])
        found = self.clusters.of_parts(parts)
        self.assertEqual(found.info["growth"], 3)
        self.assertLess(found.info["fresh"], 0.1)
        self.assertTrue(found.info["reclustered"])

    def test_kept_and_made_again(self):
        parts = [families(10, 0), families(4, 1)]
        first = self.clusters.of_parts(parts).cluster_ids
        again = GrowingClusters(self.folder, 5.0)
        self.assertEqual(again.of_parts(parts).cluster_ids.tolist(), [*first])
        for path in (self.folder / "parts-001").iterdir():
            path.unlink()
        self.assertEqual(again.of_parts(parts).cluster_ids.tolist(), [*first])
        self.assertNotEmpty(list((self.folder / "parts-002").iterdir()))

    def test_rows_that_changed_are_refused(self):
        parts = [families(10, 0), families(4, 1)]
        self.clusters.of_parts(parts)
        for number in (0, 1):
            changed = [rows.copy() for rows in parts]
            changed[number][3, 2] += 1e-3
            for count in range(number + 1, 3):
                with self.assertRaisesRegex(InputError, "have changed since"):
                    self.clusters.of_parts(changed[:count])
        self.clusters.of_parts(parts)


class GrowTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def test_rows_are_counted_on(self):
        project = project_data.make_project(self.folder, test="0.2")
        project_data.write_blobs(self.folder / "more.npz", 30, seed=1)
        spec = f"npz:{self.folder / 'more.npz'}"
        before = project.pool.named.tolist()
        self.assertLen(before, 72)
        self.assertLen(project.grow(spec), 102)
        self.assertEqual(
            project.pool.named.tolist(), [*before, *range(90, 120)]
        )
        # The same again changes nothing, in another process either.
        self.assertLen(project.grow(spec), 102)
        self.assertLen(Project(project.folder).pool, 102)
        self.assertLen(project.next_batch().ids, 8)

    def test_texts_with_ids(self):
        path = self.folder / "pool.jsonl"
        project_data.write_texts(path, 40)
        more = self.folder / "more.jsonl"
        project_data.write_texts(more, 20, seed=1)

        def embed(examples):
            return np.array(
                [
                    [len(text), "fine" in text, "dull" in text]
                    for text in examples.inputs
                ],
                np.float32,
            )

        settings = Settings(
            f"jsonl:{path}:text:label", id_column="key", test="0", batch_size=6
        )
        project = Project.create(self.folder / "project", settings, embed)
        batch = project.next_batch()
        self.assertStartsWith(batch.ids[0], "t0-")
        pool = project.grow(f"jsonl:{more}:text:label")
        self.assertLen(pool, 60)
        self.assertContainsSubset(["t0-0", "t1-19"], pool.named.tolist())
        with self.assertRaisesRegex(InputError, "ids occur more than once"):
            copy = self.folder / "copy.jsonl"
            copy.write_text(more.read_text() + path.read_text())
            project.grow(f"jsonl:{copy}:text:label")
        with self.assertRaisesRegex(InputError, "texts need an encoder"):
            _ = Project(project.folder).clustering

    def test_other_things_are_refused(self):
        project = project_data.make_project(self.folder)
        with self.assertRaisesRegex(InputError, "no such file|cannot be read"):
            project.grow("npz:nowhere.npz")
        np.savez(
            self.folder / "wide.npz",
            embeddings=np.ones((4, 7), np.float32),
            labels=np.zeros(4, int),
        )
        with self.assertRaisesRegex(InputError, "another shape"):
            project.grow(f"npz:{self.folder / 'wide.npz'}")
        self.assertLen(project.state.parts, 1)

    def test_a_pool_is_no_part_of_itself(self):
        for test, left in (("0", 90), ("0.2", 72)):
            folder = self.folder / test
            folder.mkdir()
            project = project_data.make_project(folder, test=test)
            project.grow(project.settings.dataset)
            self.assertLen(project.pool, left)

    def test_a_part_that_would_stop_the_project_does_not_join(self):
        path, more = self.folder / "pool.jsonl", self.folder / "more.jsonl"
        project_data.write_texts(path, 40)
        project_data.write_texts(more, 20, seed=1)
        names = [f"t{seed}-{i}" for seed in (0, 1) for i in range(40)]
        for name, width in (("rows", 3), ("wide", 4)):
            np.savez(
                self.folder / f"{name}.npz",
                id=names,
                embedding=np.ones((80, width), np.float32),
            )
        np.save(self.folder / "long.npy", np.ones((21, 3), np.float32))
        settings = Settings(
            f"jsonl:{path}:text:label",
            id_column="key",
            embeddings=str(self.folder / "rows.npz"),
        )
        project = Project.create(self.folder / "project", settings)
        spec = f"jsonl:{more}:text:label"
        with self.assertRaisesRegex(InputError, "another dimension.*got 4"):
            project.grow(spec, str(self.folder / "wide.npz"))
        with self.assertRaisesRegex(InputError, "got 21; expected 20 rows"):
            project.grow(spec, str(self.folder / "long.npy"))
        tested = project.test.ids[0]
        known = self.folder / "known.jsonl"
        known.write_text(
            "".join(x for x in path.open() if f'"{tested}"' in x)
            + more.read_text()
        )
        with self.assertRaisesRegex(
            InputError, f"1 ids are in the test set too: '{tested}'"
        ):
            project.grow(
                f"jsonl:{known}:text:label", str(self.folder / "rows.npz")
            )
        self.assertLen(project.state.parts, 1)
        project.grow(spec, str(self.folder / "rows.npz"))
        self.assertLen(project.pool, 32 + 20)

    def test_embeddings_that_were_made_anew_are_refused(self):
        path, rows = self.folder / "pool.jsonl", self.folder / "rows.npy"
        project_data.write_texts(path, 40)
        random = np.random.default_rng(0)
        np.save(rows, random.standard_normal((40, 3)).astype("f"))
        settings = Settings(
            f"jsonl:{path}:text:label",
            id_column="key",
            embeddings=str(rows),
            batch_size=6,
        )
        project = Project.create(self.folder / "project", settings)
        batch = project.next_batch()
        project.take(
            [
                Given(name, "eve", LABEL, (("bad", "good")[i % 2],))
                for i, name in enumerate(batch.ids)
            ],
            source="test",
        )
        before = project.clustering
        np.save(rows, random.standard_normal((40, 3)).astype("f"))
        again = Project(project.folder)
        with self.assertRaisesRegex(InputError, "Put the old embeddings back"):
            again.next_batch()
        self.assertLen(again.state.batches, 1)
        shutil.rmtree(project.folder / "clusters")
        self.assertLen(again.next_batch().ids, 6)
        self.assertNotEqual(again.clustering.pool, before.pool)

    def test_only_one_process_makes_the_clusters(self):
        project = project_data.make_project(self.folder)
        folder, state, found = project.folder / "clusters", project.state, []
        other = threading.Thread(
            target=lambda: found.append(project.clustered(state))
        )
        with lock_directory(folder, beside=True):
            other.start()
            other.join(0.3)
            self.assertTrue(other.is_alive())
            self.assertFalse(folder.exists())
        other.join(60)
        self.assertLen(found[0][1].cluster_ids, 90)


if __name__ == "__main__":
    absltest.main()
