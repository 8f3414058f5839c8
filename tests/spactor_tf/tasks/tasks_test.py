"""Tasks: what their records become; T5's own texts are the reference."""

import json
import os
import pathlib
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest, parameterized

from runkit import InputError
from runkit.datasets import prepared_data
from spactor_tf import tasks
from spactor_tf.tasks import generation, glue, records, super_glue
from tests.testdata import task_records

TESTDATA = pathlib.Path(__file__).resolve().parents[2] / "testdata"
GOLDEN = json.loads((TESTDATA / "tasks.json").read_text(encoding="utf-8"))
UNKNOWN = "<unk>"  # T5's target where there is no label.

TFDS_TASKS = {
    task.source.partition(":")[2]: task
    for task in map(tasks.get_task, reversed(tasks.task_names()))
    if task.source.startswith("tfds:")
}


class Builder:
    """A TFDS builder with the features of the real one and given records."""

    def __init__(self, name, splits, folder):
        import tensorflow_datasets as tfds

        real = tfds.builder(name, data_dir=folder)
        self._features = real.info.features
        self._rows = task_records.RECORDS[name]
        self.info = mock.Mock(splits=splits)

    def as_dataset(self, split, read_config, shuffle_files):
        import tensorflow as tf

        rows = [
            self._features.serialize_example(self._features.encode_example(row))
            for row in self._rows
        ]
        return tf.data.Dataset.from_tensor_slices(rows).map(
            self._features.deserialize_example
        )


def load(task, split, folder):
    """Loads made-up records through TFDS's features of the task."""

    splits = {name.partition("[")[0] for name in task.splits.values()}

    def open_builder(name, where, data_dir):
        return Builder(name, splits, folder)

    with mock.patch.object(prepared_data, "prepared_builder", open_builder):
        return task.load(split)


class TextTest(parameterized.TestCase):
    @parameterized.parameters(*GOLDEN["texts"])
    def test_same_texts_as_t5(self, name):
        task = TFDS_TASKS[name]
        examples = [
            example
            for row, record in enumerate(task_records.RECORDS[name])
            for example in task.to_examples(record, row)
        ]
        published = GOLDEN["texts"][name]
        self.assertEqual(
            [example.inputs.rstrip() for example in examples],
            [inputs.rstrip() for inputs, _ in published],
        )
        for example, (_, target) in zip(examples, published, strict=True):
            if example.targets:
                self.assertEqual(example.targets, target)
            elif name != "super_glue/wsc.fixed":  # T5 keeps its referent.
                self.assertEqual(target, UNKNOWN)

    def test_every_word_of_t5_is_a_label_word(self):
        for name, pairs in GOLDEN["texts"].items():
            words = TFDS_TASKS[name].label_words
            if words:
                said = {target for _, target in pairs} - {UNKNOWN}
                self.assertContainsSubset(said, words, name)

    def test_imdb(self):
        task = tasks.get_task("imdb")
        rows = task_records.RECORDS["imdb_reviews/plain_text"]
        first, second, third = (task.to_examples(r, 5)[0] for r in rows)
        self.assertEqual(first.inputs, "imdb text: A fine film. See it!")
        self.assertEqual(
            [first.targets, second.targets, third.targets],
            ["positive", "negative", ""],
        )
        self.assertEqual(first.key, "5")

    def test_rainbow_hellaswag(self):
        record = task_records.RECORDS["hellaswag"][1]
        (example,) = tasks.get_task("hellaswag").to_examples(record, 0)
        self.assertEqual(
            example.inputs,
            "[hellaswag]:\n<ctx>A man lifts a bar. He</ctx>\n"
            "<ending_options 0>drops it.</ending_options 0>\n"
            "<ending_options 1>eats it.</ending_options 1>\n"
            "<ending_options 2>sings.</ending_options 2>\n"
            "<ending_options 3>swims.</ending_options 3>",
        )
        self.assertEqual(example.targets, "2")

    def test_rainbow_winogrande_counts_from_one(self):
        rows = task_records.RECORDS["winogrande"]
        task = tasks.get_task("winogrande")
        examples = [task.to_examples(row, 0)[0] for row in rows]
        self.assertEqual([e.targets for e in examples], ["1", "2", ""])
        self.assertEqual(
            examples[0].inputs,
            "[winogrande]:\n<sentence>The cup fit the box because _ was small."
            "</sentence>\n<option1>cup</option1>\n<option2>box</option2>",
        )

    def test_stsb_rounds_to_fifths(self):
        self.assertLen(glue.STSB_WORDS, 26)
        for number, word in enumerate(glue.STSB_WORDS):
            self.assertEqual(glue.stsb_word(number / 5 + 0.08), word)
            self.assertEqual(glue.stsb_word(abs(number / 5 - 0.08)), word)

    def test_stsb_is_scored_against_the_unrounded_score(self):
        record = {"sentence1": "a", "sentence2": "b", "label": 3.75, "idx": 0}
        (example,) = tasks.get_task("stsb").to_examples(record, 0)
        self.assertEqual(example.targets, "3.8")
        self.assertEqual(example.meta["score"], 3.75)
        (hidden,) = tasks.get_task("stsb").to_examples(
            {**record, "label": -1.0}, 0
        )
        self.assertEqual(hidden.targets, "")

    @parameterized.parameters(
        ("24 - 10", "won 24-10 (home)", "24-10"),
        ("Dr . O ' Neil", "by Dr. O'Neil", "Dr. O'Neil"),
        ("a b", "about a  b", "a  b"),
        ("not there", "here", "not there"),
        (" ", "here", ""),
    )
    def test_answers_get_the_passage_s_own_spaces(self, said, passage, text):
        self.assertEqual(generation.as_in_passage(said, passage), text)

    def test_a_word_that_only_begins_like_the_pronoun_is_not_it(self):
        record = {
            "text": "Ann helped Bo . Now he rests",
            "span2_text": "he",
            "span2_index": 2,
        }
        self.assertEqual(
            super_glue.marked_pronoun(record), "Ann helped Bo . Now *he* rests"
        )

    def test_a_pronoun_that_is_not_there(self):
        record = {"text": "Ann ran.", "span2_text": "he", "span2_index": 1}
        with self.assertRaisesRegex(InputError, "pronoun.*'he'"):
            super_glue.marked_pronoun(record)


class LoadTest(parameterized.TestCase):
    @parameterized.parameters(*TFDS_TASKS)
    def test_records_with_the_features_of_tfds(self, name):
        task = TFDS_TASKS[name]
        folder = self.create_tempdir().full_path
        split = "validation" if "validation" in task.splits else "test"
        examples = load(task, split, folder)
        self.assertNotEmpty(examples)
        by_hand = [
            example
            for row, record in enumerate(task_records.RECORDS[name])
            for example in task.to_examples(record, row)
            if task.keep is None or task.keep(example, split)
        ]
        for loaded, example in zip(examples, by_hand, strict=True):
            self.assertEqual(loaded.inputs, example.inputs)
            self.assertEqual(loaded.targets, example.targets)
            self.assertEqual(loaded.key, example.key)
        known = [example for example in examples if example.targets]
        self.assertNotEmpty(known)
        perfect = [e.meta.get("answers", [e.targets])[0] for e in known]
        scores = task.evaluate(perfect, known)
        self.assertEqual(tuple(scores), task.metrics)
        if name not in ("glue/stsb", "super_glue/wsc.fixed"):
            self.assertEqual(set(scores.values()), {100.0})

    def test_record_asks_each_query_once_except_in_training(self):
        folder = self.create_tempdir().full_path
        task = tasks.get_task("record")
        trained = load(task, "train", folder)
        self.assertEqual(
            [e.targets for e in trained], ["Ada Stone", "Stone", "She", ""]
        )
        asked = load(task, "validation", folder)
        self.assertEqual([e.key for e in asked], ["60", "61", "62"])
        self.assertEqual(
            task.options(asked[0]), ("Ada Stone", "Leeds", "Stone")
        )
        self.assertEqual(
            task.evaluate(["stone", "He"], asked[:2]),
            {"token_f1": 50.0, "exact_match": 50.0},
        )

    def test_wsc_trains_on_true_referents_only(self):
        folder = self.create_tempdir().full_path
        task = tasks.get_task("wsc")
        self.assertEqual(
            [e.key for e in load(task, "train", folder)], ["0", "2"]
        )
        self.assertLen(load(task, "test", folder), 5)
        self.assertEqual(task.options(load(task, "test", folder)[0]), ())

    def test_limit(self):
        with mock.patch.object(
            records, "read", lambda *_: iter(task_records.RECORDS["glue/stsb"])
        ):
            task = tasks.get_task("stsb")
            self.assertLen(task.load("train", limit=4), 4)
            self.assertLen(task.load("train"), 11)

    @parameterized.parameters(
        ({"sentence": "x"}, "lacks a field; got 'label'"),
        ({"sentence": "x", "label": 2}, "unknown label; got 2"),
        ({"sentence": "x", "label": -2}, "unknown label"),
    )
    def test_records_that_cannot_be_used(self, record, message):
        with (
            mock.patch.object(records, "read", lambda *_: iter([record])),
            self.assertRaisesRegex(InputError, message),
        ):
            tasks.get_task("sst2").load("train")


class RegistryTest(parameterized.TestCase):
    @parameterized.parameters(
        ("sst3", "'sst2'"), ("squad_v1", "'squad'"), ("boolQ", "'boolq'")
    )
    def test_unknown_name_is_answered_with_the_nearest(self, name, nearest):
        with self.assertRaisesRegex(InputError, f"Did you mean {nearest}"):
            tasks.get_task(name)

    def test_unknown_split(self):
        with self.assertRaisesRegex(InputError, "split of sst2.*validation"):
            tasks.get_task("sst2").load("valid")

    def test_data_that_are_not_prepared(self):
        empty = self.create_tempdir().full_path
        with self.assertRaisesRegex(
            InputError, "glue/qqp.*TFDS_DATA_DIR.*tfds build"
        ):
            tasks.get_task("qqp").load("train", data_dir=empty)

    def test_all_tasks_are_whole(self):
        suites = {}
        for name in tasks.task_names():
            task = tasks.get_task(name)
            self.assertEqual(task.name, name)
            self.assertNotEmpty(task.metrics)
            suites[task.suite] = suites.get(task.suite, 0) + 1
        self.assertEqual(
            suites,
            {
                "GLUE": 10,
                "SuperGLUE": 8,
                "SQuAD v1.1": 1,
                "CNN/DailyMail": 1,
                "IMDb": 1,
                "Rainbow": 6,
                "BIG-Bench Hard": 28,
                "MMLU": 58,
            },
        )

    def test_what_is_only_evaluated_cannot_be_trained_on(self):
        for name in tasks.task_names():
            task = tasks.get_task(name)
            if task.suite in ("BIG-Bench Hard", "MMLU"):
                self.assertNotIn("train", task.splits, name)
            else:
                self.assertIn("train", task.splits, name)
                self.assertIn("validation", task.splits, name)


if __name__ == "__main__":
    absltest.main()
