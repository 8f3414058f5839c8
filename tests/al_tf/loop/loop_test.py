"""The loop: what it keeps, how exactly it resumes, what it refuses."""

import dataclasses
import pathlib
import unittest.mock

import numpy as np
from absl.testing import absltest, parameterized

import al_tf
from al_tf.loop import clusters as clusters_lib
from al_tf.loop import round as round_lib
from al_tf.pools import pool as pools
from runkit import InputError
from tests.support import loop_data


class Crash(BaseException):
    """Not an Exception: nothing may catch it."""


class CrashingFiles:
    """Fails at the n-th renaming, before or after it has happened."""

    def __init__(self, at: int, after: bool):
        self.at, self.after, self.count = at, after, 0

    def wrap(self, original):
        def rename(path, target):
            self.count += 1
            if self.count == self.at and not self.after:
                raise Crash
            result = original(path, target)
            if self.count == self.at:
                raise Crash
            return result

        return rename

    def __enter__(self):
        self.patches = [
            unittest.mock.patch.object(
                pathlib.Path, name, self.wrap(getattr(pathlib.Path, name))
            )
            for name in ("replace", "rename")
        ]
        for patch in self.patches:
            patch.start()
        return self

    def __exit__(self, *_):
        for patch in self.patches:
            patch.stop()


class LoopTest(parameterized.TestCase):
    def folder(self):
        return pathlib.Path(self.create_tempdir().full_path) / "run"

    def run_loop(self, folder, learner=None, **fields):
        loop = loop_data.make_loop(folder, **fields)
        loop.check()
        loop.run(learner or loop_data.head(loop))
        return loop

    def test_rounds_are_what_the_definition_says(self):
        """One run again, by hand."""
        loop = self.run_loop(self.folder(), strategies=("margin",), seeds=(3,))
        pool, learner = loop.pool, loop_data.head(loop)
        store = loop.store("margin", 3)
        known = loop.seed_set(3)
        self.assertLen(set(known.tolist()), 12)
        for number in range(3):
            learner.reset()
            learner.fit(
                known,
                pool.labels[known],
                seed=round_lib.derived_seed(3, number),
            )
            p, _ = learner.score(np.arange(len(pool) + len(loop.test)))
            right = p[len(pool) :].argmax(1) == loop.test.labels
            result = store.result(number)
            self.assertEqual(result["labels"], 12 + 6 * number)
            self.assertAlmostEqual(result["accuracy"], right.mean())
            if number == 2:
                break
            left = np.setdiff1d(np.arange(len(pool)), known)
            margins = np.sort(p[left], 1)
            order = np.argsort(margins[:, -1] - margins[:, -2])
            batch = store.batch(number + 1)
            self.assertCountEqual(batch, left[order[:6]])
            known = np.concatenate([known, batch])

    def test_strategies_of_a_seed_begin_alike(self):
        loop = self.run_loop(self.folder())
        for seed in (0, 1):
            first, second = (
                loop.store(name, seed) for name in loop.config.strategies
            )
            np.testing.assert_array_equal(first.batch(0), second.batch(0))
            self.assertEqual(first.result(0), second.result(0))
        self.assertNotEqual(
            loop.seed_set(0).tolist(), loop.seed_set(1).tolist()
        )

    def test_the_seed_model_is_trained_once(self):
        loop = loop_data.make_loop(self.folder(), seeds=(0,))
        learner = loop_data.head(loop)
        with unittest.mock.patch.object(
            learner, "fit", wraps=learner.fit
        ) as fit:
            loop.run(learner)
        # Seed model, and two rounds of two strategies.
        self.assertEqual(fit.call_count, 1 + 2 * 2)

    def test_nothing_is_labeled_twice_and_coverage_counts_clusters(self):
        loop = self.run_loop(self.folder(), seeds=(0,))
        clusters = al_tf.load_clustering(
            loop.folder / "clusters" / "seed-0"
        ).cluster_ids
        for name in loop.config.strategies:
            store = loop.store(name, 0)
            ids, labels = store.labeled_until(2)
            self.assertLen(set(ids.tolist()), 12 + 2 * 6)
            np.testing.assert_array_equal(labels, loop.pool.labels[ids])
            self.assertEqual(
                store.result(2)["clusters_covered"], len(set(clusters[ids]))
            )
            self.assertEqual(
                store.batch_facts(1)["batch_clusters"],
                len(set(clusters[store.batch(1)])),
            )

    @parameterized.parameters(*al_tf.STRATEGIES)
    def test_every_strategy_runs(self, name):
        loop = self.run_loop(
            self.folder(), strategies=(name,), seeds=(0,), rounds=1
        )
        self.assertLen(loop.store(name, 0).batch(1), 6)

    def test_a_finished_run_trains_nothing(self):
        folder = self.folder()
        self.run_loop(folder)
        before = loop_data.state(folder)
        self.run_loop(folder, learner=unittest.mock.Mock(warm_start=False))
        self.assertEqual(loop_data.state(folder), before)

    @parameterized.product(warm_start=(False, True), after=(False, True))
    def test_a_crash_at_every_write_changes_nothing(self, warm_start, after):
        options = {"head": "mlp", "max_iter": 3, "hidden": 4}
        fields = {"rounds": 2, "seeds": (0,), "strategies": ("margin",)}

        def run(folder):
            loop = loop_data.make_loop(folder, **fields)
            loop.run(loop_data.head(loop, warm_start=warm_start, **options))

        whole = self.folder()
        with CrashingFiles(-1, after) as counted:
            run(whole)
        expected = loop_data.state(whole)
        # 3 batches, labels and results, and the clusters.
        self.assertGreaterEqual(counted.count, 3 * 3 + 1)
        folder = self.folder()
        for at in range(1, counted.count + 1):
            crashed = folder.with_name(f"crash-{at}")
            with self.assertRaises(Crash), CrashingFiles(at, after):
                run(crashed)
            run(crashed)
            self.assertEqual(loop_data.state(crashed), expected, f"at {at}")

    def test_more_rounds_seeds_and_strategies_extend_a_run(self):
        short, long = self.folder(), self.folder()
        self.run_loop(short, rounds=1, seeds=(0,), strategies=("random",))
        self.run_loop(short)
        self.run_loop(long)
        self.assertEqual(loop_data.state(short), loop_data.state(long))

    @parameterized.parameters("random", "margin")
    def test_lost_clusters_are_not_made_of_a_later_model(self, name):
        folder = self.folder()
        self.run_loop(folder, rounds=1, seeds=(0,), strategies=(name,))
        (folder / "clusters").rename(folder / "elsewhere")
        with self.assertRaisesRegex(InputError, "clusters .* are gone"):
            self.run_loop(folder, seeds=(0,), strategies=(name,))

    def test_neighbor_lists_are_made_once_and_missed_if_lost(self):
        folder = self.folder()
        fields = {"seeds": (0,), "strategies": ("typi_clust", "seals")}
        loop = self.run_loop(folder, rounds=1, **fields)
        path = loop.folder / "neighbors" / "seed-0.npy"
        made = path.stat().st_mtime_ns
        self.run_loop(folder, rounds=2, **fields)
        self.assertEqual(path.stat().st_mtime_ns, made)
        path.unlink()
        with self.assertRaisesRegex(InputError, "neighbor lists .* are gone"):
            self.run_loop(folder, rounds=3, **fields)

    def test_a_seed_reuses_equal_clusters(self):
        folder = self.folder()
        self.run_loop(folder, seeds=(0, 1, 2))
        found = [
            al_tf.load_clustering(folder / "clusters" / f"seed-{seed}")
            for seed in (0, 1, 2)
        ]
        for other in found[1:]:
            # The seconds of a second clustering would differ.
            self.assertEqual(other.info, found[0].info)
            np.testing.assert_array_equal(
                other.cluster_ids, found[0].cluster_ids
            )

    def test_multilabel(self):
        pool = loop_data.blobs(multilabel=True)
        loop = self.run_loop(
            self.folder(),
            pool=pool,
            strategies=("cluster_margin", "margin", "coreset"),
        )
        store = loop.store("margin", 0)
        ids, labels = store.labeled_until(2)
        np.testing.assert_array_equal(labels, pool.labels[ids])
        result = store.result(2)
        self.assertBetween(result["average_precision"], 0.7, 1)

    def test_a_test_set_is_not_needed(self):
        test = loop_data.blobs().take(np.arange(0))
        loop = self.run_loop(self.folder(), test=test, seeds=(0,))
        self.assertIsNone(loop.store("random", 0).result(2)["accuracy"])

    def test_stratified_seed_set_holds_every_class(self):
        pool = loop_data.blobs()
        rare = np.flatnonzero(pool.labels == 1)[2:]
        pool = pool.take(np.setdiff1d(np.arange(len(pool)), rare))
        loop = loop_data.make_loop(
            self.folder(), pool, seed_set="stratified", seed_size=9
        )
        counts = np.bincount(pool.labels[loop.seed_set(0)], minlength=3)
        self.assertEqual(counts[1], 2)
        self.assertEqual(counts.sum(), 9)
        self.assertLessEqual(abs(counts[0] - counts[2]), 1)


class RefusalTest(parameterized.TestCase):
    def refuse(self, message, **fields):
        folder = pathlib.Path(self.create_tempdir().full_path) / "run"
        loop = loop_data.make_loop(folder, **fields)
        with self.assertRaisesRegex(InputError, message):
            loop.check()
        self.assertFalse(folder.exists())

    @parameterized.parameters(
        ({"strategies": ("cluster_margn",)}, "mean 'cluster_margin'"),
        ({"seed_size": 91}, "larger than the pool of 90"),
        ({"rounds": 14}, "more than the pool"),
        ({"seed_size": 0}, "too small"),
        ({"seeds": (1, 1)}, "one twice"),
        ({"seeds": (-1,)}, "at least 0"),
        ({"metric": "acuracy"}, "mean 'accuracy'"),
        ({"target_accuracy": 95.0}, "impossible"),
        ({"margin_batch_size": 3}, "smaller than the batch"),
        ({"seed_set": "first"}, "random"),
    )
    def test_settings(self, fields, message):
        self.refuse(message, **fields)

    def test_a_class_that_the_seed_set_lacks(self):
        pool = loop_data.blobs()
        pool = dataclasses.replace(
            pool, classes=(*pool.classes, "dodo"), labels=pool.labels.copy()
        )
        test = loop_data.blobs(40, 1)
        self.refuse("no example of 1 classes: dodo", pool=pool, test=test)
        loop = loop_data.make_loop(
            pathlib.Path("unused"), pool, test, missing_classes="allow"
        )
        loop.check()

    def test_examples_without_a_label(self):
        pool = loop_data.blobs()
        labels = pool.labels.copy()
        labels[[5, 7]] = pools.UNKNOWN
        pool = dataclasses.replace(pool, labels=labels)
        self.refuse(r"2 examples have no label; .*\[5, 7\]", pool=pool)

    def test_undefined_metrics(self):
        test = loop_data.blobs(40, 1)
        one = test.take(np.flatnonzero(test.labels == 2))
        self.refuse("every test example .* undefined.*cat", test=one)
        two = test.take(np.flatnonzero(test.labels != 1))
        self.refuse(
            "undefined for class 'bee'", test=two, metric="average_precision"
        )

    def test_strategies_of_one_label(self):
        pool = loop_data.blobs(multilabel=True)
        self.refuse("exactly one class", pool=pool, strategies=("badge",))


class DirectionsTest(absltest.TestCase):
    def test_silent_rows_become_one_cluster_of_their_own(self):
        rows = np.abs(np.random.default_rng(0).standard_normal((20, 3)))
        rows = rows.astype("f")
        self.assertIs(clusters_lib.directions(rows), rows)
        rows[[2, 9]] = 0
        ids = al_tf.cluster_embeddings(
            clusters_lib.directions(rows), target_cluster_size=4
        ).cluster_ids
        self.assertCountEqual(np.flatnonzero(ids == ids[2]), [2, 9])


if __name__ == "__main__":
    absltest.main()
