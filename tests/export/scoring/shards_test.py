"""Files of texts to files of scores: once each, and letters for the rest."""

import json
import pathlib
from unittest import mock

import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

from al_tf.distributed.engine import LocalEngine
from al_tf.inputs.pool_files import read_pool
from export import score_main
from export.scoring import parallel, shards
from runkit import InputError
from tests.support import testing


def fake_predict(signature, inputs):
    """Margins that tell which text they belong to; fails for "boom"."""
    assert signature == "classify"
    if b"boom" in inputs["text"]:
        raise RuntimeError("the graph refused it")
    numbers = np.array([float(text) for text in inputs["text"]], np.float32)
    return {"embedding": np.stack([numbers, -numbers], 1), "margin": numbers}


class FakeModel:
    """Counts how often it is opened and asked."""

    def __init__(self, predict=fake_predict, name="m"):
        self.predict, self.opened, self.texts, self._name = predict, 0, 0, name

    def __call__(self):
        self.opened += 1

        def predict(signature, inputs):
            self.texts += len(inputs["text"])
            return self.predict(signature, inputs)

        return predict

    def name(self):
        return self._name

    def weights(self):
        return "abc"


class ScoreFilesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.out = self.folder / "scores"
        for i in range(3):
            rows = [10 * i + j for j in range(4)]
            self.write(i, [f"k{r}" for r in rows], [str(r) for r in rows])

    def write(self, number, ids, texts, **columns):
        path = self.folder / "pool" / f"part-{number}.parquet"
        path.parent.mkdir(exist_ok=True)
        table = {"id": ids, "text": texts, **columns}
        parquet.write_table(pa.table(table), path)

    def score(self, model=None, **options):
        spec = f"parquet:{self.folder}/pool/*.parquet:text"
        files = shards.pool_files(spec, "id", "--dataset")
        return parallel.score_files(
            LocalEngine(),
            model or FakeModel(),
            files,
            str(self.out),
            batch_size=3,
            **options,
        )

    def letters(self):
        text = (self.out / "dead_letters.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def test_scores_are_a_pool_in_float16(self):
        model = FakeModel()
        self.assertEqual(self.score(model), (3, 12, 0, 0))
        self.assertEqual(model.opened, 1)
        self.assertEqual(self.letters(), [])
        table = parquet.read_table(self.out / "scores" / "00001.parquet")
        self.assertEqual(table["id"].to_pylist(), ["k10", "k11", "k12", "k13"])
        self.assertEqual(table["margin"].to_pylist(), [10, 11, 12, 13])
        self.assertEqual(
            table.schema.field("embedding").type.value_type, "halffloat"
        )
        pool = read_pool(self.out / "scores")
        self.assertEqual(pool.shape, (12, 2))
        at = pool.ids.tolist().index("k21")
        np.testing.assert_array_equal(pool.take(np.array([at]))[0], [21, -21])

    def test_every_file_once(self):
        """A run that ends in its middle goes on with the files left."""
        stopping = FakeModel()

        def stop(signature, inputs):
            if b"12" in inputs["text"]:
                raise KeyboardInterrupt
            return fake_predict(signature, inputs)

        stopping.predict = stop
        with self.assertRaises(KeyboardInterrupt):
            self.score(stopping)
        first = self.out / "scores" / "00000.parquet"
        written = first.stat().st_mtime_ns
        again = FakeModel()
        self.assertEqual(self.score(again), (3, 12, 0, 1))
        self.assertEqual(again.texts, 8)
        self.assertEqual(first.stat().st_mtime_ns, written)
        # What is damaged is made again.
        (self.out / "scores" / "00002.parquet").write_bytes(b"x")
        third = FakeModel()
        self.assertEqual(self.score(third), (3, 12, 0, 2))
        self.assertEqual(third.texts, 4)

    def test_dead_letters_say_why(self):
        texts = ["1", None, "boom", "nan", "1e6", "7", "8", "9"]
        ids = ["a", "b", "c", "d", "e", None, "g", "h"]
        self.write(1, ids, texts)
        self.assertEqual(self.score(most_dead=0.5), (3, 11, 5, 0))
        found = {(x["row"], x["id"]): x["reason"] for x in self.letters()}
        self.assertEqual(
            sorted(found, key=lambda key: key[0]),
            [(1, "b"), (2, "c"), (3, "d"), (4, "e"), (5, None)],
        )
        for row, reason in (
            ((1, "b"), "holds no text"),
            ((2, "c"), "RuntimeError: the graph refused it"),
            ((3, "d"), "not finite"),
            ((4, "e"), "beyond float16"),
            ((5, None), "is not an id"),
        ):
            self.assertIn(reason, found[row])
        kept = parquet.read_table(self.out / "scores" / "00001.parquet")
        self.assertEqual(kept["id"].to_pylist(), ["a", "g", "h"])

    def test_a_file_without_any_good_row(self):
        self.write(1, ["a", "b"], [None, None])
        self.assertEqual(self.score(most_dead=0.5), (3, 8, 2, 0))
        self.assertEqual(read_pool(self.out / "scores").shape, (8, 2))
        self.assertEqual(self.score(most_dead=0.5), (3, 8, 2, 3))

    def test_too_many_dead_letters(self):
        self.write(1, ["a", "b"], ["nan", "1"])
        with self.assertRaisesRegex(InputError, "too many rows.*1 of 10"):
            self.score()
        # And again: those of the first run count.
        with self.assertRaisesRegex(InputError, "too many rows.*1 of 10"):
            self.score()
        self.assertEqual(self.score(most_dead=0.1), (3, 9, 1, 2))

    def test_a_model_that_answers_nothing_is_no_letter(self):
        def broken(signature, inputs):
            raise ValueError("no such signature")

        model = FakeModel(broken)
        with self.assertRaisesRegex(
            InputError, "score, part 0: failed 2 times: ValueError: no such"
        ):
            self.score(model)
        self.assertFalse((self.out / "done").exists())

    @parameterized.parameters(
        ((["k0", "x"], ["1", "2"]), "1 ids occur more than once: 'k0'.*row 0"),
        ((["x", "x"], ["1", "2"]), "occur more than once: 'x'"),
        (([1, 2], ["1", "2"]), "ids are texts and whole numbers"),
    )
    def test_bad_ids_are_refused_before_work(self, table, message):
        self.write(1, *table)
        model = FakeModel()
        with self.assertRaisesRegex(InputError, message):
            self.score(model)
        self.assertEqual(model.opened, 0)
        self.assertFalse(self.out.exists())

    def test_equal_hashes_are_no_equal_ids(self):
        with mock.patch.object(shards, "_hash", lambda name: 7):
            self.assertEqual(self.score().rows, 12)

    def test_scores_of_others_are_refused(self):
        self.score()
        with self.assertRaisesRegex(InputError, "scores of another model"):
            self.score(FakeModel(name="other"))
        with self.assertRaisesRegex(InputError, "another model"):
            self.score(dtype="float32")
        self.write(1, ["a", "b"], ["1", "2"])
        with self.assertRaisesRegex(InputError, "has changed since"):
            self.score()

    def test_a_file_that_cannot_be_read(self):
        (self.folder / "pool" / "part-1.parquet").write_bytes(b"PAR1 no")
        with self.assertRaisesRegex(InputError, "part-1.*not a Parquet file"):
            self.score()
        self.assertFalse(self.out.exists())


class FlagsTest(parameterized.TestCase):
    def test_the_binary(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        rows = [{"id": i, "text": str(i)} for i in range(5)]
        rows.append({"id": 5, "text": None})
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "pool.jsonl").write_text(text)
        values = {
            "dataset": f"jsonl:{folder}/pool.jsonl:text",
            "id_column": "id",
            "engine": "local",
            "embedding_dtype": "float32",
            "most_dead": 0.5,
            "output_dir": str(folder / "out"),
        }
        for _ in range(2):  # The second finds everything done.
            with (
                testing.main_flags(score_main, **values),
                mock.patch.object(
                    score_main, "asked_model", lambda _: FakeModel()
                ),
            ):
                score_main.main([""])
            pool = read_pool(folder / "out" / "scores")
            self.assertEqual(pool.ids.tolist(), [0, 1, 2, 3, 4])
            self.assertEqual(pool.parts[0].dtype, np.float32)
            page = (folder / "out" / "report.html").read_text()
            self.assertIn("<td>dead</td>", page)

    @parameterized.parameters(
        ({"engine": "local"}, "--id_column: is missing"),
        (
            {"engine": "local", "id_column": "id", "dataset": "docstrings"},
            "is not a table in files",
        ),
        ({"ray_address": "auto"}, "--ray_address: is for --engine=ray only"),
        ({"embedding_dtype": "float16"}, "is for --engine only"),
        ({"engine": "ray", "id_column": "id"}, "exactly one of the two"),
    )
    def test_refused(self, change, message):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "pool.jsonl").write_text('{"id": 1, "text": "a"}\n')
        values = {
            "dataset": f"jsonl:{folder}/pool.jsonl:text",
            "output_dir": str(folder / "out"),
            **change,
        }
        with (
            testing.main_flags(score_main, **values),
            self.assertRaisesRegex(InputError, message),
        ):
            score_main.main([""])
        self.assertFalse((folder / "out").exists())


if __name__ == "__main__":
    absltest.main()
