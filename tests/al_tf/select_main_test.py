"""The selection binary: files in, ids and a page out; bad input refused."""

import csv
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
from absl.testing import absltest, parameterized
from pyarrow import parquet

import al_tf
from al_tf import select_main
from al_tf.selection import batch_files
from runkit import InputError
from runkit.files import lock_directory
from tests.support import isolated, testing


class SelectMainTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        generator = np.random.default_rng(0)
        centers = generator.standard_normal((40, 8))
        self.rows = np.repeat(centers, 5, 0).astype(np.float32)
        self.rows += 0.05 * generator.standard_normal(self.rows.shape, "f")
        self.margins = generator.random(200).astype(np.float32)
        self.labeled = np.arange(0, 200, 4)
        np.save(self.folder / "E.npy", self.rows)
        np.save(self.folder / "M.npy", self.margins)
        lines = "\n".join(map(str, self.labeled))
        (self.folder / "L.txt").write_text(lines + "\n")

    def run_main(self, **change):
        values = {
            "embeddings": str(self.folder / "E.npy"),
            "margins": str(self.folder / "M.npy"),
            "labeled": str(self.folder / "L.txt"),
            "output": str(self.folder / "out" / "ids.csv"),
            "clustering": str(self.folder / "clusters"),
            "batch_size": 12,
            "target_cluster_size": 5.0,
            **change,
        }
        with testing.main_flags(select_main, **values):
            select_main.main(["select_main"])
        return pathlib.Path(values["output"])

    def test_writes_what_the_library_picks(self):
        output = self.run_main()
        with output.open() as handle:
            rows = list(csv.DictReader(handle))
        clusters = al_tf.cluster_embeddings(
            self.rows, target_cluster_size=5
        ).cluster_ids
        expected = al_tf.select_batch(
            self.margins,
            clusters,
            batch_size=12,
            unlabeled=np.setdiff1d(np.arange(200), self.labeled),
        )
        ids = np.array([int(row["example_id"]) for row in rows])
        np.testing.assert_array_equal(ids, expected)
        self.assertEqual([int(r["rank"]) for r in rows], list(range(12)))
        for row, i in zip(rows, ids, strict=True):
            self.assertAlmostEqual(
                float(row["margin"]), self.margins[i], places=5
            )
            self.assertEqual(int(row["cluster_id"]), clusters[i])
            self.assertEqual(
                int(row["cluster_size"]), (clusters == clusters[i]).sum()
            )
        page = output.with_name("ids.report.html").read_text()
        for text in ("Cluster sizes", "clusters covered", "recall", "Settings"):
            self.assertIn(text, page)
        for text in ("None", "<td>[", "<td>{"):
            self.assertNotIn(text, page)

    @parameterized.parameters("ids.report.html", "ids.margins.png")
    def test_files_of_others_stay(self, name):
        foreign = self.folder / "out" / "report.html"
        foreign.parent.mkdir()
        foreign.write_text("mine")
        self.run_main()
        self.run_main()  # Its own files are replaced.
        self.assertEqual(foreign.read_text(), "mine")
        side = foreign.with_name(name)
        side.write_text("mine")
        with self.assertRaisesRegex(InputError, f"{name} is there"):
            self.run_main()
        self.assertEqual(side.read_text(), "mine")
        self.run_main(overwrite=True)
        self.assertNotEqual(side.read_bytes(), b"mine")

    def command(self):
        """The binary in a process of its own."""
        return [
            sys.executable,
            "-m",
            "al_tf.select_main",
            f"--embeddings={self.folder / 'E.npy'}",
            f"--margins={self.folder / 'M.npy'}",
            f"--output={self.folder / 'out' / 'ids.csv'}",
            f"--clustering={self.folder / 'clusters'}",
            "--batch_size=12",
        ]

    def test_a_clustering_in_use_is_refused(self):
        kept = self.folder / "clusters"
        with lock_directory(kept, beside=True):
            done = subprocess.run(
                self.command(), capture_output=True, text=True, check=False
            )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--clustering: is in use by process", done.stderr)
        self.assertFalse((self.folder / "out").exists())
        self.run_main()
        self.assertTrue(kept.is_dir())

    def test_ctrl_c_ends_in_one_line(self):
        process = subprocess.Popen(
            self.command(),
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=isolated.hear_ctrl_c,
        )
        self.addCleanup(process.kill)
        # The work has begun when the clusters are locked.
        while not list(self.folder.glob(".lock-*")):
            self.assertIsNone(process.poll(), "ended before the signal")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        self.assertNotIn("Traceback", said)
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("interrupted by Ctrl-C", said.splitlines()[-1])

    def test_the_second_run_reuses_the_clusters(self):
        first = self.run_main().read_text()
        with absltest.mock.patch.object(
            select_main.build_clustering, "cluster_pool"
        ) as cluster:
            # The size is known from the kept clusters.
            again = self.run_main(target_cluster_size=None).read_text()
            cluster.assert_not_called()
        self.assertEqual(first, again)

    def test_kept_clusters_are_cut_at_a_smaller_threshold(self):
        self.run_main()
        kept = al_tf.load_clustering(self.folder / "clusters")
        at = float(np.median(kept.merge_distances))
        output = self.run_main(target_cluster_size=None, distance_threshold=at)
        clusters = kept.cut(at, self.rows).cluster_ids
        with output.open() as handle:
            for row in csv.DictReader(handle):
                found = clusters[int(row["example_id"])]
                self.assertEqual(int(row["cluster_id"]), found)

    def test_a_folder_with_other_files_is_left_alone(self):
        before = sorted(p.name for p in self.folder.iterdir())
        for place in (self.folder, self.folder / "E.npy", self.folder / "M"):
            (self.folder / "M" / "neighbors").mkdir(parents=True, exist_ok=True)
            (self.folder / "M" / "neighbors" / "mine").touch()
            with self.assertRaisesRegex(
                InputError, "other files|not a directory"
            ):
                self.run_main(clustering=str(place))
        after = sorted(p.name for p in self.folder.iterdir())
        self.assertEqual([*before, "M"], sorted(after, key=lambda n: n == "M"))
        self.assertTrue((self.folder / "M" / "neighbors" / "mine").exists())

    def test_leftovers_of_a_kill_are_removed(self):
        for name in (".tmp-clusters-0123", "clusters/.tmp-neighbors-0123"):
            (self.folder / name).mkdir(parents=True)
        other = self.folder / ".tmp-other-0123"
        other.mkdir()
        self.run_main()
        left = [p.name for p in self.folder.rglob(".tmp-*")]
        self.assertEqual(left, [other.name])

    @parameterized.product(
        separator=(",", ";", "\t"),
        encoding=("utf-8", "utf-8-sig", "utf-16"),
        form=("{}", '"{}"'),
    )
    def test_a_batch_that_a_spreadsheet_saved(self, separator, encoding, form):
        lines = [("rank", "example_id", "margin"), (0, 7, "0,5"), (1, 3, "0.1")]
        text = "\r\n".join(
            separator.join(
                f'"{cell}"' if "," in str(cell) else form.format(cell)
                for cell in line
            )
            for line in lines
        )
        path = self.folder / "batch.csv"
        path.write_bytes(text.encode(encoding))
        self.assertEqual(batch_files.read_ids(str(path)).tolist(), [7, 3])

    @parameterized.parameters(
        ("ids.txt", "7 3\n\n 5\n"),
        ("ids", "\ufeff7\r\n3\r\n5"),
        ("ids.csv", "example_id\n7\n3\n5\n"),
        (
            "ids.jsonl",
            '{"example_id": 7}\n{"example_id": "3"}\n{"example_id": 5.0}\n',
        ),
        ("ids.tsv", "rank\texample_id\n0\t7\n1\t3\n2\t5\n"),
    )
    def test_lists_of_ids(self, name, text):
        path = self.folder / name
        path.write_text(text)
        self.assertEqual(batch_files.read_ids(str(path)).tolist(), [7, 3, 5])

    @parameterized.parameters(
        ("a.csv", "rank,margin\n0,1\n", "expected .* column example_id"),
        ("a.txt", "1,2,3\n", "not a list of example ids"),
        ("a.csv", "example_id\n1.5\n", "record 1: not a list"),
        ("a.txt", "1\n9999999999999999999999\n", "line 2: not a list"),
        ("a.txt", "\x00\x00\x00", "not a list"),
        ("a.txt", '"1\n2\n', "never closed"),
        ("a.parquet", "PAR1", "not a list of example ids"),
    )
    def test_bad_ids(self, name, text, message):
        path = self.folder / name
        path.write_text(text)
        with self.assertRaisesRegex(InputError, message):
            batch_files.read_ids(str(path))

    def test_an_earlier_batch_names_the_labeled(self):
        batches = []
        for suffix in (".csv", ".parquet"):
            first = self.run_main(
                output=str(self.folder / f"one{suffix}"), labeled=""
            )
            second = self.run_main(
                output=str(self.folder / "two.npy"), labeled=str(first)
            )
            batches.append(np.load(second))
        np.testing.assert_array_equal(batches[0], batches[1])
        with (self.folder / "one.csv").open() as handle:
            seen = [int(row["example_id"]) for row in csv.DictReader(handle)]
        self.assertEmpty({*seen} & {*batches[0].tolist()})

    def test_says_what_it_chose_and_measured(self):
        with self.assertLogs("absl", "INFO") as logs:
            self.run_main()
        text = "\n".join(logs.output)
        for part in ("neighbor index: exact", "margin_batch_size=", "recall"):
            self.assertIn(part, text)

    def test_parquet_and_npy(self):
        ids = np.load(self.run_main(output=str(self.folder / "a.npy")))
        table = parquet.read_table(
            self.run_main(output=str(self.folder / "a.parquet"))
        )
        self.assertEqual(table["example_id"].to_pylist(), ids.tolist())
        np.save(self.folder / "L.npy", self.labeled)
        same = self.run_main(
            output=str(self.folder / "b.npy"),
            labeled=str(self.folder / "L.npy"),
        )
        np.testing.assert_array_equal(np.load(same), ids)

    @parameterized.named_parameters(
        ("format", {"output": "ids.txt"}, "unknown format"),
        ("missing", {"embeddings": "none.npy"}, "no such file"),
        ("required", {"margins": None}, "--margins: is missing"),
        ("exhausted", {"batch_size": 151}, "only 150 unlabeled"),
        ("no_labels", {"labeled": "none.txt"}, "no such file"),
        ("margin_batch", {"margin_batch_size": 11}, "margin_batch_size"),
        ("labels_folder", {"labeled": "."}, "not a list of example ids"),
        (
            "output_in_file",
            {"output": f"{__file__}/ids.csv"},
            "not a directory",
        ),
        (
            "clusters_in_file",
            {"clustering": f"{__file__}/c"},
            "not a directory",
        ),
    )
    def test_bad_flags(self, change, message):
        with self.assertRaisesRegex(InputError, message):
            self.run_main(**change)
        self.assertFalse((self.folder / "clusters").exists())

    def test_bad_files_are_refused_before_the_long_work(self):
        np.save(self.folder / "M.npy", self.margins[:-1])
        with self.assertRaisesRegex(InputError, "one margin for each"):
            self.run_main()
        np.save(self.folder / "M.npy", self.margins + 1)
        with self.assertRaisesRegex(InputError, r"outside \[0, 1\]"):
            self.run_main()
        np.save(self.folder / "M.npy", self.margins)
        for text, message in (
            ("3\n3\n", "twice"),
            ("200\n", "out of range"),
            ("a\n", "not a list of example ids"),
            (f"{2**70}\n", "not a list of example ids"),
        ):
            (self.folder / "L.txt").write_text(text)
            with self.assertRaisesRegex(InputError, message):
                self.run_main()
        self.assertFalse((self.folder / "clusters").exists())

    def test_clusters_of_another_pool_or_setting_are_refused(self):
        self.run_main()
        for change, message in (
            ({"distance_threshold": 0.5}, "a smaller distance threshold"),
            ({"target_cluster_size": 7.0}, "another mean cluster size"),
            ({"metric": "sqeuclidean"}, "another metric"),
            ({"num_neighbors": 4}, "another number of neighbors"),
            ({"exact": "false"}, r"another kind of index .* got True"),
        ):
            values = {"target_cluster_size": None, **change}
            with self.assertRaisesRegex(InputError, message):
                self.run_main(**values)
        self.run_main(exact="true", num_neighbors=16)
        np.save(self.folder / "E.npy", self.rows * 2)
        with self.assertRaisesRegex(InputError, "checksums differ"):
            self.run_main()

    def test_exit_code_of_bad_input(self):
        done = subprocess.run(
            [sys.executable, "-m", "al_tf.select_main", "--batch_size=3"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 2)
        self.assertIn("--embeddings: is missing", done.stderr)


class ImportTest(absltest.TestCase):
    def test_importing_al_tf_imports_neither_tensorflow_nor_spactor(self):
        code = (
            "import sys, al_tf, al_tf.select_main\n"
            "bad = {'tensorflow', 'spactor_tf', 'scann', 'keras'}\n"
            "sys.exit(str(bad & set(sys.modules)) * bool(bad & "
            "set(sys.modules)) or 0)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    absltest.main()
