"""The binary over shards: what `select_main` picks, and what it refuses."""

import csv
import json
import pathlib

import numpy as np
import pyarrow as pa
from absl.testing import absltest, parameterized
from pyarrow import parquet

from al_tf import select_main, select_shards_main
from runkit import InputError
from tests.support import testing


class SelectShardsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.random = np.random.default_rng(0)
        centers = self.random.standard_normal((200, 6))
        rows = np.repeat(centers, 6, 0)
        self.rows = rows + 0.05 * self.random.standard_normal(rows.shape)
        self.rows = self.rows.astype(np.float32)
        self.margins = self.random.random(1200).astype(np.float32)
        self.write_pool("pool", 5)
        self.write(
            "margins/m.parquet", {"id": range(1200), "margin": self.margins}
        )

    def write(self, name, columns):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        parquet.write_table(pa.table(columns), path)

    def write_pool(self, name, shards, **change):
        order = self.random.permutation(1200)
        for i, at in enumerate(np.array_split(order, shards)):
            columns = {"id": at, "embedding": list(self.rows[at])}
            if i == 2:
                columns |= {key: f(at) for key, f in change.items()}
            self.write(f"{name}/part-{i}.parquet", columns)

    def run_main(self, module=select_shards_main, name="out", **change):
        values = {
            "embeddings": str(self.folder / "pool"),
            "margins": str(self.folder / "margins"),
            "output": str(self.folder / f"{name}.csv"),
            "batch_size": 40,
            "target_cluster_size": 6.0,
            **change,
        }
        with testing.main_flags(module, **values):
            module.main([""])
        with pathlib.Path(values["output"]).open(newline="") as handle:
            return list(csv.DictReader(handle))

    def test_the_batch_of_one_machine(self):
        expected = self.run_main(select_main, "one", exact="true")
        found = self.run_main(num_parts=3, finish_rows=0)
        self.assertEqual(found, expected)
        self.assertLen(found, 40)
        facts = json.loads((self.folder / "out.stages.json").read_text())
        self.assertEqual(facts["examples"], 1200)
        self.assertGreater(facts["rounds"], 0)
        self.assertGreater(facts["stages"]["search"]["message_bytes"], 0)
        page = (self.folder / "out.report.html").read_text()
        self.assertIn("Cluster-Margin in parts", page)
        self.assertTrue((self.folder / "out.stages.png").exists())
        (self.folder / "out.report.html").write_text("mine")
        with self.assertRaisesRegex(InputError, "no selection wrote it"):
            self.run_main(num_parts=3)
        self.run_main(num_parts=3, overwrite=True)

    def test_goes_on_from_the_state(self):
        state = str(self.folder / "state")
        first = self.run_main(state=state, num_parts=3, finish_rows=0)
        # Nothing is left to search or to merge.
        again = self.run_main(
            name="again", state=state, num_parts=3, finish_rows=0
        )
        self.assertEqual(again, first)
        facts = json.loads((self.folder / "again.stages.json").read_text())
        self.assertNotIn("copies", facts["stages"])
        for change in (
            {"target_cluster_size": 5.0},
            {"metric": "sqeuclidean"},
            {"num_neighbors": 7},
            {"exact": "false"},
        ):
            with self.assertRaisesRegex(InputError, "another options"):
                self.run_main(state=state, num_parts=3, **change)
        with self.assertRaisesRegex(InputError, "another parts"):
            self.run_main(state=state, num_parts=2)
        self.rows[0, 0] += 1
        self.write_pool("pool", 5)
        with self.assertRaisesRegex(InputError, "another pool"):
            self.run_main(state=state, num_parts=3)

    @parameterized.parameters(
        (
            {"embedding": lambda at: list(np.zeros((len(at), 5), np.float32))},
            "part-2.*different dimension; got 5",
        ),
        (
            {"embedding": lambda at: list(np.ones((len(at), 6)))},
            "part-2.*different type; got 'float64'",
        ),
        ({"id": lambda at: at % 7}, "ids occur more than once"),
        (
            {"embedding": lambda at: list(np.zeros((len(at), 6), np.float32))},
            "zero rows have no cosine distance",
        ),
        (
            {"embedding": lambda at: list(np.full((len(at), 6), np.nan, "f4"))},
            "NaN or infinite values",
        ),
    )
    def test_bad_shards(self, change, message):
        self.write_pool("bad", 5, **change)
        with self.assertRaisesRegex(InputError, f"(?s){message}"):
            self.run_main(embeddings=str(self.folder / "bad"))
        self.assertEmpty([*self.folder.glob("out*")])

    @parameterized.parameters(
        ({"part_gigabytes": 1e-6}, "do not fit into the memory"),
        ({"ray_address": "auto"}, "is for --engine=ray only"),
        (
            {"engine": "ray", "ray_address": "127.0.0.1:1"},
            "Ray is not installed|nobody answers there",
        ),
        ({"state": "{folder}/pool"}, "holds other files than the state"),
        ({"batch_size": 1201}, "only 1200 unlabeled"),
        ({"margin_batch_size": 3}, "between batch size"),
    )
    def test_bad_flags(self, change, message):
        for name, value in change.items():
            if isinstance(value, str):
                change[name] = value.format(folder=self.folder)
        with self.assertRaisesRegex(InputError, message):
            self.run_main(**change)
        self.assertEmpty([*self.folder.glob("out*")])


if __name__ == "__main__":
    absltest.main()
