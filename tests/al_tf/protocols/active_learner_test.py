"""The learner of a notebook: batches, labels, models, refusals."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import al_tf
from al_tf.learners.head_learner import HeadLearner
from al_tf.selection.candidates import PoolExhausted
from runkit import InputError


def pool(n=300):
    """Three classes of groups of near copies: (rows, labels)."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((n // 10, 8))
    rows = np.repeat(centers, 10, 0) + 0.05 * rng.standard_normal((n, 8))
    return rows.astype(np.float32), rows[:, :3].argmax(1)


class NoFit:
    """A model of another place, which cannot be trained here."""

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def predict_proba(self, inputs):
        del inputs
        return self.probabilities


class Frame:
    """A table as pandas has it, as far as a learner looks at it."""

    def __init__(self, rows):
        self.iloc, self.shape = rows, rows.shape

    def __array__(self, dtype=None, copy=None):
        return self.iloc


class SameBatchTest(parameterized.TestCase):
    """What is chosen is what the functions below choose."""

    def setUp(self):
        super().setUp()
        self.rows, self.labels = pool()
        self.clusters = al_tf.cluster_embeddings(
            self.rows, target_cluster_size=10
        ).cluster_ids

    def expected(self, probabilities, labeled, size, seed, **options):
        return al_tf.select_batch(
            al_tf.margin_scores(probabilities),
            self.clusters,
            batch_size=size,
            unlabeled=np.setdiff1d(np.arange(300), labeled),
            seed=seed,
            **options,
        )

    @parameterized.parameters(0, 7)
    def test_the_default_model(self, seed):
        learner = al_tf.ActiveLearner(self.rows, seed=seed)
        first = learner.query(30)
        nothing = np.full((300, 2), 0.5)
        np.testing.assert_array_equal(
            first,
            self.expected(nothing, [], 30, seed, margin_batch_size=300),
        )
        # Nothing is known: all 30 clusters.
        self.assertLen(np.unique(self.clusters[first]), 30)
        learner.update(first, self.labels[first])
        head = HeadLearner(self.rows, 3)
        at = np.sort(first)
        head.fit(at, self.labels[at], seed=seed)
        p = head.score(np.arange(300))[0]
        np.testing.assert_array_equal(learner.probabilities, p)
        second = learner.query(20)
        np.testing.assert_array_equal(second, self.expected(p, first, 20, seed))
        np.testing.assert_array_equal(second, learner.query(20))
        self.assertEmpty(set(first) & set(second))
        learner.update(dict(zip(second, self.labels[second], strict=True)))
        self.assertLen(learner.labels, 50)
        third = learner.query(20, seed=99)
        p, known = learner.probabilities, [*first, *second]
        np.testing.assert_array_equal(third, self.expected(p, known, 20, 99))

    def test_a_model_of_scikit_learn(self):
        model = make_pipeline(StandardScaler(), LogisticRegression())
        learner = al_tf.ActiveLearner(
            self.rows, model, seed=3, margin_batch_size=40
        )
        first = learner.query(30)
        learner.update(first, self.labels[first])
        own = make_pipeline(StandardScaler(), LogisticRegression())
        at = np.sort(first)
        own.fit(self.rows[at], self.labels[at])
        p = own.predict_proba(self.rows)
        np.testing.assert_array_equal(
            learner.query(20),
            self.expected(p, first, 20, 3, margin_batch_size=40),
        )
        self.assertEqual(learner.classes, [0, 1, 2])

    def test_a_model_that_is_trained_elsewhere(self):
        p = np.random.default_rng(1).dirichlet(np.ones(4), 300)
        learner = al_tf.ActiveLearner(self.rows, NoFit(p))
        first = learner.query(10)
        np.testing.assert_array_equal(first, self.expected(p, [], 10, 0))
        learner.update(first, ["any"] * 10)
        np.testing.assert_array_equal(
            learner.query(10), self.expected(p, first, 10, 0)
        )

    def test_a_fitted_model_answers_the_first_query(self):
        model = LogisticRegression().fit(self.rows[:50], self.labels[:50])
        p = model.predict_proba(self.rows)
        learner = al_tf.ActiveLearner(self.rows, model)
        np.testing.assert_array_equal(
            learner.query(10), self.expected(p, [], 10, 0)
        )

    @parameterized.parameters(*al_tf.STRATEGIES)
    def test_every_strategy(self, name):
        learner = al_tf.ActiveLearner(self.rows, strategy=name)
        before = learner.query(12)
        learner.update(before, self.labels[before])
        after = learner.query(12)
        self.assertLen(set(before) | set(after), 24)

    def test_inputs_of_another_kind(self):
        words = ["small", "middle", "large"]
        texts = [f"{words[i]} number {n}" for n, i in enumerate(self.labels)]
        seen = []

        class Model:
            def fit(self, inputs, labels):
                seen.append((list(inputs), list(labels)))

            def predict_proba(self, inputs):
                return np.eye(3)[[words.index(t.split()[0]) for t in inputs]]

        learner = al_tf.ActiveLearner(self.rows, Model(), inputs=texts)
        learner.update([5, 250, 3], ["x", "y", "x"])
        at = [3, 5, 250]
        self.assertEqual(seen, [([texts[i] for i in at], ["x", "x", "y"])])
        self.assertEqual(learner.probabilities.shape, (300, 3))

    def test_forms_of_inputs(self):
        batches = []
        forms = (
            self.rows,
            self.rows.tolist(),
            sparse.csr_matrix(self.rows),
            Frame(self.rows),
        )
        for inputs in forms:
            learner = al_tf.ActiveLearner(
                self.rows, LogisticRegression(), inputs=inputs
            )
            learner.update(np.arange(200), self.labels[:200])
            batches.append(learner.query(20).tolist())
        self.assertEqual(batches, batches[:1] * 4)


class IdsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.rows, self.labels = pool()
        self.ids = [f"doc-{i}" for i in range(300)]

    def test_ids_name_the_same_examples(self):
        learner = al_tf.ActiveLearner(self.rows, ids=self.ids)
        plain = al_tf.ActiveLearner(self.rows)
        for _ in range(2):
            batch, rows = learner.query(15), plain.query(15)
            self.assertEqual(batch.tolist(), [self.ids[i] for i in rows])
            learner.update(batch, self.labels[rows])
            plain.update(rows, self.labels[rows])
        self.assertEqual(
            learner.labels,
            {self.ids[i]: label for i, label in plain.labels.items()},
        )

    def test_ids_of_a_file(self):
        path = self.create_tempfile("pool.npz").full_path
        at = np.random.default_rng(0).permutation(300)
        np.savez(path, id=np.array(self.ids)[at], embedding=self.rows[at])
        batch = al_tf.ActiveLearner(al_tf.read_pool(path)).query(5)
        self.assertLen({*batch} & {*self.ids}, 5)

    def test_numbers_as_ids(self):
        ids = np.arange(1000, 1300)
        learner = al_tf.ActiveLearner(self.rows, ids=ids, labels={1004: 1})
        self.assertNotIn(1004, learner.query(299))
        with self.assertRaisesRegex(InputError, "ids: 1 ids are not in.*: 4"):
            learner.update([4], [1])


class UpdateTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.rows, self.labels = pool()
        self.learner = al_tf.ActiveLearner(self.rows)

    def test_a_second_label_replaces_the_first(self):
        self.learner.update([1, 2], ["a", "b"])
        self.learner.update([2], ["a"])
        self.learner.update([3], ["c"])
        self.assertEqual(self.learner.labels, {1: "a", 2: "a", 3: "c"})
        self.assertEqual(self.learner.classes, ["a", "c"])

    def test_one_class_teaches_nothing(self):
        model = LogisticRegression()
        learner = al_tf.ActiveLearner(self.rows, model)
        learner.update([1, 2], ["a", "a"])
        self.assertIsNone(learner.probabilities)
        self.assertLen(learner.query(5), 5)
        learner.update([3], ["b"])
        self.assertEqual(learner.probabilities.shape, (300, 2))

    def test_a_model_of_one_class_or_one_sigmoid(self):
        p = np.linspace(0, 1, 300)[:, None]
        learner = al_tf.ActiveLearner(self.rows, NoFit(p), strategy="margin")
        self.assertEqual(set(learner.query(2)), {149, 150})

    def test_numpy_labels_and_the_last_example(self):
        self.learner.update(np.arange(299), self.labels[:299].astype(np.int8))
        self.assertEqual(self.learner.query(1).tolist(), [299])
        self.learner.update([299], [np.int64(0)])
        with self.assertRaises(PoolExhausted):
            self.learner.query(1)

    def test_several_classes_an_example(self):
        learner = al_tf.ActiveLearner(
            self.rows, classes=["a", "b", "c"], multilabel=True
        )
        learner.update([0, 1, 100, 200], [["a", "b"], [], {"c"}, ("a", "c")])
        p = learner.probabilities
        self.assertEqual(p.shape, (300, 3))
        batch = learner.query(5, strategy="margin")
        margins = al_tf.multilabel_margin_scores(p)
        margins[[0, 1, 100, 200]] = 2
        np.testing.assert_array_equal(
            np.sort(margins[batch]), np.sort(margins)[:5]
        )
        with self.assertRaisesRegex(InputError, "not one of.*'d'.*Known"):
            learner.update([5], [["d"]])
        with self.assertRaisesRegex(InputError, "must be a list of classes"):
            learner.update([5], ["a"])

    @parameterized.parameters(
        ([1, 2], [0], "not one label for each id"),
        ([1, 1], [0, 1], "given twice"),
        ([300], [0], "out of range"),
        ([-1], [0], "out of range"),
        ([1.5], [0], "whole numbers"),
        (["1"], [0], "not an array of numbers"),
        ([1], [None], "label of 1: is missing.*Leave the example out"),
        ([1], [float("nan")], "label of 1: is missing"),
        ([1], [""], "label of 1: is missing"),
        ([1], [["a"]], "label of 1: must be one class"),
        ([1, 2], ["a", 1], "are texts and numbers"),
        ("12", [1, 2], "ids: must be a list"),
        ([1], "a", "labels: must be a list"),
        ([1], None, "labels: must be a list"),
    )
    def test_what_is_refused_changes_nothing(self, ids, labels, message):
        self.learner.update([7, 8], [0, 1])
        before = self.learner.probabilities
        with self.assertRaisesRegex(InputError, message):
            self.learner.update(ids, labels)
        self.assertEqual(self.learner.labels, {7: 0, 8: 1})
        self.assertIs(self.learner.probabilities, before)

    def test_a_model_that_fails_takes_no_labels(self):
        class Model(NoFit):
            def fit(self, inputs, labels):
                raise RuntimeError("no memory")

        learner = al_tf.ActiveLearner(self.rows, Model(None))
        with self.assertRaisesRegex(RuntimeError, "no memory"):
            learner.update([1, 2], [0, 1])
        self.assertEqual(learner.labels, {})

    def test_unknown_class(self):
        learner = al_tf.ActiveLearner(self.rows, classes=["cat", "dog"])
        with self.assertRaisesRegex(InputError, "Did you mean 'dog'"):
            learner.update([1], ["dgo"])


class BadArgumentsTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"strategy": "cluster_margn"}, "strategy: unknown.*'cluster_margin'"),
        ({"ids": ["a"] * 300}, "ids: 1 ids occur more than once"),
        ({"ids": ["a"]}, "not one id for each embedding"),
        ({"ids": [1.5] * 300}, "ids must be texts or whole numbers"),
        ({"inputs": ["a"]}, "not one input for each embedding"),
        ({"classes": ["a", "a"]}, "names one twice"),
        ({"multilabel": True}, "classes: are missing"),
        ({"metric": "cosin"}, "metric: unknown metric.*'cosine'"),
        ({"target_cluster_size": 0}, "impossible mean cluster size"),
        ({"target_cluster_size": "x"}, "must be a number"),
        ({"labels": {400: 1}}, "out of range"),
        ({"model": object()}, "model: has no predict_proba; got 'object'"),
        ({"model": NoFit(np.ones(3))}, "a row of probabilities for each"),
    )
    def test_construction(self, change, message):
        with self.assertRaisesRegex(InputError, message):
            al_tf.ActiveLearner(pool()[0], **change)

    def test_query(self):
        learner = al_tf.ActiveLearner(pool()[0])
        for size in (0, -1, 1.5, True):
            with self.assertRaisesRegex(InputError, "batch_size"):
                learner.query(size)
        with self.assertRaisesRegex(InputError, "Did you mean 'badge'"):
            learner.query(3, strategy="bagde")

    def test_zero_rows_are_named_by_their_ids(self):
        rows = pool()[0]
        rows[5] = 0
        learner = al_tf.ActiveLearner(rows, ids=[f"d{i}" for i in range(300)])
        with self.assertRaisesRegex(InputError, "zero rows.*'d5'"):
            learner.query(3)


if __name__ == "__main__":
    absltest.main()
