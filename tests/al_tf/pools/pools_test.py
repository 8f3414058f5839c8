"""Pools from files and TFDS; what cannot be a pool is named."""

import json
import os
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from al_tf.pools import pool as pools
from runkit import InputError
from tests.support import source_folder


class JsonlTest(parameterized.TestCase):
    def open(self, lines, classes=(), fields="text:label"):
        folder = pathlib.Path(self.create_tempdir().full_path)
        path = folder / "a:b.jsonl"  # A colon in a path is no separator.
        path.write_text(
            "\n".join(
                line if isinstance(line, str) else json.dumps(line)
                for line in lines
            )
        )
        return pools.open_pool(f"jsonl:{path}:{fields}", classes)

    def test_texts_and_labels(self):
        pool = self.open(
            [
                {"text": "one", "label": "spam"},
                {"text": "two", "label": None},
                {"text": "", "label": "ham", "more": 1},
            ]
        )
        self.assertEqual(pool.kind, "text")
        self.assertEqual(pool.inputs.tolist(), ["one", "two", ""])
        self.assertEqual(pool.classes, ("ham", "spam"))
        self.assertEqual(pool.labels.tolist(), [1, pools.UNKNOWN, 0])
        self.assertEqual(pool.labeled.tolist(), [True, False, True])

    def test_numbers_are_ordered_as_numbers(self):
        pool = self.open([{"text": "", "label": n} for n in (10, 9, 2)])
        self.assertEqual(pool.classes, ("2", "9", "10"))
        self.assertEqual(pool.labels.tolist(), [2, 1, 0])

    def test_lists_are_multilabel(self):
        labels = (["b", "a"], [], None, ["b"])
        pool = self.open([{"text": "", "label": v} for v in labels])
        self.assertTrue(pool.multilabel)
        self.assertEqual(
            pool.labels.tolist(), [[1, 1], [0, 0], [-1, -1], [0, 1]]
        )
        self.assertEqual(pool.labeled.tolist(), [True, True, False, True])

    def test_named_classes(self):
        pool = self.open([{"text": "", "label": "b"}], ("a", "b", "c"))
        self.assertEqual(pool.labels.tolist(), [1])
        with self.assertRaisesRegex(InputError, "Did you mean 'ham'"):
            self.open([{"text": "", "label": "hem"}], ("ham", "spam"))

    @parameterized.parameters(
        (["{"], "line 1.*not JSON"),
        ([{"text": "a", "label": 1}, {"txt": "b"}], "line 2.*no field"),
        ([{"text": 3, "label": 1}], "not text"),
        ([{"text": "a", "label": {"x": 1}}], "is not a label"),
        ([{"text": "a", "label": float("nan")}], "is not a label"),
        ([{"text": "a", "label": " "}], "is not a label"),
        ([{"text": "a", "label": ["b", None]}], "is not a label"),
        ([{"text": "a\ud83d", "label": 1}], "line 1.*half of a character"),
        ([{"text": "a", "label": "\ud83d"}], "line 1.*half of a character"),
        ([], "no examples"),
    )
    def test_bad_lines(self, lines, message):
        with self.assertRaisesRegex(InputError, message):
            self.open(lines)

    @parameterized.parameters(
        ("jsonl:nothing.jsonl:a:b", "no file matches"),
        ("jsonl:x.jsonl", "names no text field"),
        (f"jsonl:{__file__}:text", "names no label field"),
        ("json:x:a:b", "mean 'jsonl'"),
        ("npz:", "names nothing"),
        ("npz:nothing.npz", "no such file"),
        ("tfds:no_such_data_set", "does not know it"),
    )
    def test_bad_names(self, spec, message):
        with self.assertRaisesRegex(InputError, message):
            pools.open_pool(spec)


class NpzTest(parameterized.TestCase):
    def open(self, wanted=(), **arrays):
        path = pathlib.Path(self.create_tempdir().full_path) / "pool.npz"
        np.savez(path, **arrays)
        return pools.open_pool(f"npz:{path}", wanted)

    def test_embeddings(self):
        rows = np.arange(6.0).reshape(3, 2)
        pool = self.open(embeddings=rows, labels=np.array([5, -1, 3]))
        np.testing.assert_array_equal(pool.inputs, rows)
        self.assertEqual(pool.inputs.dtype, np.float32)
        self.assertEqual(pool.classes, ("3", "5"))
        self.assertEqual(pool.labels.tolist(), [1, -1, 0])

    def test_numbers_index_named_classes(self):
        pool = self.open(
            embeddings=np.zeros((2, 2)),
            labels=np.array([2, 0]),
            classes=np.array(["a", "b", "c"]),
        )
        self.assertEqual(pool.classes, ("a", "b", "c"))
        self.assertEqual(pool.labels.tolist(), [2, 0])

    def test_the_files_own_names_hold(self):
        # A caller may number the classes otherwise, and not call them so.
        arrays = {
            "embeddings": np.zeros((3, 2)),
            "labels": np.array([0, 1, -1]),
        }
        own = {"classes": np.array(["dog", "cat"])}
        pool = self.open(("cat", "dog"), **arrays, **own)
        self.assertEqual(pool.classes, ("cat", "dog"))
        self.assertEqual(pool.labels.tolist(), [1, 0, pools.UNKNOWN])
        pool = self.open(("cat", "dog"), **arrays)
        self.assertEqual(pool.labels.tolist(), [0, 1, pools.UNKNOWN])
        with self.assertRaisesRegex(
            InputError, "example 1 has an unknown .*cat"
        ):
            self.open(("cut", "dog"), **arrays, **own)

    def test_columns_go_by_their_names(self):
        arrays = {
            "embeddings": np.zeros((3, 2)),
            "labels": np.array([[1, 0], [0, 1], [-1, -1]]),
            "classes": np.array(["dog", "cat"]),
        }
        pool = self.open(("cat", "dog"), **arrays)
        self.assertEqual(pool.labels.tolist(), [[0, 1], [1, 0], [-1, -1]])
        with self.assertRaisesRegex(InputError, "no column .* 'eel'"):
            self.open(("cat", "dog", "eel"), **arrays)

    def test_images_and_multilabel(self):
        pool = self.open(
            images=np.zeros((2, 9, 9, 1), np.uint8),
            labels=np.array([[1, 0, 1], [0, 0, 0]]),
        )
        self.assertEqual(pool.kind, "image")
        self.assertTrue(pool.multilabel)
        self.assertEqual(pool.classes, ("0", "1", "2"))

    @parameterized.parameters(
        ({"labels": np.zeros(2, int)}, "no array 'embeddings'"),
        ({"embeddings": np.zeros((2, 2))}, "no array 'labels'"),
        (
            {"embeddings": np.zeros((2, 2)), "labels": np.zeros(3, int)},
            "not one label for each",
        ),
        (
            {"embeddings": np.zeros((2, 2), int), "labels": np.zeros(2, int)},
            "floating-point",
        ),
        (
            {"embeddings": np.array([[0, np.nan]]), "labels": np.zeros(1, int)},
            r"NaN.*\[0\]",
        ),
        (
            {"images": np.zeros((2, 9, 9), np.uint8), "labels": np.zeros(2)},
            "four dimensions",
        ),
        (
            {"embeddings": np.zeros((1, 2)), "labels": np.array([[0, 2]])},
            "0 and 1",
        ),
        (
            {
                "embeddings": np.zeros((1, 2)),
                "labels": np.array([7]),
                "classes": np.array(["a", "b"]),
            },
            "unknown class",
        ),
        ({"embeddings": np.array([{}]), "labels": np.zeros(1)}, "plain arrays"),
        (
            {"embeddings": np.zeros((2, 2)), "labels": np.array([0, np.nan])},
            "no number at example 1.*-1",
        ),
        (
            {"embeddings": np.zeros((1, 2)), "labels": np.array(3)},
            "are not labels",
        ),
        (
            {"embeddings": np.zeros((1, 2)), "labels": np.zeros((1, 1))},
            "are not labels",
        ),
        (
            {"embeddings": np.zeros((1, 2)), "labels": np.zeros((1, 2, 2))},
            "are not labels",
        ),
        (
            {"embeddings": np.zeros((1, 2)), "labels": np.array([b"a"])},
            "are not labels",
        ),
        (
            {"embeddings": np.zeros((1, 0)), "labels": np.zeros(1)},
            "two dimensions",
        ),
        (
            {
                "embeddings": np.zeros((2, 2)),
                "labels": np.array([0, 1]),
                "classes": np.array(["a", "a"]),
            },
            "a class twice",
        ),
    )
    def test_bad_arrays(self, arrays, message):
        names = arrays.pop("classes", None)
        if names is not None:
            arrays = {**arrays, "classes": names}
        path = pathlib.Path(self.create_tempdir().full_path) / "pool.npz"
        np.savez(path, **arrays)
        with self.assertRaisesRegex(InputError, message):
            pools.open_pool(f"npz:{path}")

    def test_no_npz(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        np.save(folder / "a.npy", np.zeros(2))
        (folder / "text.npz").write_text("hello")
        # The data of a member, not its directory, are damaged.
        np.savez_compressed(folder / "damaged.npz", labels=np.arange(9999))
        content = bytearray((folder / "damaged.npz").read_bytes())
        content[200:300] = bytes(100)
        (folder / "damaged.npz").write_bytes(content)
        for name in ("a.npy", "text.npz", "damaged.npz"):
            with self.assertRaisesRegex(InputError, "is not a"):
                pools.open_pool(f"npz:{folder / name}")


class TfdsTest(parameterized.TestCase):
    def open(self, features, rows, spec="tfds:toy:train", classes=()):
        builder = source_folder.FakeBuilder(features, rows)
        with source_folder.patched(builder):
            return pools.open_pool(spec, classes)

    def test_numbers_index_its_own_names(self):
        features = {
            "label": tfds.features.ClassLabel(names=["dog", "cat"]),
            "text": tfds.features.Text(),
        }
        rows = [{"text": "woof", "label": 0}, {"text": "?", "label": -1}]
        pool = self.open(features, rows, classes=("cat", "dog"))
        self.assertEqual(pool.labels.tolist(), [1, pools.UNKNOWN])

    def test_pairs_of_texts(self):
        features = {
            "label": tfds.features.ClassLabel(names=["no", "yes"]),
            "premise": tfds.features.Text(),
            "question": tfds.features.Text(),
        }
        rows = [{"premise": "P", "question": "Q", "label": 1}]
        with self.assertRaisesRegex(InputError, "several text features"):
            self.open(features, rows)
        spec = "tfds:toy:train:premise+question"
        pool = self.open(features, rows, spec)
        self.assertEqual(pool.inputs.tolist(), ["P\nQ"])
        self.assertEqual(pool.classes, ("no", "yes"))
        self.assertEqual(pool.labels.tolist(), [1])

    def test_images(self):
        features = {
            "image": tfds.features.Image(),
            "tags": tfds.features.Sequence(
                tfds.features.ClassLabel(names=["a", "b"])
            ),
        }
        image = np.zeros((9, 9, 3), np.uint8)
        rows = [
            {"image": image, "tags": [1, 0]},
            {"image": image, "tags": []},
        ]
        pool = self.open(features, rows)
        self.assertEqual(pool.inputs.shape, (2, 9, 9, 3))
        self.assertEqual(pool.labels.tolist(), [[1, 1], [0, 0]])
        rows[1] = {"image": image[:8], "tags": [0]}
        with self.assertRaisesRegex(InputError, "example 1 has another shape"):
            self.open(features, rows)

    def test_what_is_not_a_pool(self):
        text = {"text": tfds.features.Text()}
        label = {"label": tfds.features.ClassLabel(names=["a", "b"])}
        for features, spec, message in (
            (text, "tfds:toy:train", "no feature of class labels"),
            (label, "tfds:toy:train", "has no text feature"),
            ({**text, **label}, "tfds:toy:trian", "no such split"),
            ({**text, **label}, "tfds:toy:train:txt", "no such text.*'text'"),
            (
                {**text, **label},
                "tfds:toy:train:text:lable",
                "no such feature.*'label'",
            ),
            ({**text, **label}, "tfds:toy:train:text:label:x", "too many"),
        ):
            with self.assertRaisesRegex(InputError, message):
                self.open(features, [], spec)

    def test_real_data(self):
        if "TFDS_DATA_DIR" not in os.environ:
            self.skipTest("TFDS_DATA_DIR names no prepared datasets")
        pool = pools.open_pool("tfds:cifar10:test[:50]")
        self.assertEqual(pool.inputs.shape, (50, 32, 32, 3))
        self.assertLen(pool.classes, 10)
        reviews = pools.open_pool("tfds:imdb_reviews:train[:20]")
        self.assertEqual(reviews.classes, ("neg", "pos"))
        self.assertTrue(reviews.labeled.all())


if __name__ == "__main__":
    absltest.main()
