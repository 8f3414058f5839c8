"""What the page says of an example and of its cluster."""

import json

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.label_page.session import Conflict, Malformed, Seen, Session
from al_tf.label_tools.answers import LABEL, Given
from runkit import InputError
from tests.support.labeling import page_data, project_data
from tests.support.labeling.session_case import SessionTestCase


class ClusterTest(SessionTestCase):
    def test_neighbors_are_the_nearest_of_the_cluster(self):
        session = self.open(self.texts())
        example = self.shown(session)
        family = example["place"] // 3
        beside = [one["place"] for one in example["neighbors"]]
        expected = {*range(3 * family, 3 * family + 3)} - {example["place"]}
        self.assertEqual({*beside}, expected)
        distances = [one["distance"] for one in example["neighbors"]]
        self.assertEqual(distances, sorted(distances))
        self.assertEqual((example["cluster_size"], example["copies"]), (3, 2))

    def test_one_label_for_all_copies_and_one_undo(self):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        copies = session.copies(example["place"])["copies"]
        seen = [Seen(example["place"], 0)]
        seen += [Seen(one["place"], one["revision"]) for one in copies]
        session.answer(seen, LABEL, ["bird"])
        session.answer(seen, LABEL, ["bird"])
        ids = {example["id"], *(one["id"] for one in copies)}
        self.assertEqual(project.labels(), dict.fromkeys(ids, ("bird",)))
        self.assertLen([*(project.folder / "events").glob("*answers*")], 1)
        self.assertEqual(session.copies(example["place"])["total"], 0)
        session.undo([Seen(place, 1) for place, _ in seen])
        self.assertEmpty(project.state.answers)
        self.assertEqual(session.copies(example["place"])["total"], 2)

    def test_nothing_is_saved_if_one_copy_was_answered(self):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        copies = session.copies(example["place"])["copies"]
        other = Given(copies[1]["id"], "eve", LABEL, ("fish",))
        project.take([other], source="test")
        seen = [Seen(example["place"], 0)]
        seen += [Seen(one["place"], 0) for one in copies]
        with self.assertRaisesRegex(Conflict, f"{copies[1]['id']} is fish"):
            session.answer(seen, LABEL, ["bird"])
        self.assertEqual(project.labels(), {copies[1]["id"]: ("fish",)})

    def test_distance_of_copies(self):
        session = self.open(self.texts(), copy_distance=0.0)
        self.assertEqual(self.shown(session)["copies"], 0)

    def test_the_same_text_is_a_copy_at_any_distance(self):
        rows = np.random.default_rng(0).standard_normal((6, 4))
        project = page_data.make_project(
            self.folder, ["same"] * 6, rows, target_cluster_size=6.0
        )
        project.next_batch()
        session = self.open(project, copy_distance=0.0)
        self.assertEqual(self.shown(session)["copies"], 5)

    def test_labels_of_others_are_shown_beside(self):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        near = example["neighbors"][0]["id"]
        project.take([Given(near, "bob", LABEL, ("fish",))], source="test")
        answer = self.shown(session)["neighbors"][0]["answer"]
        self.assertEqual(answer, {"state": LABEL, "classes": ["fish"]})

    def test_texts_without_an_encoder_have_no_neighbors(self):
        project = self.texts(embeddings="")
        example = self.shown(self.open(project))
        self.assertIn("texts need an encoder", example["note"])
        self.assertEqual((example["neighbors"], example["copies"]), ([], 0))


class ShownTest(SessionTestCase):
    @parameterized.parameters(
        "",
        "  \n ",
        "<script>alert(1)</script>",
        "שלום עולם",
        "\u202e turned around",
        "🦜" * 40,
        "x" * 20_000,
        "null \0 and \x1b[31m",
    )
    def test_texts_are_what_they_are(self, text):
        rows = np.eye(4)
        project = page_data.make_project(self.folder, [text] * 4, rows)
        project.next_batch()
        example = self.shown(self.open(project))
        self.assertEqual(json.loads(json.dumps(example))["text"], text)
        self.assertEqual(example["characters"], len(text))

    def test_the_end_of_a_very_long_text_is_not_sent(self):
        project = page_data.make_project(
            self.folder, ["y" * 300_000] * 4, np.eye(4), target_cluster_size=4.0
        )
        project.next_batch()
        example = self.shown(self.open(project))
        self.assertLen(example["text"], 200_000)
        self.assertEqual(example["characters"], 300_000)
        self.assertLen(example["neighbors"][0]["text"], 600)

    def test_images(self):
        project = page_data.make_images(self.folder)
        project.next_batch()
        session = self.open(project)
        example = self.shown(session)
        self.assertEqual(example["kind"], "image")
        self.assertNotIn("text", example)
        self.assertStartsWith(session.image(example["place"]), b"\x89PNG")
        with self.assertRaises(Malformed):
            session.image(20)

    def test_embeddings_cannot_be_shown(self):
        project = project_data.make_project(self.folder)
        with self.assertRaisesRegex(InputError, "nothing can be shown"):
            Session(project, "eve")

    def test_cost(self):
        project = page_data.make_images(
            self.folder, n=60, test="0.5", batch_size=3
        )
        session = self.open(project, target=0.9)
        self.assertIsNone(session.view("a")["cost"])
        truth = np.array(["bright", "dark"])[np.arange(60) % 2]
        for _ in range(3):
            batch = project.next_batch()
            project.take(project_data.given(batch, truth), source="test")
        project.next_batch()
        cost = session.view("a")["cost"]
        result = project.state.batches[-1].result
        self.assertEqual(cost["labels"], 9)
        self.assertEqual(cost["accuracy"], result["accuracy"])
        self.assertEqual(cost["target"], 0.9)
        self.assertTrue(cost["advice"])
        json.dumps(cost, allow_nan=False)


if __name__ == "__main__":
    absltest.main()
