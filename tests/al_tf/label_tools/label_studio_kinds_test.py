"""Images, and several classes an example, through a real Label Studio."""

import json
import pathlib
import tempfile
import unittest

import pytest
from absl.testing import absltest

from al_tf.project import outside
from tests.support.labeling import label_studio, page_data

CLASSES = ("bird", "fish", "other")


def annotation(names, kind):
    return {
        "from_name": "label",
        "to_name": kind,
        "type": "choices",
        "value": {"choices": list(names)},
    }


@pytest.mark.slow
@unittest.skipUnless(
    label_studio.PROGRAM,
    "no Label Studio: LABEL_STUDIO names its program, of a venv of its own",
)
class KindsTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Of its own: a server that ran before has left its folder.
        folder = pathlib.Path(
            cls.enterClassContext(
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            )
        )
        cls.server = cls.enterClassContext(
            label_studio.serve(folder / "kinds_server")
        )

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def there_and_back(self, project, kind, truth):
        """Labels a batch by the API; each export brings the same labels."""
        batch = project.next_batch()
        tasks, config = outside.write_batch(project, batch, "label_studio")
        number = self.server.call(
            "POST",
            "/api/projects/",
            {"title": batch.name, "label_config": config.read_text()},
        )["id"]
        self.server.call(
            "POST",
            f"/api/projects/{number}/import",
            json.loads(tasks.read_text()),
        )
        found = self.server.call(
            "GET", f"/api/tasks/?project={number}&page_size=99&fields=all"
        )["tasks"]
        self.assertCountEqual(
            [task["data"]["example_id"] for task in found], batch.ids
        )
        for task in found:
            names = truth(task["data"]["example_id"])
            self.server.call(
                "POST",
                f"/api/tasks/{task['id']}/annotations/",
                {"result": [annotation(names, kind)], "lead_time": 1.0},
            )
        for export in ("JSON", "JSON_MIN", "CSV"):
            answer = self.server.call(
                "GET",
                f"/api/projects/{number}/export?exportType={export}"
                "&download_all_tasks=true",
            )
            suffix = ".csv" if export == "CSV" else ".json"
            path = self.folder / f"export-{export}{suffix}"
            path.write_bytes(
                answer
                if isinstance(answer, bytes)
                else json.dumps(answer).encode()
            )
            taken = project.take_file(path)
            self.assertEqual(taken.amended, 0, export)
        labels = project.labels()
        self.assertEqual(
            {name: sorted(labels[name]) for name in batch.ids},
            {name: sorted(truth(name)) for name in batch.ids},
        )
        self.assertEmpty({*project.next_batch().ids} & {*batch.ids})
        return found

    def test_images(self):
        project = page_data.make_images(self.folder)
        found = self.there_and_back(
            project, "image", lambda row: ["dark" if row % 2 else "bright"]
        )
        for task in found:
            shown = task["data"]["image"]
            self.assertTrue(shown.startswith("data:image/"), shown[:60])

    def test_several_classes_an_example(self):
        project = page_data.make_texts(self.folder, multilabel=True)

        def truth(name):
            number = int(name.removeprefix("t"))
            return CLASSES[: 1 + number % 3]

        self.there_and_back(project, "text", truth)


if __name__ == "__main__":
    absltest.main()
