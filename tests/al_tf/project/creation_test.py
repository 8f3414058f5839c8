"""Embeddings of a new project: those of its pool and of its test set."""

import pathlib

import numpy as np
from absl.testing import absltest

from al_tf.project.project import Project
from al_tf.project.settings import Settings
from runkit import InputError
from tests.support.labeling import project_data


class EmbeddingsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        for seed, name in enumerate(("pool", "test")):
            project_data.write_texts(
                self.folder / f"{name}.jsonl", 20, seed=seed
            )
        self.ids = [f"t{seed}-{i}" for seed in (0, 1) for i in range(20)]
        self.rows = np.arange(80, dtype=np.float32).reshape(40, 2)
        np.savez(self.folder / "rows.npz", id=self.ids, embedding=self.rows)

    def spec(self, name):
        return f"jsonl:{self.folder / name}.jsonl:text:label"

    def create(self, embeddings, **fields):
        if isinstance(embeddings, np.ndarray):
            np.save(self.folder / "rows.npy", embeddings)
            embeddings = "rows.npy"
        settings = Settings(
            self.spec("pool"),
            embeddings=str(self.folder / embeddings),
            **{"id_column": "key", **fields},
        )
        return Project.create(self.folder / "project", settings)

    def test_rows_in_the_order_of_the_source_are_as_many(self):
        for count in (19, 21):
            with self.assertRaisesRegex(
                InputError, f"got {count}; expected 20 rows"
            ):
                self.create(self.rows[:count])
        project = self.create(self.rows[:20])
        rows, _ = project.clustered(project.state)
        order = [*project.pool.rows, *project.test.rows]
        np.testing.assert_array_equal(rows, self.rows[order])

    def test_a_test_set_of_its_own_is_found_by_its_ids(self):
        project = self.create("rows.npz", test=self.spec("test"))
        rows, _ = project.clustered(project.state)
        np.testing.assert_array_equal(rows, self.rows)

    def test_a_test_set_of_its_own_has_no_row_by_its_place(self):
        for embeddings, fields in (
            (self.rows[:20], {}),
            (self.rows[:20], {"id_column": ""}),
        ):
            with self.assertRaisesRegex(InputError, "those of the test set"):
                self.create(embeddings, test=self.spec("test"), **fields)

    def test_rows_of_the_test_set_are_missing_from_the_start(self):
        np.savez(
            self.folder / "few.npz", id=self.ids[:20], embedding=self.rows[:20]
        )
        with self.assertRaisesRegex(InputError, "20 examples have no row"):
            self.create("few.npz", test=self.spec("test"))

    def test_examples_of_the_pool_do_not_test_it(self):
        lines = (self.folder / "pool.jsonl").read_text().splitlines(True)
        (self.folder / "part.jsonl").write_text("".join(lines[:10]))
        with self.assertRaisesRegex(
            InputError, "10 ids are in the test set too: 't0-0'"
        ):
            self.create("rows.npz", test=self.spec("part"))


if __name__ == "__main__":
    absltest.main()
