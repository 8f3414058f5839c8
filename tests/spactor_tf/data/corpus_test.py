"""A corpus is prepared once, and what is wrong with it is told."""

import json
import os
import pathlib
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.data.corpus import prepare_corpus
from spactor_tf.data.sources import Source
from spactor_tf.data.tokens.preparation import is_held_out
from spactor_tf.data.tokens.store import FIRST_LAYOUT, LAYOUT
from tests.support import testing


class CorpusTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        self.vocabulary = self.folder / "v.model"
        testing.vocabulary().save(self.vocabulary)

    def config(self, dataset, **fields):
        return testing.tiny_config(**{"data.dataset": dataset, **fields})

    def test_vocabulary_and_stores_are_made_once(self):
        config = self.config(testing.write_corpus(self.folder))
        first = prepare_corpus(config, self.cache)
        files = testing.contents(self.cache)
        again = prepare_corpus(config, self.cache)
        self.assertEqual(testing.contents(self.cache), files)
        self.assertEqual(
            again.vocabulary.fingerprint, first.vocabulary.fingerprint
        )
        np.testing.assert_array_equal(
            testing.stream_of(again.train), testing.stream_of(first.train)
        )

    def test_vocabulary_is_not_trained_on_held_out_text(self):
        # Only held-out documents hold a "Q".
        texts = [
            text.replace("k", "Q") if is_held_out(text, 0.2) else text
            for text in testing.documents()
        ]
        texts = [t for t in texts if ("Q" in t) == is_held_out(t, 0.2)]
        path = self.folder / "q.txt"
        path.write_text("\n\n".join(texts), encoding="utf-8")
        corpus = prepare_corpus(
            self.config(f"text:{path}:blank_lines"), self.cache
        )
        pieces = corpus.vocabulary.pieces(range(testing.ROWS - 128))
        self.assertFalse(any("Q" in piece for piece in pieces))

    @parameterized.parameters("train", "given")
    def test_empty_corpus(self, kind):
        path = self.folder / "empty.txt"
        path.write_text("\n\n  \n", encoding="utf-8")
        name = "train" if kind == "train" else str(self.vocabulary)
        config = self.config(f"text:{path}", **{"data.vocabulary": name})
        message = "--dataset, text:.*empty.txt: the corpus holds"
        with self.assertRaisesRegex(InputError, message):
            prepare_corpus(config, self.cache)

    @parameterized.parameters("train", "given")
    def test_invalid_utf8_is_refused_before_anything_else_is_said(self, kind):
        path = self.folder / "bad.txt"
        path.write_bytes(b"good\n\nbad \xff\n\nmore")
        name = "train" if kind == "train" else str(self.vocabulary)
        config = self.config(
            f"text:{path}:blank_lines",
            **{"data.vocabulary": name, "data.invalid_utf8": "refuse"},
        )
        with self.assertRaisesRegex(InputError, "bad.txt, text 2: is not UTF"):
            prepare_corpus(config, self.cache)

    def test_skipped_documents_are_told_with_file_and_count(self):
        dataset = testing.write_corpus(self.folder)
        path = self.folder / "corpus.txt"
        path.write_bytes(path.read_bytes() + b"\n\n\xff\n\n\xfe")
        config = self.config(
            dataset, **{"data.vocabulary": str(self.vocabulary)}
        )
        with mock.patch("sys.stderr") as stderr:
            prepare_corpus(config, self.cache)
        told = "".join(call.args[0] for call in stderr.write.call_args_list)
        self.assertRegex(told, r"corpus.txt: skipped 2 document\(s\)")
        self.assertRegex(told, "corpus: 1 files of .* held out; skipped: 2 not")
        # The same is told from the cache.
        with mock.patch("sys.stderr") as stderr:
            corpus = prepare_corpus(config, self.cache)
        again = "".join(call.args[0] for call in stderr.write.call_args_list)
        self.assertEqual(again.splitlines()[-2:], told.splitlines()[-2:])
        reading = corpus.reading
        self.assertEqual(reading["bytes"], path.stat().st_size)
        self.assertEqual(reading["skipped"]["not UTF-8"], 2)
        self.assertEqual(sum(reading["kept"].values()), reading["documents"])
        self.assertEqual(
            reading["by_file"][str(path)]["documents"], reading["documents"]
        )

    def test_too_little_text_is_described(self):
        path = self.folder / "one.txt"
        for content, message in (
            (
                "one paragraph " * 9,
                "one.txt: .*1 files of 126 bytes, 1 documents",
            ),
            (b"caf\xe9", "0 documents.*1 not UTF-8"),
        ):
            is_text = isinstance(content, str)
            path.write_bytes(content.encode() if is_text else content)
            for name in ("train", str(self.vocabulary)):
                config = self.config(
                    f"text:{path}",
                    **{"data.vocabulary": name, "data.holdout_fraction": 0.99},
                )
                with self.assertRaisesRegex(InputError, message):
                    prepare_corpus(config, self.cache)

    def test_a_mixture_is_checked_before_its_first_part_is_tokenized(self):
        first = testing.write_corpus(self.folder)
        path = self.folder / "last.txt"
        config = self.config(
            f"{first}@0.5,text:{path}@0.5",
            **{"data.vocabulary": str(self.vocabulary)},
        )
        for content, message in (
            (" ", "last.txt: .*holds no document; got .1 files of 1 bytes"),
            (
                "some text " * 9,
                "last.txt: no document fell into the train part",
            ),
        ):
            path.write_text(content, encoding="utf-8")
            with self.assertRaisesRegex(InputError, message):
                prepare_corpus(config, self.cache)
            self.assertEmpty(list(self.cache.glob("tokens-*")))

    def test_a_corpus_that_changes_while_it_is_read(self):
        config = self.config(
            testing.write_corpus(self.folder),
            **{"data.vocabulary": str(self.vocabulary)},
        )
        path = self.folder / "corpus.txt"
        texts = Source.__iter__

        def written_meanwhile(source):
            with path.open("a", encoding="utf-8") as file:
                file.write("\nand more")
            return texts(source)

        with (
            mock.patch.object(Source, "__iter__", written_meanwhile),
            self.assertRaisesRegex(InputError, "while it was read"),
        ):
            prepare_corpus(config, self.cache)
        self.assertEmpty(list(self.cache.rglob("index.json")))
        prepare_corpus(config, self.cache)

    def test_a_run_keeps_the_layout_of_its_stores(self):
        config = self.config(
            testing.write_corpus(self.folder),
            **{"data.vocabulary": str(self.vocabulary)},
        )
        run = self.folder / "run"
        new = prepare_corpus(config, self.cache, run_folder=run)
        self.assertEqual(new.layout, LAYOUT)
        # A run of a version that recorded none.
        run.mkdir()
        (run / "config.json").write_text("{}", encoding="utf-8")
        old = prepare_corpus(config, self.cache, run_folder=run)
        self.assertEqual(old.layout, FIRST_LAYOUT)
        np.testing.assert_array_equal(
            testing.stream_of(old.train), testing.stream_of(new.train)
        )
        for corpus in (new, old):
            corpus.record(run)
            again = prepare_corpus(config, self.cache, run_folder=run)
            self.assertEqual(again.layout, corpus.layout)

    def test_a_run_knows_its_corpus(self):
        dataset = testing.write_corpus(self.folder)
        config = self.config(
            dataset, **{"data.vocabulary": str(self.vocabulary)}
        )
        run = self.folder / "run"

        def prepare(**options):
            return prepare_corpus(config, self.cache, run_folder=run, **options)

        prepare().record(run)
        before = json.loads((run / "corpus.json").read_text("utf-8"))
        prepare()
        path = self.folder / "corpus.txt"
        os.utime(path, (1, 1))
        prepare()  # The same bytes at another time.
        path.write_bytes(path.read_bytes().replace(b"a", b"e"))
        with self.assertRaisesRegex(
            InputError, "corpus.txt was changed.*--accept_changed_corpus"
        ):
            prepare()
        changed = prepare(accept_changed=True)
        self.assertNotEqual(changed.content, before["content"])
        changed.record(run)
        prepare()

    def test_a_run_keeps_its_vocabulary(self):
        dataset = testing.write_corpus(self.folder)
        config = self.config(dataset)
        run = self.folder / "run"
        first = prepare_corpus(config, self.cache, run_folder=run)
        first.record(run)
        path = self.folder / "corpus.txt"
        path.write_bytes(path.read_bytes().replace(b"a", b"e"))
        second = prepare_corpus(
            config, self.cache, run_folder=run, accept_changed=True
        )
        self.assertEqual(
            second.vocabulary.fingerprint, first.vocabulary.fingerprint
        )

    def test_vocabulary_larger_than_the_embedding(self):
        config = self.config(
            testing.write_corpus(self.folder),
            **{
                "data.vocabulary": str(self.vocabulary),
                "model.vocabulary_size": 256,
            },
        )
        with self.assertRaisesRegex(
            InputError, "got 256; expected at least 485.*--set=model"
        ):
            prepare_corpus(config, self.cache)


if __name__ == "__main__":
    absltest.main()
