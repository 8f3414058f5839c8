"""The binary that fine-tunes a classifier: from files to a directory."""

import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf import classify_main
from spactor_tf.classifier.classifier import load_classifier
from spactor_tf.inference.pretrained import save_pretrained
from tests.support import loop_data, testing


class ClassifyMainTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.output = self.folder / "classifier"

    def write(self, name, texts, labels):
        rows = [
            json.dumps({"text": text, "label": label})
            for text, label in zip(texts, labels, strict=True)
        ]
        (self.folder / name).write_text("\n".join(rows) + "\n")
        return f"jsonl:{self.folder / name}:text:label"

    def main(self, train, **change):
        model = testing.random_t5()
        preset = self.folder / "t5"
        save_pretrained(preset, model.backbone, model.vocabulary, model.config)
        values = {
            "init_from": str(preset),
            "train": train,
            "text_length": 24,
            "output_dir": str(self.output),
            "train_steps": 60,
            "batch_size": 8,
            "learning_rate": 0.01,
            **change,
        }
        with testing.main_flags(classify_main, **values):
            classify_main.main(["main"])

    def test_learns_and_the_directory_says_the_same(self):
        pool = loop_data.texts(60)
        texts = pool.inputs.tolist()
        names = [pool.classes[i] for i in pool.labels]
        train = self.write("train.jsonl", texts[:40], names[:40])
        test = self.write("test.jsonl", texts[40:], names[40:])
        self.main(train, test=test)
        metrics = json.loads((self.output / "metrics.json").read_text())
        self.assertEqual(metrics["train_examples"], 40)
        self.assertGreater(metrics["accuracy"], 0.9)
        model = load_classifier(self.output)
        found = model.predict_probabilities(texts[40:]).argmax(1)
        right = np.array(model.classes)[found] == np.array(names[40:])
        self.assertEqual(right.mean(), metrics["accuracy"])

    @parameterized.parameters(
        ("npz:x", "cannot be used here"),
        ("csv:x:text:label", "no file matches"),
        ("jsonl:nowhere.jsonl:text:label", "no file matches"),
        ("jsonl:nowhere.jsonl", "names no text field"),
    )
    def test_wrong_files(self, train, message):
        with self.assertRaisesRegex(InputError, message):
            self.main(train)
        self.assertFalse(self.output.exists())

    def test_wrong_rows(self):
        for labels, message in (
            (["a", None], "line 2: has no label"),
            (["a", ["b"]], "is not one"),
            ([["a"], "b"], "line 2: is not a list of labels; got 'b'"),
            ([["a"], [None]], "line 2: is not a label"),
            (["a", "a"], "two or more different classes"),
            (["\ud83d", "a"], "line 1: holds half of a character"),
        ):
            train = self.write("bad.jsonl", ["one", "two"], labels)
            with self.assertRaisesRegex(InputError, message):
                self.main(train)
        train = self.write("train.jsonl", ["one", "two"], ["apple", "pear"])
        test = self.write("test.jsonl", ["three"], ["aple"])
        with self.assertRaisesRegex(InputError, "apple"):
            self.main(train, test=test)
        test = self.write("test.jsonl", ["three", "four"], ["apple"] * 2)
        with self.assertRaisesRegex(InputError, "metric is undefined"):
            self.main(train, test=test)
        lists = self.write("lists.jsonl", ["one", "two"], [["a"], ["b", "c"]])
        test = self.write("test.jsonl", ["three", "four"], [["a"], ["b"]])
        with self.assertRaisesRegex(InputError, "undefined for class 'c'"):
            self.main(lists, test=test)
        with self.assertRaisesRegex(InputError, "is not a directory"):
            self.main(train, output_dir=f"{train.split(':')[1]}/x")
        self.assertFalse(self.output.exists())

    @parameterized.parameters(
        {"init_from": None},
        {"train_steps": 0},
        {"text_length": 1},
        {"seed": -1},
        {"learning_rate": 0.0},
    )
    def test_wrong_flags(self, **change):
        train = self.write("train.jsonl", ["one", "two"], ["a", "b"])
        with self.assertRaisesRegex(InputError, next(iter(change))):
            self.main(train, **change)

    def test_lists_of_labels_make_it_multilabel(self):
        pool = loop_data.texts(60)
        texts = pool.inputs.tolist()
        names = [
            ["always", pool.classes[i]] if i else [pool.classes[i]]
            for i in pool.labels
        ]
        train = self.write("train.jsonl", texts[:40], names[:40])
        test = self.write("test.jsonl", texts[40:], names[40:])
        self.main(train, test=test)
        metrics = json.loads((self.output / "metrics.json").read_text())
        self.assertGreater(metrics["average_precision"], 0.9)
        model = load_classifier(self.output)
        self.assertEqual(model.classes, ("always", *pool.classes))
        found = model.predict_probabilities(texts[40:]) > 0.5
        truth = [[name in row for name in model.classes] for row in names[40:]]
        self.assertEqual((found == truth).all(1).mean(), metrics["accuracy"])
        plain = self.write("plain.jsonl", ["dada"], ["always"])
        with self.assertRaisesRegex(InputError, "is not a list of labels"):
            self.main(train, test=plain, output_dir=str(self.folder / "no"))

    def test_a_named_class_may_have_no_label_yet(self):
        pool = loop_data.texts(20)
        names = [pool.classes[i] for i in pool.labels]
        train = self.write("train.jsonl", pool.inputs.tolist(), names)
        test = self.write("test.jsonl", ["dada", "zuzu"], ["other", names[0]])
        classes = ",".join([*pool.classes, "other"])
        self.main(train, test=test, classes=classes, train_steps=2)
        self.assertLen(load_classifier(self.output).classes, 3)

    def test_an_existing_directory_is_kept(self):
        self.output.mkdir()
        train = self.write("train.jsonl", ["one", "two"], ["a", "b"])
        with self.assertRaisesRegex(InputError, "exists already"):
            self.main(train)


if __name__ == "__main__":
    absltest.main()
