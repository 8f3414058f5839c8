"""Token stores: every token is reached, and a kill at any point costs none."""

import os
import pathlib
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.data.tokens.preparation import is_held_out, prepare
from spactor_tf.data.tokens.store import StoreLayout, TokenStore
from tests.support import testing


class Killed(BaseException):
    """Stands for a kill: nothing of the project catches it."""


class KillAfter:
    """Raises `Killed` at the n-th rename of a finished file."""

    def __init__(self, count):
        self.left = count
        self._rename = pathlib.Path.replace

    def __call__(self, path, target):
        if not self.left:
            raise Killed
        self.left -= 1
        return self._rename(path, target)


class SizeTest(absltest.TestCase):
    def test_corpus_shorter_than_a_window(self):
        store = testing.write_store(self.create_tempdir().full_path, [range(7)])
        self.assertEqual(store.num_windows(7), 1)
        with self.assertRaisesRegex(
            InputError, "got '7 tokens'; expected at least 8 tokens.*Take more"
        ):
            store.num_windows(8)
        store.dataset = "text:one.txt"  # One of several.
        with self.assertRaisesRegex(
            InputError, "text:one.txt, .* part: .*shorter than one window"
        ):
            store.check_window(8)
        store.check_window(7)


class DamagedStoreTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path) / "s"
        testing.write_store(self.folder, [range(10), range(5)])

    def refused(self, pattern):
        with self.assertRaisesRegex(InputError, pattern):
            TokenStore(self.folder)

    @parameterized.parameters(0, 9, 11)
    def test_truncated_shard(self, size):
        with (self.folder / "shard-00001.tokens").open("r+b") as handle:
            handle.truncate(size)
        self.refused(f"shard-00001.*got {size}; expected 10 bytes.*Delete")

    def test_missing_shard(self):
        (self.folder / "shard-00001.tokens").unlink()
        self.refused("shard-00001.tokens: is missing.*Delete the folder")

    @parameterized.parameters(
        ("", "index.json: is not JSON"),
        ("{}", "index.json: is not the index of a token store"),
        ("[1]", "is not the index"),
        (
            '{"dtype": "x", "tokens": 1, "documents": 1, "shard_tokens": [1]}',
            "is not the index",
        ),
    )
    def test_foreign_index(self, content, pattern):
        (self.folder / "index.json").write_text(content, encoding="utf-8")
        self.refused(pattern)

    def test_unfinished_store(self):
        (self.folder / "index.json").unlink()
        self.refused("index.json: no such file")


class HoldOutTest(parameterized.TestCase):
    def test_a_text_is_always_on_the_same_side(self):
        texts = testing.documents(50)
        sides = [is_held_out(text, 0.3) for text in texts]
        self.assertEqual(sides, [is_held_out(text, 0.3) for text in texts])
        # More held out keeps those that were.
        more = [is_held_out(text, 0.6) for text in texts]
        self.assertTrue(all(b for a, b in zip(sides, more, strict=True) if a))

    def test_share_of_the_documents(self):
        held = sum(is_held_out(f"text {i}", 0.1) for i in range(10_000))
        self.assertBetween(held, 880, 1120)  # Four standard deviations.

    def test_white_space_around_a_text_does_not_move_it(self):
        # A text block has a line end, but for the last one of a file.
        for text in testing.documents(50):
            self.assertEqual(
                is_held_out(text, 0.5), is_held_out(f"\n{text}\n", 0.5)
            )

    def test_duplicates_do_not_cross(self):
        texts = testing.documents(60)
        folder = self.create_tempdir().full_path
        stores = prepare(
            [*texts, *texts[::-1], *texts[:7]],
            testing.vocabulary(),
            folder,
            holdout_fraction=0.3,
        )
        found = {split: documents_of(s) for split, s in stores.items()}
        self.assertEmpty(set(found["train"]) & set(found["heldout"]))
        self.assertCountEqual(
            found["train"] + found["heldout"], texts * 2 + texts[:7]
        )


def documents_of(store):
    """Texts of a store's documents."""
    tokens = testing.stream_of(store)
    vocabulary = testing.vocabulary()
    ends = np.flatnonzero(tokens == vocabulary.eos_id) + 1
    return [vocabulary.decode(d) for d in np.split(tokens, ends)[:-1]]


class PrepareTest(parameterized.TestCase):
    TEXTS = 45

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path) / "store"
        testing.vocabulary()  # Trained before any fault is injected.

    def prepare(self, texts=None, folder=None, shard_tokens=500):
        return prepare(
            testing.documents(self.TEXTS) if texts is None else texts,
            testing.vocabulary(),
            folder or self.folder,
            holdout_fraction=0.3,
            # Small batches and shards, so that there are several of each.
            layout=StoreLayout(shard_tokens),
            batch_characters=900,
        )

    def test_all_documents_in_order_each_on_its_side(self):
        stores = self.prepare()
        texts = testing.documents(self.TEXTS)
        for split, held in (("train", False), ("heldout", True)):
            mine = [t for t in texts if is_held_out(t, 0.3) == held]
            self.assertEqual(documents_of(stores[split]), mine)
            self.assertEqual(stores[split].num_documents, len(mine))
        shards = list((self.folder / "train").glob("*.tokens"))
        self.assertGreater(len(shards), 3)

    def test_shard_size_does_not_change_the_stream(self):
        other = self.prepare(folder=self.folder / "x", shard_tokens=10**6)
        for split, store in self.prepare().items():
            np.testing.assert_array_equal(
                testing.stream_of(store), testing.stream_of(other[split])
            )

    def test_a_prepared_store_is_not_read_anew(self):
        self.prepare()

        def texts():
            raise AssertionError("read again")
            yield

        self.assertGreater(self.prepare(texts())["train"].num_tokens, 0)

    def test_a_kill_at_any_rename_leaves_the_same_bytes_after_another_run(self):
        whole = self.folder / "whole"
        self.prepare(folder=whole)
        expected = testing.contents(whole)
        for count in range(1000):
            folder = self.folder / f"killed-{count}"
            killer = KillAfter(count)
            try:
                with mock.patch.object(
                    pathlib.Path, "replace", lambda *a, k=killer: k(*a)
                ):
                    self.prepare(folder=folder)
                break  # There were not so many renames.
            except Killed:
                self.prepare(folder=folder)
            self.assertEqual(
                testing.contents(folder), expected, f"rename {count}"
            )
        self.assertEqual(count, len(expected))

    def test_a_kill_while_reading_or_writing(self):
        self.prepare(folder=self.folder / "whole")
        expected = testing.contents(self.folder / "whole")
        texts = testing.documents(self.TEXTS)

        def killed_at(number):
            yield from texts[:number]
            raise Killed

        for number in range(0, self.TEXTS, 7):
            with self.assertRaises(Killed):
                self.prepare(killed_at(number))  # Each resumes the last one.
            # What a kill inside a write leaves behind.
            (self.folder / "train/.tmp-shard-00000.tokens-abc").write_bytes(
                b"x"
            )
        self.prepare()
        self.assertEqual(
            testing.contents(self.folder),
            expected
            | {f"whole/{name}": data for name, data in expected.items()},
        )

    def test_full_disk_leaves_nothing_half(self):
        def full(*_):
            raise OSError(28, "No space left on device")

        with (
            mock.patch("os.fsync", full),
            self.assertRaises(OSError),
        ):
            self.prepare()
        self.assertEmpty(testing.contents(self.folder))

    @parameterized.named_parameters(
        ("no_document", [], "--dataset: the corpus holds no document"),
        ("one_document", ["a"], "--dataset: no document fell into the"),
    )
    def test_too_few_documents(self, texts, pattern):
        with self.assertRaisesRegex(InputError, pattern):
            self.prepare(texts)


if __name__ == "__main__":
    absltest.main()
