"""The binary of a project: actions, files out and in, bad input."""

import csv
import io
import json
import pathlib
from contextlib import redirect_stdout

import numpy as np
from absl import flags
from absl.testing import absltest, parameterized

from al_tf import project_main
from al_tf.project.project import Project
from runkit import InputError
from runkit.flag_values import define_flags
from tests.support.labeling import project_data


class ProjectMainTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.project = self.folder / "project"
        self.truth = project_data.write_blobs(self.folder / "pool.npz")
        self.dataset = f"npz:{self.folder / 'pool.npz'}"
        own = flags.FlagValues()
        define_flags(project_main.FLAG_TABLE, own)
        own.mark_as_parsed()
        self.flags = own
        self.enter_context(
            absltest.mock.patch.object(project_main, "FLAGS", own)
        )

    def run_action(self, action, **values):
        out = io.StringIO()
        values = {"project": str(self.project), "action": action, **values}
        saved = {name: getattr(self.flags, name) for name in values}
        for name, value in values.items():
            setattr(self.flags, name, value)
        try:
            with redirect_stdout(out):
                project_main.main([""])
        finally:
            for name, value in saved.items():
                setattr(self.flags, name, value)
        return out.getvalue()

    def create(self, **values):
        fields = {"dataset": self.dataset, "test": "0.2", "batch_size": 6}
        return self.run_action(
            "create", **{**fields, "target_cluster_size": 3.0, **values}
        )

    def asked(self, number):
        path = self.project / "to_label" / f"batch-{number:03d}.csv"
        with path.open(newline="") as handle:
            return list(csv.DictReader(handle))

    def test_two_rounds(self):
        self.assertIn("examples: 72", self.create())
        for number in range(2):
            out = self.run_action("next")
            self.assertIn(f"-{number:03d}: 6 examples", out)
            rows = self.asked(number)
            self.assertEqual(bool(rows[0]["suggested_label"]), number > 0)
            for row in rows:
                row["label"] = self.truth[int(row["example_id"])]
            rows[0].update(label="", status="skip")
            rows[1].update(label="", status="unsure")
            rows[2].update(label="")
            path = project_data.write_csv(self.folder / "a.csv", *rows)
            out = self.run_action("labels", labels=str(path), annotator="eve")
            self.assertIn("5 new answers, 0 amended, 0 known", out)
        out = self.run_action("status")
        for line in (
            "labeled examples: 6",
            "skipped: 2",
            "unsure: 2",
            "waiting for an answer: 2",
            "annotators: eve",
        ):
            self.assertIn(line, out)
        page = (self.project / "report.html").read_text()
        self.assertIn("labels before it", page)
        self.run_action("status", target=0.99)
        page = (self.project / "report.html").read_text()
        self.assertIn("needs 4 measured rounds", page)

    def test_changed_labels(self):
        self.create()
        self.run_action("next")
        rows = self.asked(0)
        for row in rows:
            row["label"] = "ant"
        path = project_data.write_csv(self.folder / "a.csv", *rows)
        self.run_action("labels", labels=str(path))
        rows[3]["label"] = "bee"
        project_data.write_csv(path, *rows)
        with self.assertRaisesRegex(InputError, "1 answers differ"):
            self.run_action("labels", labels=str(path))
        out = self.run_action(
            "labels", labels=str(path), accept_changed_labels=True
        )
        self.assertIn("0 new answers, 1 amended, 5 known", out)
        self.run_action("status")
        page = (self.project / "report.html").read_text()
        self.assertIn("Amended answers", page)

    def test_nobody_agrees(self):
        self.create()
        self.run_action("next")
        rows = self.asked(0)
        for who, label in (("eve", "ant"), ("bob", "bee")):
            for row in rows:
                row["label"] = label
            path = project_data.write_csv(self.folder / f"{who}.csv", *rows)
            self.run_action("labels", labels=str(path), annotator=who)
        self.assertIn("agreement: 0.000\n", self.run_action("status"))

    def test_classes_growth_and_probabilities(self):
        self.create(test="0")
        self.assertIn(
            "ant, bee, cat, dog", self.run_action("classes", classes=["dog"])
        )
        project_data.write_blobs(self.folder / "more.npz", 30, seed=1)
        more = f"npz:{self.folder / 'more.npz'}"
        self.assertIn("examples: 120", self.run_action("grow", dataset=more))
        path = self.folder / "p.npz"
        order = np.random.default_rng(0).permutation(120)
        p = np.tile([1.0, 0, 0, 0], (120, 1))
        p[95:] = 0.25
        np.savez(path, id=order, probabilities=p[order])
        self.run_action("next", probabilities=str(path), size=10)
        ids = [int(row["example_id"]) for row in self.asked(0)]
        self.assertLen(ids, 10)
        self.assertGreater(sum(i >= 95 for i in ids), 7)
        np.savez(path, id=order[:100], probabilities=p[order[:100]])
        with self.assertRaisesRegex(InputError, "20 examples have no row: "):
            self.run_action("next", probabilities=str(path))

    def test_start_labels(self):
        self.assertIn("72 new", self.create(start_labels=True))
        self.assertIn("0 new", self.create(start_labels=True))

    def test_tools(self):
        path = self.folder / "pool.jsonl"
        project_data.write_texts(path)
        self.create(
            dataset=f"jsonl:{path}:text:label", id_column="key", test="0"
        )
        for tool, suffix in (
            ("label_studio", ".json"),
            ("argilla", ".json"),
            ("doccano", ".jsonl"),
            ("prodigy", ".jsonl"),
        ):
            out = self.run_action("next", tool=tool)
            written = self.project / "to_label" / f"batch-000.{tool}{suffix}"
            self.assertIn(str(written), out)
            text = written.read_text()
            tasks = (
                json.loads(text)
                if suffix == ".json"
                else [json.loads(line) for line in text.splitlines()]
            )
            self.assertLen(tasks, 6)
        self.assertLen(Project(self.project).state.batches, 1)

    def test_texts_without_an_encoder(self):
        project_data.write_texts(self.folder / "pool.jsonl")
        spec = f"jsonl:{self.folder / 'pool.jsonl'}:text:label"
        out = self.create(dataset=spec)
        self.assertIn("warning: only the first batch can be chosen", out)
        self.assertNotIn("warning", self.run_action("status"))

    def test_texts_with_embeddings_of_ones_own(self):
        path, rows = self.folder / "pool.jsonl", self.folder / "rows.npz"
        labels = project_data.write_texts(path)
        vectors = np.random.default_rng(0).standard_normal((60, 5))
        vectors[:, 0] += 5 * (np.array(labels) == "good")
        order = np.random.default_rng(1).permutation(60)
        names = np.array([f"t0-{i}" for i in order])
        np.savez(rows, id=names, embedding=vectors[order].astype("f"))
        self.create(
            dataset=f"jsonl:{path}:text:label",
            id_column="key",
            embeddings=str(rows),
            start_labels=True,
            test="0.5",
        )
        more = self.folder / "more.jsonl"
        project_data.write_texts(more, 20, seed=1)
        spec = f"jsonl:{more}:text:label"
        with self.assertRaisesRegex(InputError, "has embeddings of its own"):
            self.run_action("grow", dataset=spec)
        tail = self.folder / "tail.npy"
        np.save(tail, vectors[:20].astype("f"))
        self.run_action("grow", dataset=spec, embeddings=str(tail))
        self.run_action("next")
        result = Project(self.project).state.batches[0].result
        # The classes lie far apart, once every row is with its text.
        self.assertGreater(result["accuracy"], 0.9)

    @parameterized.parameters(
        (np.ones((3, 2), "f"), "not one row for each example"),
        (
            np.full((60, 2), np.nan, "f"),
            "NaN or infinite values in [0-9]+ rows",
        ),
        (np.full((60, 2), 1e39), "NaN or infinite values in [0-9]+ rows"),
        (None, "no such file"),
    )
    def test_embeddings_are_read_before_anybody_labels(self, rows, message):
        path, file = self.folder / "pool.jsonl", self.folder / "rows.npy"
        project_data.write_texts(path)
        if rows is not None:
            np.save(file, rows)
        with self.assertRaisesRegex(InputError, message):
            self.create(
                dataset=f"jsonl:{path}:text:label", embeddings=str(file)
            )
        self.assertFalse(self.project.exists())

    @parameterized.parameters((["01", "1"],), (["pos", "pos\u200b"],))
    def test_classes_that_look_the_same_are_refused(self, classes):
        path = self.folder / "pool.jsonl"
        path.write_text('{"text": "a", "label": null}\n')
        with self.assertRaisesRegex(InputError, "--classes: .* the same class"):
            self.create(dataset=f"jsonl:{path}:text:label", classes=classes)

    @parameterized.parameters(
        ({"action": "crate"}, "Did you mean 'create'"),
        ({"action": "labels"}, "--labels: is missing"),
        ({"action": "classes"}, "--classes: is missing"),
        ({"action": "grow"}, "--dataset: is missing"),
        ({"action": "next", "tool": "labelstudio"}, "'label_studio'"),
        ({"action": "labels", "labels": "x", "tool": "doc"}, "'doccano'"),
        ({"action": "labels", "labels": "nowhere.csv"}, "nowhere.csv"),
        ({"project": "nowhere", "action": "status"}, "holds no project"),
        ({"action": "status", "target": 90.0}, "--target: is not an acc"),
        ({"action": "create", "dataset": ""}, "--dataset: is missing"),
    )
    def test_bad_input(self, values, message):
        self.create()
        with self.assertRaisesRegex(InputError, message):
            self.run_action(**values)

    def test_images_of_several_classes_each(self):
        path, more = self.folder / "images.npz", self.folder / "more.npz"
        random = np.random.default_rng(0)
        for place in (path, more):
            np.savez(
                place,
                images=random.integers(0, 255, (40, 6, 6, 3), np.uint8),
                labels=random.integers(0, 2, (40, 3)),
                classes=np.array(["a", "b", "c"]),
            )
        self.create(
            dataset=f"npz:{path}",
            multilabel=True,
            test="0.2",
            start_labels=True,
        )
        project = Project(self.project)
        self.assertLen(project.labels(), 32)
        project.grow(f"npz:{more}")
        self.run_action("next", tool="label_studio")
        path = self.project / "to_label" / "batch-000.label_studio.json"
        tasks = json.loads(path.read_text())
        self.assertLen(tasks, 6)
        self.assertStartsWith(
            tasks[0]["data"]["image"], "data:image/png;base64,"
        )
        config = path.with_suffix(".xml").read_text()
        self.assertIn('toName="image" choice="multiple"', config)
        rows = [
            {"example_id": t["data"]["example_id"], "label": "a|c"}
            for t in tasks
        ]
        answers = project_data.write_csv(self.folder / "a.csv", *rows)
        out = self.run_action("labels", labels=str(answers))
        self.assertIn("6 new answers", out)

    def test_embeddings_cannot_be_shown_in_a_tool(self):
        self.create()
        with self.assertRaisesRegex(InputError, "nothing can be shown"):
            self.run_action("next", tool="label_studio")


if __name__ == "__main__":
    absltest.main()
