"""The text classifier and its learner, on a tiny T5."""

import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.classifier import classifier as classifier_lib
from spactor_tf.classifier.classifier import load_classifier
from spactor_tf.classifier.text_learner import TextLearner, TextOptions
from tests.support import loop_data
from tests.support.testing import random_t5 as pretrained

_FIT = {"train_steps": 40, "batch_size": 8, "learning_rate": 0.01}


def make(classes=("bad", "good"), **options):
    """A classifier; the shared weights are put back by every cold fit."""
    return classifier_lib.TextClassifier(
        pretrained(), classes, length=24, **options
    )


class ClassifierTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        pool = loop_data.texts(60)
        self.texts, self.labels = pool.inputs.tolist(), pool.labels
        state = [v.numpy() for v in pretrained().backbone.variables]
        self.addCleanup(self.restore, state)

    def restore(self, state):
        for variable, value in zip(
            pretrained().backbone.variables, state, strict=True
        ):
            variable.assign(value)

    def test_head_reads_standardized_states(self):
        model = make()
        model.fit(self.texts[:20], self.labels[:20], train_steps=1)
        after = model.embed(self.texts[:20])
        # One step has moved the encoder, and it moved it little.
        np.testing.assert_allclose(
            model.head.center.numpy(), after.mean(0), atol=0.1
        )
        kernel, bias = model.head_weights()
        logits = after @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(
            model.predict_probabilities(self.texts[:20]), p, atol=1e-5
        )

    def test_equal_texts_can_be_learned_from(self):
        model = make()
        model.fit(["dada"] * 4, np.array([0, 1, 0, 1]), train_steps=2)
        self.assertTrue(np.isfinite(model.predict_probabilities(["x"])).all())

    def test_learns_and_repeats_itself(self):
        model = make()
        model.fit(self.texts[:40], self.labels[:40], seed=3, **_FIT)
        p = model.predict_probabilities(self.texts)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
        right = p.argmax(1) == self.labels
        self.assertGreater(right[40:].mean(), 0.9)
        model.fit(self.texts[:9], self.labels[:9], seed=1, **_FIT)
        model.fit(self.texts[:40], self.labels[:40], seed=3, **_FIT)
        np.testing.assert_array_equal(
            model.predict_probabilities(self.texts), p
        )

    def test_embedding_is_the_masked_mean(self):
        model = make()
        np.testing.assert_allclose(
            model.embed(self.texts[:5]),
            pretrained().embed(self.texts[:5], 24),
            atol=1e-5,
        )

    def test_padding_and_neighbors_do_not_matter(self):
        model = make()
        alone = model.embed(self.texts[:1])
        longer = classifier_lib.TextClassifier(
            pretrained(), ("a", "b"), length=40
        )
        np.testing.assert_allclose(
            longer.embed(self.texts)[:1], alone, atol=1e-5
        )
        self.assertEqual(model.embed([]).shape, (0, 32))
        self.assertEqual(model.predict_probabilities([]).shape, (0, 2))

    def test_untrained_head_is_undecided(self):
        np.testing.assert_allclose(
            make("abc").predict_probabilities(["so"]), 1 / 3, atol=1e-6
        )

    def test_save_and_load(self):
        model = make()
        model.fit(self.texts, self.labels, **_FIT)
        folder = pathlib.Path(self.create_tempdir().full_path) / "model"
        model.save(folder)
        found = load_classifier(folder)
        self.assertEqual(found.classes, ("bad", "good"))
        self.assertEqual(found.length, 24)
        np.testing.assert_allclose(
            found.predict_probabilities(self.texts),
            model.predict_probabilities(self.texts),
            atol=1e-6,
        )
        with self.assertRaisesRegex(InputError, "exists already"):
            model.save(folder)
        model.save(folder, replace=True)
        (folder / "head.npz").write_bytes(b"PK")
        with self.assertRaisesRegex(InputError, "not the checksum"):
            load_classifier(folder)
        (folder / "checksums.json").unlink()
        with self.assertRaisesRegex(InputError, "not a whole classifier"):
            load_classifier(folder)
        np.savez(folder / "head.npz", kernel=np.zeros((3, 2)), bias=[0, 0])
        with self.assertRaisesRegex(InputError, "not a whole classifier"):
            load_classifier(folder)
        with self.assertRaisesRegex(InputError, "no such file"):
            load_classifier(folder / "nothing")

    def test_a_loaded_classifier_can_be_trained_on(self):
        model = make()
        model.fit(self.texts, self.labels, **_FIT)
        folder = pathlib.Path(self.create_tempdir().full_path) / "model"
        model.save(folder)
        found = load_classifier(folder)
        before = found.predict_probabilities(self.texts)
        for _ in range(2):
            found.fit(self.texts, self.labels, train_steps=0)
            np.testing.assert_allclose(
                found.predict_probabilities(self.texts), before, atol=1e-5
            )

    def test_multilabel(self):
        model = make("abc", multilabel=True)
        labels = np.stack([self.labels, 1 - self.labels, self.labels], 1)
        model.fit(self.texts, labels, **_FIT)
        p = model.predict_probabilities(self.texts)
        self.assertGreater(((p > 0.5) == labels).mean(), 0.9)

    @parameterized.parameters(
        ([0, 2], "from 0 to 1"),
        ([0, -1], "from 0 to 1"),
        ([0], "shape"),
        ([0.0, 1.0], "whole numbers"),
        ([[0, 1], [1, 0]], "shape"),
    )
    def test_bad_labels(self, labels, message):
        with self.assertRaisesRegex(InputError, message):
            make().fit(["a", "b"], np.array(labels))

    @parameterized.parameters(("a",), ("aa",))
    def test_bad_classes(self, classes):
        with self.assertRaisesRegex(InputError, "different classes"):
            make(classes)


class TextLearnerTest(absltest.TestCase):
    def test_cold_and_warm_start(self):
        pool = loop_data.texts(40)
        options = TextOptions(
            length=16, train_steps=5, batch_size=8, learning_rate=0.01
        )
        ids = np.arange(30)

        def learner(warm_start):
            return TextLearner(
                pool.inputs.tolist(),
                pool.classes,
                pretrained(),
                warm_start=warm_start,
                options=options,
            )

        state = [v.numpy() for v in pretrained().backbone.variables]
        cold = learner(False)
        cold.fit(ids, pool.labels[:30], seed=0)
        first = cold.score(np.arange(40))
        cold.fit(ids, pool.labels[:30], seed=0)
        np.testing.assert_array_equal(cold.score(np.arange(40))[0], first[0])
        for v, value in zip(
            pretrained().backbone.variables, state, strict=True
        ):
            v.assign(value)
        warm = learner(True)
        warm.fit(ids, pool.labels[:30], seed=0)
        np.testing.assert_array_equal(warm.score(np.arange(40))[0], first[0])
        warm.fit(ids, pool.labels[:30], seed=0)
        self.assertFalse(np.array_equal(warm.score(np.arange(40))[0], first[0]))
        warm.reset()
        warm.fit(ids, pool.labels[:30], seed=0)
        np.testing.assert_array_equal(warm.score(np.arange(40))[1], first[1])

    def test_epochs_train_for_longer_the_more_is_labeled(self):
        pool = loop_data.texts(40)
        # Made before any training: they share one encoder.
        learners = [
            TextLearner(
                pool.inputs.tolist(),
                pool.classes,
                pretrained(),
                options=TextOptions(length=16, batch_size=8, **steps),
            )
            for steps in (
                {"train_steps": 5, "train_epochs": 2.0},
                {"train_steps": 8},
                {"train_steps": 5},
            )
        ]
        for count, same, other in ((30, 1, 2), (20, 2, 1)):
            found = []
            for learner in learners:
                learner.fit(np.arange(count), pool.labels[:count], seed=0)
                found.append(learner.score(np.arange(40))[0])
            np.testing.assert_array_equal(found[0], found[same])
            self.assertFalse(np.array_equal(found[0], found[other]))


if __name__ == "__main__":
    absltest.main()
