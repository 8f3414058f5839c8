"""There and back with a real Label Studio server: files, API and backend."""

import collections
import json
import pathlib
import threading
import time
import unittest

import numpy as np
import pytest
from absl.testing import absltest
from werkzeug.serving import make_server

from al_tf.label_tools.ml_backend import Backend
from al_tf.project import outside
from al_tf.project.predictor import Predictor
from al_tf.project.project import Project
from al_tf.project.settings import Settings
from tests.support.labeling import label_studio, project_data


def annotation(name, control="label"):
    return {
        "from_name": control,
        "to_name": "text",
        "type": "choices",
        "value": {"choices": [name]},
    }


@pytest.mark.slow
@unittest.skipUnless(
    label_studio.PROGRAM,
    "no Label Studio: LABEL_STUDIO names its program, of a venv of its own",
)
class LabelStudioTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.server = self.enter_context(
            label_studio.serve(self.folder / "server")
        )
        path = self.folder / "pool.jsonl"
        labels = project_data.write_texts(path, 300)
        self.truth = {f"t0-{i}": label for i, label in enumerate(labels)}
        rows = np.random.default_rng(0).standard_normal((300, 6))
        rows[:, 0] += 3 * (np.array(labels) == "good")
        np.save(self.folder / "rows.npy", rows.astype("f"))
        settings = Settings(
            f"jsonl:{path}:text:label",
            id_column="key",
            test="0.2",
            embeddings=str(self.folder / "rows.npy"),
            batch_size=100,
        )
        self.project = Project.create(self.folder / "project", settings)
        known = self.project.pool.named[:12].tolist()
        old = [{"key": i, "label": self.truth[i]} for i in known]
        path = project_data.write_csv(self.folder / "old.csv", *old)
        self.project.take_file(path, any_example=True)

    def send(self, batch):
        """Imports a batch into a new project; returns it and its tasks."""
        tasks, config = outside.write_batch(self.project, batch, "label_studio")
        number = self.server.call(
            "POST",
            "/api/projects/",
            {"title": batch.name, "label_config": config.read_text()},
        )["id"]
        answer = self.server.call(
            "POST",
            f"/api/projects/{number}/import",
            json.loads(tasks.read_text()),
        )
        self.assertEqual(answer["task_count"], 100)
        return number, self.tasks(number)

    def tasks(self, number, order="id"):
        answer = self.server.call(
            "GET",
            f"/api/tasks/?project={number}&page_size=200&fields=all"
            f"&ordering={order}",
        )
        return answer["tasks"]

    def label(self, task, **fields):
        name = task["data"]["example_id"]
        result = [annotation(self.truth[name])]
        body = {"result": result, "lead_time": 1.0, **fields}
        number = task["id"]
        self.server.call("POST", f"/api/tasks/{number}/annotations/", body)

    def export(self, number, kind, suffix):
        path = self.folder / f"export-{kind}{suffix}"
        found = self.server.call(
            "GET",
            f"/api/projects/{number}/export?exportType={kind}"
            "&download_all_tasks=true",
        )
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        path.write_bytes(data)
        return path

    def test_there_and_back(self):
        batch = self.project.next_batch()
        self.assertEqual(batch.strategy, "cluster_margin")
        number, tasks = self.send(batch)
        self.assertCountEqual(
            [task["data"]["example_id"] for task in tasks], batch.ids
        )
        # Its order by score is the order of the choice.
        ordered = self.tasks(number, "predictions_score")
        self.assertEqual(
            [task["data"]["example_id"] for task in ordered], batch.ids
        )
        for task in tasks[:90]:
            self.label(task)
        for task in tasks[90:95]:
            self.label(task, was_cancelled=True, result=[])
        for task in tasks[95:]:
            self.label(task, result=[annotation("unsure", "status")])
        for kind, suffix in (
            ("JSON_MIN", ".json"),
            ("CSV", ".csv"),
            ("JSON", ".json"),
        ):
            taken = self.project.take_file(self.export(number, kind, suffix))
            print(kind, taken)
            self.assertEqual(taken.amended, 0)
        counts = self.project.state.counts()
        self.assertEqual(counts, {"label": 102, "skip": 5, "unsure": 5})
        for name in batch.ids:
            if name in self.project.labels():
                label = self.project.labels()[name]
                self.assertEqual(label, (self.truth[name],))
        self.assertEmpty(self.project.state.open_examples())
        after = self.project.next_batch()
        self.assertEmpty({*after.ids} & {*batch.ids})
        self.assertEqual(after.result["labels"], 102)
        self.check_backend(after)

    def check_backend(self, batch):
        """Label Studio asks the backend, and tells it of an annotation."""
        predictor = Predictor(self.project)
        backend = Backend(
            predictor.predict,
            predictor.take,
            lambda: self.project.state.classes,
            "text",
            multilabel=False,
        )
        server = make_server("127.0.0.1", 0, backend, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"
        number, tasks = self.send(batch)
        connected = self.server.call(
            "POST", "/api/ml", {"project": number, "url": url, "title": "al"}
        )
        self.assertEqual(connected["state"], "CO")
        self.server.call(
            "POST",
            f"/api/dm/actions?id=retrieve_tasks_predictions&project={number}",
            {"selectedItems": {"all": True, "excluded": []}},
        )
        predictions = [
            p
            for task in self.tasks(number)
            for p in self.server.call(
                "GET", f"/api/predictions?task={task['id']}"
            )
        ]
        # Those that came with the tasks, and as many of the backend.
        versions = collections.Counter(p["model_version"] for p in predictions)
        self.assertEqual(versions, {batch.name: 100, "al_tf": 100})
        self.server.call(
            "POST",
            "/api/webhooks/",
            {
                "project": number,
                "url": f"{url}/webhook",
                "send_payload": True,
                "send_for_all_actions": True,
                "is_active": True,
            },
        )
        name = tasks[0]["data"]["example_id"]
        self.label(tasks[0])
        for _ in range(300):
            if name in self.project.labels():
                break
            time.sleep(0.1)
        self.assertEqual(self.project.labels()[name], (self.truth[name],))


if __name__ == "__main__":
    absltest.main()
