"""The backend of Label Studio: protocol, order, bad requests."""

import pathlib

import numpy as np
from absl.testing import absltest, parameterized
from werkzeug.test import Client

from al_tf.label_tools.ml_backend import Backend
from al_tf.label_tools.tasks import label_config
from al_tf.project.predictor import Predictor
from al_tf.project.project import Project
from al_tf.project.settings import Settings
from runkit import InputError
from tests.support.labeling import project_data

CONFIG = label_config(["bad", "good"], "text", multilabel=False)


class BackendTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        path = self.folder / "pool.jsonl"
        self.truth = project_data.write_texts(path)
        rows = np.random.default_rng(0).standard_normal((60, 3))
        rows[:, 0] += 4 * (np.array(self.truth) == "good")
        np.save(self.folder / "rows.npy", rows.astype("f"))
        settings = Settings(
            f"jsonl:{path}:text:label",
            id_column="key",
            test="0",
            embeddings=str(self.folder / "rows.npy"),
            batch_size=10,
        )
        self.project = Project.create(self.folder / "project", settings)
        self.client = self.backend()

    def backend(self, served=None):
        predictor = Predictor(self.project, served)
        return Client(
            Backend(
                predictor.predict,
                predictor.take,
                lambda: self.project.state.classes,
                "text",
                multilabel=False,
            )
        )

    def post(self, path, body, code=200, client=None):
        answer = (client or self.client).post(path, json=body)
        self.assertEqual(answer.status_code, code, answer.text)
        return answer.json

    def tasks(self, ids):
        return [
            {"id": n, "data": {"text": "x", "example_id": i}}
            for n, i in enumerate(ids)
        ]

    def event(self, example, choice, action="ANNOTATION_CREATED"):
        result = [
            {
                "from_name": "label",
                "to_name": "text",
                "type": "choices",
                "value": {"choices": [choice]},
            }
        ]
        return {
            "action": action,
            "task": {"id": 3, "data": {"text": "x", "example_id": example}},
            "annotation": {"id": 9, "result": result, "completed_by": 4},
        }


class ProtocolTest(BackendTestCase):
    def test_health(self):
        for path in ("/", "/health", "/health/"):
            self.assertEqual(self.client.get(path).json["status"], "UP")

    def test_labels_come_in_and_suggestions_go_out(self):
        batch = self.project.next_batch()
        nothing = self.post("/predict", {"tasks": self.tasks(batch.ids)})
        self.assertEqual([r["result"] for r in nothing["results"]], [[]] * 10)
        truth = dict(
            zip(self.project.pool.named.tolist(), self.truth, strict=True)
        )
        for name in batch.ids:
            answer = self.post("/webhook", self.event(name, truth[name]))
            self.assertEqual(answer["taken"], 1)
        self.assertLen(self.project.labels(), 10)
        batch = self.project.next_batch()
        ids = [*reversed(batch.ids), "t0-999"]
        found = self.post("/predict", {"tasks": self.tasks(ids)})["results"]
        self.assertLen(found, 11)
        right = [
            r["result"][0]["value"]["choices"] == [truth[i]]
            for r, i in zip(found, ids[:10], strict=False)
        ]
        self.assertGreaterEqual(np.mean(right), 0.5)
        # Sorted by score: the order of the choice, then strangers.
        order = np.argsort([r["score"] for r in found])
        self.assertEqual([ids[i] for i in order], [*batch.ids, "t0-999"])
        self.assertEqual(found[-1]["result"], [])

    def test_tasks_outside_the_batch_by_their_margin(self):
        self.project.take_pool_labels()
        names = self.project.pool.named.tolist()
        found = self.post("/predict", {"tasks": self.tasks(names)})["results"]
        p = np.sort(self.project.probabilities(), 1)
        self.assertEqual(
            np.argsort([r["score"] for r in found], kind="stable").tolist(),
            np.argsort(p[:, 1] - p[:, 0], kind="stable").tolist(),
        )

    def test_a_served_model(self):
        def served(texts):
            return [(["good"], 0.75, 0.5) for _ in texts]

        client = self.backend(served)
        (found,) = self.post(
            "/predict", {"tasks": self.tasks(["?"])}, client=client
        )["results"]
        self.assertEqual(found["score"], 0.75)
        (result,) = found["result"]
        self.assertEqual(result["value"], {"choices": ["good"]})
        self.assertEqual(
            (result["from_name"], result["to_name"], result["type"]),
            ("label", "text", "choices"),
        )

    def test_changed_annotations_are_amendments(self):
        name = self.project.next_batch().ids[0]
        self.post("/webhook", self.event(name, "bad"))
        self.post("/webhook", self.event(name, "good"), 400)
        changed = self.event(name, "good", "ANNOTATION_UPDATED")
        self.post("/webhook", changed)
        self.assertEqual(self.project.labels(), {name: ("good",)})
        self.assertLen(self.project.state.amendments, 1)

    def test_other_events_are_passed_over(self):
        answer = self.post("/webhook", {"action": "TASKS_CREATED"})
        self.assertEqual(answer["taken"], 0)
        self.assertEmpty(self.project.state.answers)


class BadRequestTest(BackendTestCase):
    def test_setup(self):
        self.post("/setup", {"project": "1", "schema": CONFIG})
        self.post("/setup", {"project": "1"})

    @parameterized.parameters(
        (CONFIG.replace('"bad"', '"ugly"'), "other choices"),
        (CONFIG.replace('name="label"', 'name="tone"'), "no <Choices"),
        (CONFIG.replace('"single"', '"multiple"', 1), "another kind"),
        (CONFIG.replace('toName="text"', 'toName="image"', 1), "another kind"),
        ("<View>", "is not XML"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>" + CONFIG, "entities"),
    )
    def test_another_configuration(self, schema, message):
        answer = self.post("/setup", {"schema": schema}, 400)
        self.assertRegex(answer["error"], message)

    @parameterized.parameters(
        ("/predict", {}, 400, "tasks: is not a list"),
        ("/predict", {"tasks": [7]}, 400, "task 0: has no data"),
        ("/predict", [], 400, "is not an object"),
        ("/webhook", {"action": "ANNOTATION_CREATED"}, 400, "task's data"),
        ("/nowhere", {}, 404, "not found"),
        ("/health", {}, 405, "not allowed"),
    )
    def test_requests(self, path, body, code, message):
        answer = self.post(path, body, code)
        self.assertRegex(answer["error"], message)

    def test_no_json(self):
        answer = self.client.post("/predict", data=b"\xff{")
        self.assertEqual(answer.status_code, 400)
        self.assertIn("error", answer.json)

    def test_webhook_of_another_project(self):
        self.project.next_batch()
        answer = self.post("/webhook", self.event("z9", "bad"), 400)
        self.assertRegex(answer["error"], "not asked for: z9")
        name = self.project.next_batch().ids[0]
        answer = self.post("/webhook", self.event(name, "ugly"), 400)
        self.assertRegex(answer["error"], "'ugly'")

    def test_a_fault_inside_is_not_shown(self):
        def served(texts):
            raise ZeroDivisionError("secret")

        answer = self.backend(served).post(
            "/predict", json={"tasks": self.tasks(["?"])}
        )
        self.assertEqual(answer.status_code, 500)
        self.assertEqual(answer.json, {"error": "internal error"})

    def test_probabilities_need_labels(self):
        with self.assertRaisesRegex(InputError, "no labels yet"):
            self.project.probabilities()


if __name__ == "__main__":
    absltest.main()
