"""Metrics: equal to T5's and the official scripts' on fixed predictions."""

import json
import os
import pathlib
import sys
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from runkit import InputError
from spactor_tf.tasks import Example, answers, get_task, metrics

TESTDATA = pathlib.Path(__file__).resolve().parents[2] / "testdata"
GOLDEN = json.loads((TESTDATA / "tasks.json").read_text(encoding="utf-8"))


def labeled(targets, metas=None):
    metas = metas or [{}] * len(targets)
    return [
        Example("", target, str(number), meta)
        for number, (target, meta) in enumerate(
            zip(targets, metas, strict=True)
        )
    ]


class GoldenTest(parameterized.TestCase):
    def assert_equal(self, ours, published):
        """Equal values under other names: {our name: published name}."""
        self.assertNotEmpty(published)
        self.assertCountEqual(ours, published)
        for name, value in published.items():
            self.assertAlmostEqual(ours[name], value, 9, name)

    @parameterized.parameters(
        ("sst2", {}),
        ("cola", {}),
        ("mrpc", {}),
        ("cb", {"macro_f1": "mean_3class_f1"}),
    )
    def test_metrics_of_labels(self, name, theirs):
        golden = GOLDEN["labels"][name]
        task = get_task(name)
        # Some predictions are not label words.
        self.assertNotEmpty(set(golden["predictions"]) - {*task.label_words})
        ours = task.evaluate(golden["predictions"], labeled(golden["targets"]))
        renamed = {theirs.get(key, key): ours[key] for key in task.metrics}
        self.assert_equal(renamed, golden["t5"])

    def test_correlations(self):
        golden = GOLDEN["scores"]
        scores = golden["targets"]
        examples = labeled(
            ["?"] * len(scores), [{"score": score} for score in scores]
        )
        ours = get_task("stsb").evaluate(golden["predictions"], examples)
        self.assert_equal(ours, golden["t5"])

    def test_multirc(self):
        golden = GOLDEN["questions"]
        task = get_task("multirc")
        text = {"question": "", "answer": "", "paragraph": ""}
        examples = [
            example
            for index, word in zip(
                golden["groups"], golden["targets"], strict=True
            )
            for example in task.to_examples(
                {**text, "idx": index, "label": task.label_words.index(word)},
                0,
            )
        ]
        ours = task.evaluate(golden["predictions"], examples)
        renamed = {"f1": ours["f1"], "exact_match": ours["group_exact_match"]}
        self.assert_equal(renamed, golden["t5"])
        official = golden["official"]
        self.assertAlmostEqual(ours["f1"], 100 * official["f1_a"], 9)
        self.assertAlmostEqual(
            ours["group_exact_match"], 100 * official["exact_match"], 9
        )

    def test_answers(self):
        golden = GOLDEN["answers"]
        accepted, said = golden["accepted"], golden["predictions"]
        exact = answers.exact_match(accepted, said)
        f1 = answers.token_f1(accepted, said)
        for name, scale in (("squad", 1), ("record", 100)):
            official = golden[f"official_{name}"]
            self.assertAlmostEqual(exact, scale * official["exact_match"], 9)
            self.assertAlmostEqual(f1, scale * official["f1"], 9)
        self.assert_equal({"em": exact, "f1": f1}, golden["t5"])

    def test_rouge(self):
        values = []
        for pair in GOLDEN["summaries"]:
            ours = get_task("cnn_dailymail").evaluate(
                [pair["prediction"]], labeled([pair["target"]])
            )
            self.assert_equal(ours, pair["t5"])
            values.append(ours["rouge2"])
        together = get_task("cnn_dailymail").evaluate(
            [pair["prediction"] for pair in GOLDEN["summaries"]],
            labeled([pair["target"] for pair in GOLDEN["summaries"]]),
        )
        self.assertAlmostEqual(together["rouge2"], sum(values) / len(values))

    def test_rouge_of_other_scripts_is_refused(self):
        for targets in (["\u4f60\u597d", "2024"], ["\u043f\u043e\u043b a"]):
            with self.assertRaisesRegex(InputError, "rouge. counts words of"):
                get_task("cnn_dailymail").evaluate(targets, labeled(targets))

    @parameterized.parameters(*GOLDEN["spans"])
    def test_wsc_referents(self, prediction, referent, t5):
        task = get_task("wsc")
        for label in ("True", "False"):
            example = Example(
                "", referent, "0", {"label": label, "referent": referent}
            )
            right = {1: "True", 0: "False", -1: "neither"}[t5] == label
            self.assertEqual(
                task.evaluate([prediction], [example]),
                {"accuracy": 100.0 * right},
            )


class NormalizationTest(parameterized.TestCase):
    @parameterized.parameters(
        ("The Cat", "cat"),
        ("an  apple,\ta pear", "apple pear"),
        ("a.m.", "am"),
        ("the-end", "theend"),
        ("theory of a-b", "theory of ab"),
        ("“Ünder” the 3–4", "“ünder” 3–4"),
        ("...", ""),
    )
    def test_words_that_remain(self, text, words):
        self.assertEqual(answers.normalize(text), words)

    @given(st.text(max_size=30))
    def test_an_answer_is_worth_all_or_nothing_against_itself(self, text):
        words = answers.normalize(text)
        value = answers.overlap_f1(words, words)
        self.assertEqual(value, 1.0 if words else 0.0)

    def test_the_best_accepted_answer_counts(self):
        # "red car": precision 1/2, recall 1 against "red" -> 2/3.
        accepted = [["blue", "red", "red old car here"]]
        self.assertAlmostEqual(
            answers.token_f1(accepted, ["red car"]), 100 * 2 / 3
        )
        self.assertEqual(answers.exact_match(accepted, ["red car"]), 0)


class GroupTest(absltest.TestCase):
    def test_groups_weigh_the_same(self):
        groups = ["a", "a", "a", "b"]
        value = metrics.group_accuracy(groups, "xxxx", "xxyx")
        self.assertAlmostEqual(value, 100 * (2 / 3 + 1) / 2)

    def test_a_group_with_one_mistake_counts_nothing(self):
        groups = ["a", "b", "a", "b"]
        value = metrics.group_exact_match(groups, "xxxx", "xxyx")
        self.assertEqual(value, 50.0)


class UndefinedTest(parameterized.TestCase):
    @parameterized.parameters("cola", "mrpc", "qqp", "cb", "multirc")
    def test_labels_of_one_class(self, name):
        task = get_task(name)
        word = task.label_words[0]
        examples = labeled([word] * 3, [{"group": "g"}] * 3)
        with self.assertRaisesRegex(InputError, f"undefined.*'{word}'"):
            task.evaluate(list(task.label_words[:2]) + [word], examples)

    def test_scores_that_are_all_the_same(self):
        examples = labeled(["2.0"] * 2, [{"score": 2.0}] * 2)
        with self.assertRaisesRegex(InputError, "undefined.*the same"):
            get_task("stsb").evaluate(["1.0", "2.0"], examples)

    def test_a_model_that_always_answers_the_same_scores_zero(self):
        examples = labeled(["1.0", "2.0"], [{"score": 1.0}, {"score": 2.0}])
        self.assertEqual(
            get_task("stsb").evaluate(["3.0", "3.0"], examples),
            {"pearson_corrcoef": 0.0, "spearman_corrcoef": 0.0},
        )
        cola = get_task("cola")
        self.assertEqual(
            cola.evaluate(["acceptable"] * 2, labeled(cola.label_words)),
            {"matthews_corrcoef": 0.0},
        )

    @parameterized.parameters("", "n/a", "nan", "inf", "3,5")
    def test_text_that_is_no_number_counts_as_minus_one(self, text):
        self.assertEqual(metrics.as_score(text), -1.0)

    def test_an_extra_that_is_not_installed(self):
        with (
            mock.patch.dict(sys.modules, {"sklearn.metrics": None}),
            self.assertRaisesRegex(InputError, r"sklearn.*spactor-al\[tasks"),
        ):
            get_task("sst2").evaluate(["positive"], labeled(["positive"]))

    def test_nothing_to_evaluate(self):
        with self.assertRaisesRegex(InputError, "sst2: there are no examples"):
            get_task("sst2").evaluate([], [])

    def test_hidden_labels(self):
        examples = labeled(["positive", ""])
        with self.assertRaisesRegex(InputError, "sst2, example 1: has no lab"):
            get_task("sst2").evaluate(["positive"] * 2, examples)

    def test_another_number_of_predictions(self):
        with self.assertRaisesRegex(InputError, "got 1; expected 2 predict"):
            get_task("sst2").evaluate(["positive"], labeled(["positive"] * 2))


if __name__ == "__main__":
    absltest.main()
