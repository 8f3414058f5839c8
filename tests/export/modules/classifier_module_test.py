"""An exported classifier answers as the classifier itself does."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import functools
import pathlib
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from export import export_main
from export.modules.classifier_module import ClassifierModule
from export.modules.options import ServingOptions
from export.saved_model.neighbor_index import export_neighbor_index
from export.saved_model.session import SessionModel
from export.saved_model.stored_requests import inputs_for
from export.saved_model.verify import read_card
from export.saved_model.write import export_saved_model
from runkit import InputError
from spactor_tf.classifier.classifier import TextClassifier
from spactor_tf.model import t5
from tests.support import serving_models

CLASSES = ("bad", "so so", "very good")
LENGTH = 24
TEXTS = [
    "dada zuzu, number 3.",
    "",
    "so it goes " * 40,
    "\u05e9\u05dc \U0001f600",
    "another",
]


@functools.cache
def classifier(multilabel: bool = False) -> TextClassifier:
    model = TextClassifier(
        serving_models.pretrained(),
        CLASSES,
        length=LENGTH,
        multilabel=multilabel,
    )
    random = np.random.default_rng(3)
    width = model.pretrained.backbone.hidden_dim
    model.set_head(
        random.standard_normal((width, 3)).astype(np.float32) * 0.3,
        random.standard_normal(3).astype(np.float32),
    )
    return model


@functools.cache
def session(multilabel: bool = False) -> SessionModel:
    folder = pathlib.Path(tempfile.mkdtemp()) / "served"
    return SessionModel(export_saved_model(classifier(multilabel), folder))


def classify(multilabel: bool = False, texts=TEXTS):
    inputs = {"text": np.array(texts, object)}
    return session(multilabel).run("classify", inputs)


class ClassifierModuleTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_probabilities_and_embeddings_are_the_classifier_s(self, many):
        found = classify(many)
        expected = classifier(many).predict_probabilities(TEXTS)
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
        np.testing.assert_allclose(
            found["embedding"], classifier(many).embed(TEXTS), atol=1e-5
        )
        best = expected.argmax(1)
        np.testing.assert_array_equal(found["class_id"], best)
        names = [CLASSES[i].encode() for i in best]
        self.assertEqual(found["label"].tolist(), names)
        self.assertEqual(
            found["truncated"].tolist(), [False, False, True, False, False]
        )

    def test_margin_is_first_minus_second(self):
        found = classify()
        ordered = np.sort(found["probabilities"], axis=1)
        np.testing.assert_allclose(
            found["margin"], ordered[:, -1] - ordered[:, -2], atol=1e-6
        )

    def test_margin_of_several_labels_is_that_of_the_least_certain(self):
        found = classify(True)
        distance = np.abs(2 * found["probabilities"] - 1)
        np.testing.assert_allclose(found["margin"], distance.min(1), atol=1e-6)
        self.assertGreater(np.ptp(found["probabilities"].sum(1)), 0.01)

    def test_neither_decoder_nor_generation_is_exported(self):
        names = set(session().signatures) - {"serving_default"}
        self.assertEqual(names, {"embed", "classify", "classify_examples"})
        card = read_card(session().path)
        body = serving_models.pretrained().backbone
        self.assertLess(card["parameters"], body.count_params())
        self.assertEqual(card["labels"], list(CLASSES))

    def test_an_empty_batch_gives_an_empty_answer(self):
        self.assertEqual(classify(texts=[])["probabilities"].shape, (0, 3))

    def test_classes_and_scores_for_the_classify_call(self):
        inputs = inputs_for("classify_examples", TEXTS[:2])
        found = session().run(
            "classify_examples", {"inputs": inputs["inputs"].numpy()}
        )
        self.assertEqual(
            found["classes"].tolist(), [[c.encode() for c in CLASSES]] * 2
        )
        expected = classifier().predict_probabilities(TEXTS[:2])
        np.testing.assert_allclose(found["scores"], expected, atol=1e-5)

    def test_all_embeddings_are_pooled_by_one_function(self):
        # A copy: what it traces below must not reach the other tests.
        pretrained = dataclasses.replace(serving_models.pretrained())
        model = TextClassifier(pretrained, CLASSES, length=LENGTH)
        module = ClassifierModule(model, ServingOptions(input_length=LENGTH))
        width = model.pretrained.backbone.hidden_dim

        def sevens(states, mask):
            del mask
            return tf.fill([tf.shape(states)[0], width], 7.0)

        with mock.patch.object(t5, "mean_pool", sevens):
            found = {
                "preset": model.pretrained.embed(TEXTS),
                "classifier": model.embed(TEXTS),
                "embed": module.embed(tf.constant(TEXTS))["embedding"],
                "classify": module.classify(tf.constant(TEXTS))["embedding"],
            }
        for name, embedding in found.items():
            np.testing.assert_array_equal(
                embedding, np.full((len(TEXTS), width), 7.0), name
            )

    def test_a_prefix_is_refused(self):
        with self.assertRaisesRegex(InputError, "prefix"):
            ClassifierModule(classifier(), ServingOptions(prefix="sst2: "))

    @parameterized.parameters(
        (None, False),
        (list(CLASSES), False),
        (["good", "bad"], True),
        (list(CLASSES[::-1]), True),
    )
    def test_other_labels_are_refused(self, given, is_refused):
        message = None
        try:
            export_main.refuse_labels(given, CLASSES)
        except InputError as error:
            message = str(error)
        if is_refused:
            self.assertIn("classes of this classifier", message)
        else:
            self.assertIsNone(message)

    def test_its_embeddings_find_neighbors(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        classifier().save(folder / "classifier")
        path = export_neighbor_index(
            classifier().embed(TEXTS),
            np.arange(5) + 10,
            folder / "served",
            num_neighbors=2,
            model=folder / "classifier",
        )
        found = SessionModel(path).run(
            "neighbors", {"text": np.array(TEXTS[3:], object)}
        )
        np.testing.assert_array_equal(found["example_ids"][:, 0], [3, 4])
        np.testing.assert_array_equal(found["cluster_id"], [13, 14])


if __name__ == "__main__":
    absltest.main()
