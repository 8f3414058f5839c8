"""Pool and test set: which examples, and the same class under one number."""

import json
import pathlib
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.pools import held_out
from runkit import InputError
from runkit.datasets import prepared_data


class SourceTest(parameterized.TestCase):
    @parameterized.parameters(
        ("tfds:imdb_reviews", "test", "tfds:imdb_reviews:test"),
        ("tfds:imdb_reviews", "test[:5000]", "tfds:imdb_reviews:test[:5000]"),
        (
            "tfds:glue/sst2:train[:9]",
            "validation[5%:]+test[:2]",
            "tfds:glue/sst2:validation[5%:]+test[:2]",
        ),
        ("tfds:a:1.0.0:train", "test", "tfds:a:1.0.0:test"),
        ("tfds:a:train:x:y", "test", "tfds:a:test:x:y"),
        ("tfds:a", "tfds:b:test", "tfds:b:test"),
        ("tfds:a", "npz:test.npz", "npz:test.npz"),
        ("jsonl:a:t:l", "test[:9]", "test[:9]"),
        ("npz:a", "", 0.2),
        ("tfds:a", "0.25", 0.25),
    )
    def test_what_is_read(self, dataset, test, expected):
        self.assertEqual(held_out.source_of_test(dataset, test), expected)

    @parameterized.parameters(
        ("a", ("train", "test", "validation"), "tfds:a:test"),
        ("glue/a", ("train", "test", "validation"), "tfds:glue/a:validation"),
        ("a", ("train",), 0.2),
        # Never one that the pool was read from.
        ("a:test", ("train", "test", "validation"), "tfds:a:validation"),
        (
            "a:train+test[:9]",
            ("train", "test", "validation"),
            "tfds:a:validation",
        ),
        ("glue/a:validation", ("train", "validation", "test"), 0.2),
    )
    def test_default_split(self, name, splits, expected):
        builder = mock.Mock()
        builder.info.splits = dict.fromkeys(splits)
        with mock.patch.object(
            prepared_data, "prepared_builder", return_value=builder
        ):
            found = held_out.source_of_test(f"tfds:{name}", "")
        self.assertEqual(found, expected)

    @parameterized.parameters(
        ("", "train[:9]", True),
        (":train[:50%]", "train[50%:]", False),
        (":train[:50%]", "train[49:]", True),
        (":train+test", "test", True),
        (":train+test[:10]", "test[10:]", False),
        (":train", "test", False),
        (":test[-5:]", "test[:95]", False),
        (":test[-5:]", "test[:96]", True),
    )
    def test_a_test_set_with_rows_of_the_pool(self, split, test, shared):
        builder = mock.Mock()
        builder.info.splits = {
            name: mock.Mock(num_examples=100) for name in ("train", "test")
        }
        with mock.patch.object(
            prepared_data, "prepared_builder", return_value=builder
        ):
            if not shared:
                held_out.check_apart(f"tfds:a{split}", f"tfds:a:{test}")
                return
            with self.assertRaisesRegex(InputError, "--test: has examples of"):
                held_out.check_apart(f"tfds:a{split}", f"tfds:a:{test}")

    @parameterized.parameters("1", "-0.1", "nan")
    def test_no_fraction(self, test):
        with self.assertRaisesRegex(InputError, "is not a fraction"):
            held_out.source_of_test("npz:a", test)


class NamesTest(parameterized.TestCase):
    """A class keeps its name, whatever its number is in the test file."""

    def npz(self, name, labels, **arrays):
        path = pathlib.Path(self.create_tempdir().full_path) / f"{name}.npz"
        labels = np.array(labels)
        rows = np.zeros((len(labels), 2))
        arrays = {key: np.array(value) for key, value in arrays.items()}
        np.savez(path, embeddings=rows, labels=labels, **arrays)
        return f"npz:{path}"

    def jsonl(self, labels):
        path = pathlib.Path(self.create_tempdir().full_path) / "texts.jsonl"
        rows = [json.dumps({"text": "", "label": label}) for label in labels]
        path.write_text("\n".join(rows))
        return f"jsonl:{path}:text:label"

    def names(self, examples):
        return [examples.classes[i] for i in examples.labels]

    def test_files_with_names_in_another_order(self):
        pool = self.npz("pool", [0, 1], classes=["cat", "dog"])
        test = self.npz("test", [0, 1, 0], classes=["dog", "cat"])
        pool, test = held_out.open_pool_and_test(pool, test)
        self.assertEqual(test.classes, ("cat", "dog"))
        self.assertEqual(self.names(test), ["dog", "cat", "dog"])

    def test_numbers_without_names_are_names(self):
        pool = self.npz("pool", [3, 5, 9])
        test = self.npz("test", [5, 9, -1])
        pool, test = held_out.open_pool_and_test(pool, test)
        self.assertEqual(pool.classes, ("3", "5", "9"))
        self.assertEqual(test.labels.tolist(), [1, 2, -1])

    def test_named_classes_hold_for_both(self):
        pool, test = self.npz("pool", [0, 1]), self.npz("test", [1, 0])
        pool, test = held_out.open_pool_and_test(pool, test, ("ham", "spam"))
        self.assertEqual(self.names(test), ["spam", "ham"])

    def test_texts_of_some_of_the_classes(self):
        pool, test = self.jsonl(["a", "b", "c"]), self.jsonl(["c", "b"])
        pool, test = held_out.open_pool_and_test(pool, test)
        self.assertEqual(test.labels.tolist(), [2, 1])

    def test_lists_of_some_of_the_classes(self):
        pool, test = self.jsonl([["a", "b"], ["c"]]), self.jsonl([["c"], []])
        pool, test = held_out.open_pool_and_test(pool, test)
        self.assertEqual(test.labels.tolist(), [[0, 0, 1], [0, 0, 0]])

    def test_unknown_classes_are_refused(self):
        pool = self.npz("pool", [0, 1], classes=["cat", "dog"])
        for labels, names in (([0, 1], ["cat", "eel"]), ([0, 1], None)):
            more = {"classes": names} if names else {}
            test = self.npz("test", labels, **more)
            with self.assertRaisesRegex(InputError, "--test: .*unknown class"):
                held_out.open_pool_and_test(pool, test)

    def test_columns_that_the_test_file_lacks(self):
        pool = self.npz("pool", [[0, 1, 1], [1, 0, 0]])
        test = self.npz("test", [[0, 1]])
        with self.assertRaisesRegex(InputError, "--test: .*no column"):
            held_out.open_pool_and_test(pool, test)

    def test_the_pool_itself(self):
        pool = self.npz("pool", [0, 1])
        with self.assertRaisesRegex(InputError, "is the pool itself"):
            held_out.open_pool_and_test(pool, pool)

    def test_one_label_and_many(self):
        pool, test = self.jsonl(["a", "b"]), self.jsonl([["a"]])
        with self.assertRaisesRegex(InputError, "another kind of labels"):
            held_out.open_pool_and_test(pool, test)


if __name__ == "__main__":
    absltest.main()
