"""A clustering on disk: kept whole, damage noticed, other files safe."""

import errno
import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.clustering import average_linkage as hac
from al_tf.clustering.store import ARRAYS
from runkit import InputError
from runkit.files.checksums import CHECKSUMS


def families(n=200, d=6, seed=0):
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((n // 5, d))
    rows = np.repeat(centers, 5, 0) + 0.05 * generator.standard_normal((n, d))
    return rows.astype(np.float32)


class StoreTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.create_tempdir().full_path) / "kept"
        self.rows = families(seed=8)
        self.made = al_tf.cluster_embeddings(
            self.rows, target_cluster_size=5, cache=self.path
        )
        self.made.save(self.path)

    def test_round_trip(self):
        found = al_tf.load_clustering(self.path)
        for name in ARRAYS:
            np.testing.assert_array_equal(
                getattr(found, name), getattr(self.made, name)
            )
        self.assertEqual(found.info, self.made.info)
        self.assertEqual(found.distance_threshold, self.made.distance_threshold)
        found.save(self.path)
        self.assertTrue((self.path / "neighbors" / "ids.npy").exists())

    def test_neighbors_are_reused(self):
        again = al_tf.cluster_embeddings(
            self.rows, target_cluster_size=5, cache=self.path
        )
        np.testing.assert_array_equal(again.cluster_ids, self.made.cluster_ids)
        self.assertEqual(
            self.made.info["queries"] - again.info["queries"], len(self.rows)
        )
        # Those of another pool are not.
        other = al_tf.cluster_embeddings(
            self.rows[:100], target_cluster_size=5, cache=self.path
        )
        self.assertGreaterEqual(other.info["queries"], 100)

    def test_a_stopped_run_resumes_from_its_neighbors(self):
        path = self.path.parent / "stopped"
        with (
            absltest.mock.patch.object(
                hac.Agglomeration, "merge_round", side_effect=KeyboardInterrupt
            ),
            self.assertRaises(KeyboardInterrupt),
        ):
            al_tf.cluster_embeddings(
                self.rows, target_cluster_size=5, cache=path
            )
        again = al_tf.cluster_embeddings(
            self.rows, target_cluster_size=5, cache=path
        )
        np.testing.assert_array_equal(again.cluster_ids, self.made.cluster_ids)
        self.assertLess(again.info["queries"], self.made.info["queries"])

    def test_another_pool_is_refused(self):
        with self.assertRaisesRegex(InputError, "shapes differ"):
            self.made.cut(0.0, self.rows[:-1])
        changed = self.rows.copy()
        changed[0, 0] += 1
        with self.assertRaisesRegex(InputError, "checksums differ"):
            self.made.cut(0.0, changed)

    def test_damage_is_refused(self):
        with self.assertRaisesRegex(InputError, "no clustering"):
            al_tf.load_clustering(self.path.parent)
        file = self.path / "merges.npy"
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        with self.assertRaisesRegex(InputError, "merges.npy.*checksum"):
            al_tf.load_clustering(self.path)
        (self.path / CHECKSUMS).unlink()  # Earlier releases wrote none.
        file.write_bytes(whole[: len(whole) // 2])
        with self.assertRaisesRegex(InputError, "not a whole .npy"):
            al_tf.load_clustering(self.path)
        np.save(file, np.zeros((1, 2), np.int64))
        with self.assertRaisesRegex(InputError, "damaged.*shape"):
            al_tf.load_clustering(self.path)
        file.unlink()
        with self.assertRaisesRegex(InputError, "no such file"):
            al_tf.load_clustering(self.path)

    @parameterized.parameters(
        "clustering.json", CHECKSUMS, *(f"{name}.npy" for name in ARRAYS)
    )
    def test_a_flipped_byte_is_noticed(self, name):
        file = self.path / name
        data = bytearray(file.read_bytes())
        data[-5] ^= 1
        file.write_bytes(data)
        with self.assertRaisesRegex(InputError, f"{name}.*(checksum|JSON)"):
            al_tf.load_clustering(self.path)

    def test_clusterings_without_checksums_are_read(self):
        (self.path / CHECKSUMS).unlink()
        found = al_tf.load_clustering(self.path)
        np.testing.assert_array_equal(found.cluster_ids, self.made.cluster_ids)

    def test_checksums_of_arrays_in_the_fields_are_still_compared(self):
        (self.path / CHECKSUMS).unlink()
        file = self.path / "clustering.json"
        fields = json.loads(file.read_text())
        file.write_text(json.dumps({**fields, "checksums": {"merges": 1}}))
        with self.assertRaisesRegex(InputError, "damaged: not the checksum"):
            al_tf.load_clustering(self.path)

    def test_other_versions_are_refused(self):
        file = self.path / "clustering.json"
        fields = json.loads(file.read_text())
        file.write_text(json.dumps({**fields, "format_version": 99}))
        with self.assertRaisesRegex(InputError, "another format version"):
            al_tf.load_clustering(self.path)
        (self.path / CHECKSUMS).unlink()
        del fields["metric"]
        file.write_text(json.dumps(fields))
        with self.assertRaisesRegex(InputError, "not a whole clustering"):
            al_tf.load_clustering(self.path)

    def test_numbers_of_numpy_can_be_saved(self):
        made = al_tf.cluster_embeddings(
            self.rows,
            target_cluster_size=np.int64(5),
            num_neighbors=np.int32(4),
        )
        made.save(self.path)
        found = al_tf.load_clustering(self.path)
        np.testing.assert_array_equal(found.cluster_ids, made.cluster_ids)

    def test_other_files_are_not_deleted(self):
        (self.path / "notes.txt").write_text("mine")
        with self.assertRaisesRegex(InputError, r"other files.*notes\.txt"):
            self.made.save(self.path)
        with self.assertRaisesRegex(InputError, r"other files.*notes\.txt"):
            al_tf.cluster_embeddings(
                self.rows, target_cluster_size=4, cache=self.path
            )
        self.assertEqual((self.path / "notes.txt").read_text(), "mine")

    def test_no_room_leaves_the_old_clustering(self):
        before = sorted(p.name for p in self.path.parent.iterdir())
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            absltest.mock.patch.object(
                np.lib.format, "write_array", side_effect=full
            ),
            self.assertRaises(OSError),
        ):
            self.made.save(self.path)
        al_tf.load_clustering(self.path)
        after = sorted(p.name for p in self.path.parent.iterdir())
        self.assertEqual(before, after)


if __name__ == "__main__":
    absltest.main()
