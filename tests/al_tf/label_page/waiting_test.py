"""What one person sees next."""

import numpy as np
from absl.testing import absltest

from al_tf.label_tools.answers import LABEL, Given
from al_tf.project.project import Project
from tests.support.labeling import page_data
from tests.support.labeling.session_case import SessionTestCase


class OrderTest(SessionTestCase):
    def test_a_batch_in_its_order(self):
        project = self.texts()
        session, seen = self.open(project), []
        while example := self.shown(session, "first"):
            seen.append(example["id"])
            self.answer(session, example, page_data.truth(example["place"]))
        self.assertEqual(seen, project.state.batches[0].ids)
        self.assertEqual(
            project.labels(),
            {i: (page_data.truth(int(i[1:])),) for i in seen},
        )

    def test_the_same_example_until_it_is_answered(self):
        session = self.open(self.texts())
        first = self.shown(session)
        self.assertEqual(self.shown(session), first)
        self.assertNotEqual(self.shown(session, "b")["id"], first["id"])

    def test_tabs_show_different_examples_while_there_are_some(self):
        session = self.open(self.texts(batch_size=3))
        tabs = ("first", "b", "c")
        shown = [self.shown(session, tab)["id"] for tab in tabs]
        self.assertLen({*shown}, 3)
        self.assertIn(self.shown(session, "d")["id"], shown)

    def test_a_tab_that_is_gone_keeps_nothing(self):
        now = [0.0]
        session = self.open(self.texts(batch_size=2), clock=lambda: now[0])
        kept = self.shown(session, "first")["id"]
        self.assertNotEqual(self.shown(session, "b")["id"], kept)
        now[0] = 601.0
        self.assertEqual(self.shown(session, "c")["id"], kept)

    def test_what_others_decided_is_not_asked_for(self):
        project = self.texts(batch_size=4)
        ids = project.state.batches[0].ids
        given = [
            Given(ids[0], "bob", LABEL, ("bird",)),
            Given(ids[1], "bob", "skip", ()),
        ]
        project.take(given, source="test")
        view = self.open(project).view("first")
        self.assertEqual(view["example"]["id"], ids[1])
        self.assertEqual(view["progress"]["others"], 1)
        self.assertEqual(view["progress"]["left"], 3)

    def test_two_votes_are_asked_of_two_people(self):
        project = self.texts(batch_size=2, min_votes=2)
        eve, bob, kim = (self.open(project, n) for n in ("eve", "bob", "kim"))
        first = self.shown(eve, "first")
        self.answer(eve, first, "bird")
        self.assertEqual(self.shown(bob, "first")["id"], first["id"])
        # Votes are independent: the other one's is not shown.
        self.assertIsNone(self.shown(bob, "first")["answer"])
        self.answer(bob, self.shown(bob, "first"), "fish")
        self.assertEqual(self.shown(kim, "first")["id"], first["id"])
        self.answer(kim, self.shown(kim, "first"), "fish")
        self.assertEqual(project.labels(), {first["id"]: ("fish",)})

    def test_no_batch_yet_then_one(self):
        project = page_data.make_texts(self.folder)
        session = self.open(project)
        view = session.view("a")
        self.assertIsNone(view["example"])
        self.assertIsNone(view["newest"])
        self.assertIsNone(view["progress"])
        session.next_batch(None)
        self.answer(session, self.shown(session))
        # Sent again: there is a newer one now, which has begun.
        session.next_batch(None)
        self.assertLen(project.state.batches, 1)
        self.assertEqual(session.view("a")["newest"], f"{project.name}-000")

    def test_the_next_batch_has_suggestions_with_margins(self):
        project = self.texts()
        session = self.open(project)
        while example := self.shown(session, "first"):
            self.assertIsNone(example["suggestion"])
            self.answer(session, example, page_data.truth(example["place"]))
        session.next_batch(project.state.batches[0].name)
        example, batch = self.shown(session), project.state.batches[1]
        self.assertEqual(
            example["suggestion"],
            {
                "classes": batch.suggested[0],
                "probability": batch.confidence[0],
                "margin": batch.margins[0],
            },
        )
        # p1 - p2 with p2 <= 1 - p1, and p2 <= p1.
        p, margin = batch.confidence[0], batch.margins[0]
        self.assertBetween(margin, max(2 * p - 1, 0) - 1e-5, p)
        self.assertLen(batch.margins, len(batch.ids))

    def test_what_earlier_batches_left(self):
        project = self.texts(batch_size=3)
        session = self.open(project)
        self.answer(session, self.shown(session, "first"))
        project.next_batch()
        view = session.view("a")
        self.assertEqual(view["earlier"], 2)
        first, second = project.state.batches
        self.assertIn(view["example"]["id"], second.ids)
        old = session.view("a", earlier=True)
        self.assertIn(old["example"]["id"], first.ids[1:])
        self.assertEqual(old["progress"]["batch"], first.name)

    def test_classes_and_examples_that_join_are_seen(self):
        project = page_data.make_images(self.folder)
        project.next_batch()
        session = self.open(project)
        Project(project.folder).add_classes(["gone"])
        self.assertEqual(session.view("a")["classes"][-1], "gone")
        more = self.folder / "more.npz"
        dark = np.zeros((3, 6, 8, 1), np.uint8)
        np.savez(more, images=dark, labels=[1, 1, 1])
        Project(project.folder).grow(f"npz:{more}")
        session.view("a")
        self.assertStartsWith(session.image(22), b"\x89PNG")
        session.mates.wait()
        self.assertIsNotNone(self.shown(session)["cluster_size"])


if __name__ == "__main__":
    absltest.main()
