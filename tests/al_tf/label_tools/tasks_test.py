"""Tasks for the tools, and their own exports read back."""

import dataclasses
import json
import pathlib
from xml.etree import ElementTree

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.label_tools import tasks as label_tasks
from al_tf.label_tools.answers import Asked, resolve
from al_tf.label_tools.ml_backend import check_config
from al_tf.label_tools.readers import read_answers
from al_tf.label_tools.records import Names
from al_tf.pools import make_examples
from runkit import InputError
from tests.support import loop_data

CLASSES = ("a & b", 'say "no"', "été")


def batch(kind="text", *, multilabel=False):
    labels = np.zeros((3, 3) if multilabel else 3, np.int8)
    if kind == "text":
        inputs = np.array(["x, y", "<b>", "é\n2"], object)
    else:
        inputs = np.arange(3 * 4 * 4 * 3).reshape(3, 4, 4, 3).astype(np.uint8)
    made = make_examples(kind, inputs, labels, CLASSES, multilabel)
    ids = np.empty(3, object)
    ids[:] = ["p/1", "p/2", "p/3"]
    return dataclasses.replace(made, ids=ids, id_name="id")


def answered(tool, task, names):
    """What a tool exports once somebody chose `names`."""
    if tool == "label_studio":
        ((shown, _),) = [
            item
            for item in task["data"].items()
            if item[0] in ("text", "image")
        ]
        result = {
            "from_name": "label",
            "to_name": shown,
            "type": "choices",
            "value": {"choices": names},
        }
        annotation = {"result": [result], "completed_by": 1}
        return {**task, "id": 5, "annotations": [annotation]}
    if tool == "doccano":
        return {**task, "id": 5, "label": names, "Comments": []}
    if tool == "argilla":
        value = names if len(names) > 1 else names[0]
        responses = {"label": [{"value": value, "user_id": "u"}]}
        return {**task, "responses": responses}
    return {**task, "accept": names, "answer": "accept", "_task_hash": 1}


class TasksTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def write(self, tool, examples, **fields):
        made = label_tasks.Tasks("feed-001", examples, **fields)
        path, *_ = label_tasks.write_tasks(self.folder, "b", made, tool)
        text = path.read_text("utf-8")
        if path.suffix == ".json":
            return json.loads(text)
        return [json.loads(line) for line in text.splitlines()]

    @parameterized.product(
        tool=list(label_tasks.TOOLS),
        kind=("text", "image"),
        multilabel=(False, True),
    )
    def test_there_and_back(self, tool, kind, multilabel):
        examples = batch(kind, multilabel=multilabel)
        suggested = [[CLASSES[0]]] * 3
        written = self.write(
            tool, examples, suggested=suggested, confidence=[0.5] * 3
        )
        chosen = [[CLASSES[1]], [CLASSES[2]], [*CLASSES[: 1 + multilabel]]]
        path = self.folder / "export.jsonl"
        path.write_text(
            "".join(
                json.dumps(answered(tool, task, names)) + "\n"
                for task, names in zip(written, chosen, strict=True)
            )
        )
        asked = Asked(
            examples.named.tolist(), CLASSES, multilabel, ["feed-001"]
        )
        names = Names("id", multilabel=multilabel)
        given = resolve(read_answers(path, names), asked, path)
        self.assertEqual(
            {g.example: [*g.classes] for g in given},
            dict(zip(asked.ids, chosen, strict=True)),
        )
        other = dataclasses.replace(asked, batches=["beef-000"])
        with self.assertRaisesRegex(InputError, "another project: feed-001"):
            resolve(read_answers(path, names), other, path)

    def test_predictions_and_scores(self):
        written = self.write(
            "label_studio",
            batch(),
            suggested=[[CLASSES[1]], [CLASSES[0]], [CLASSES[2]]],
            confidence=[0.9, 0.4, 0.6],
        )
        (first,) = written[0]["predictions"]
        (result,) = first["result"]
        self.assertEqual(result["value"], {"choices": [CLASSES[1]]})
        self.assertEqual(result["score"], 0.9)
        scores = [task["predictions"][0]["score"] for task in written]
        self.assertEqual(scores, sorted(scores))
        self.assertNotIn("predictions", self.write_anew()[0])

    def write_anew(self):
        made = label_tasks.Tasks("feed-001", batch())
        path, _ = label_tasks.write_tasks(
            self.folder / "anew", "b", made, "label_studio"
        )
        return json.loads(path.read_text())

    def test_files_are_not_written_over(self):
        self.write("doccano", batch())
        path = self.folder / "b.doccano.jsonl"
        path.write_text("somebody is at work\n")
        made = label_tasks.Tasks("feed-001", batch())
        label_tasks.write_tasks(self.folder, "b", made, "doccano")
        self.assertEqual(path.read_text(), "somebody is at work\n")

    @parameterized.product(kind=("text", "image"), multilabel=(False, True))
    def test_configuration(self, kind, multilabel):
        config = label_tasks.label_config(CLASSES, kind, multilabel=multilabel)
        check_config(config, CLASSES, kind, multilabel=multilabel)
        root = ElementTree.fromstring(config)
        self.assertEqual(root[0].get("value"), f"${kind}")
        found = [c.get("value") for c in root.find("Choices").iter("Choice")]
        self.assertEqual(found, [*CLASSES])

    def test_embeddings_show_nothing(self):
        with self.assertRaisesRegex(InputError, "nothing can be shown"):
            self.write("prodigy", loop_data.blobs(3))


if __name__ == "__main__":
    absltest.main()
