"""Tasks on the benchmarks' real data, where TFDS_DATA_DIR names a folder."""

import collections
import os
import pathlib
import unittest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest, parameterized

from spactor_tf import tasks
from tests.testdata.task_records import REAL

SPLITS = ("train", "validation", "test")

# Scores of a constant answer, by hand from the counts above: of "equivalent",
# precision is 279/408 and recall 1.
CONSTANT = {
    "sst2": ("positive", {"accuracy": 100 * 444 / 872}),
    "rte": ("entailment", {"accuracy": 100 * 146 / 277}),
    "wnli": ("not_entailment", {"accuracy": 100 * 40 / 71}),
    "copa": ("choice2", {"accuracy": 45.0}),
    "cola": ("acceptable", {"matthews_corrcoef": 0.0}),
    "mrpc": (
        "equivalent",
        {"f1": 100 * 2 * 279 / (408 + 279), "accuracy": 100 * 279 / 408},
    ),
    "cb": (
        "contradiction",
        {"macro_f1": 100 * 2 * 28 / (56 + 28) / 3, "accuracy": 50.0},
    ),
    "stsb": (
        "2.6",
        {"pearson_corrcoef": 0.0, "spearman_corrcoef": 0.0},
    ),
}


class RealDataTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        if not os.environ.get("TFDS_DATA_DIR"):
            raise unittest.SkipTest("TFDS_DATA_DIR is not set: no real data")

    @parameterized.parameters(*REAL)
    def test_splits(self, name):
        sizes, counts = REAL[name]
        task = tasks.get_task(name)
        for split, size in zip(SPLITS, sizes, strict=True):
            examples = task.load(split)
            self.assertLen(examples, size, split)
            self.assertLen({e.key for e in examples}, size, split)
            self.assertTrue(all(e.inputs.strip() for e in examples))
            words = {e.targets for e in examples}
            hidden = split == "test" and name != "imdb"
            known = {""} if hidden else set(task.label_words)
            self.assertEqual(words, known, split)
            if split == "validation" and counts:
                found = collections.Counter(e.targets for e in examples)
                self.assertEqual(
                    tuple(found[word] for word in task.label_words), counts
                )

    @parameterized.parameters(*REAL)
    def test_the_targets_themselves_score_all(self, name):
        task = tasks.get_task(name)
        examples = task.load("validation")
        scores = task.evaluate([e.targets for e in examples], examples)
        self.assertEqual(tuple(scores), task.metrics)
        for score in scores.values():
            # Rounding to fifths costs the regression a little.
            self.assertGreater(score, 99.9 if name == "stsb" else 100 - 1e-9)

    @parameterized.parameters(*CONSTANT)
    def test_a_constant_answer_scores_as_by_hand(self, name):
        word, by_hand = CONSTANT[name]
        task = tasks.get_task(name)
        examples = task.load("validation")
        scores = task.evaluate([word] * len(examples), examples)
        self.assertCountEqual(scores, by_hand)
        for metric, value in by_hand.items():
            self.assertAlmostEqual(scores[metric], value, 9)

    @parameterized.parameters(*REAL)
    def test_predictions_for_the_test_split(self, name):
        task = tasks.get_task(name)
        examples = task.load("test")
        path = pathlib.Path(self.create_tempdir().full_path) / "predictions"
        said = [task.label_words[-1]] * len(examples)
        task.write_predictions(path, said, examples)
        lines = path.read_text(encoding="utf-8").splitlines()
        header = task.suite != "SuperGLUE"
        self.assertLen(lines, len(examples) + header)

    def test_texts_of_imdb_have_no_markup(self):
        task = tasks.get_task("imdb")
        for example in task.load("validation", limit=500):
            self.assertNotIn("<br", example.inputs)

    def test_unlabeled_reviews(self):
        examples = tasks.get_task("imdb").load("unlabeled", limit=100)
        self.assertEqual({e.targets for e in examples}, {""})


if __name__ == "__main__":
    absltest.main()
