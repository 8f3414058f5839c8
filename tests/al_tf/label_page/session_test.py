"""What one person sees next, and what becomes of the answers."""

import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.label_page.session import Conflict, Malformed, Seen, Session
from al_tf.label_tools.answers import LABEL, Given
from al_tf.project.project import Project
from runkit import InputError
from tests.support.labeling import page_data, project_data


class SessionTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def open(self, project, annotator="eve", **options):
        session = Session(project, annotator, **options)
        session.view("first")
        session.mates.wait()
        return session

    def texts(self, **fields):
        project = page_data.make_texts(self.folder, **fields)
        project.next_batch()
        return project

    def shown(self, session, tab="a", **options):
        return session.view(tab, **options)["example"]

    def answer(self, session, example, name="bird", how=LABEL):
        names = [name] if how == LABEL else []
        seen = [Seen(example["place"], example["revision"])]
        session.answer(seen, how, names)
        return seen


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


class AnswerTest(SessionTestCase):
    def test_an_answer_that_is_sent_twice_counts_once(self):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        seen = self.answer(session, example)
        session.answer(seen, LABEL, ["bird"])
        # Also after a restart.
        again = self.open(Project(project.folder))
        again.answer(seen, LABEL, ["bird"])
        self.assertEqual(project.state.changes.total(), 1)
        self.assertEmpty(project.state.amendments)

    def test_a_second_tab_is_refused_and_told_why(self):
        project = self.texts(batch_size=1)
        session = self.open(project)
        one, two = self.shown(session, "a"), self.shown(session, "b")
        self.assertEqual(one["id"], two["id"])
        self.answer(session, one, "bird")
        with self.assertRaisesRegex(Conflict, f"{one['id']} is bird"):
            self.answer(session, two, "fish")
        self.assertEqual(project.labels(), {one["id"]: ("bird",)})

    def test_another_process_answered_in_between(self):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        real = project.take

        def late(given, **options):
            other = Given(example["id"], "eve", LABEL, ("fish",))
            real([other], source="file")
            return real(given, **options)

        self.enter_context(absltest.mock.patch.object(project, "take", late))
        with self.assertRaisesRegex(Conflict, "differ"):
            self.answer(session, example)
        self.assertEqual(project.labels()[example["id"]], ("fish",))

    @parameterized.parameters("skip", "unsure")
    def test_no_label(self, how):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        self.answer(session, example, how=how)
        self.assertEqual(project.state.counts(), {how: 1})
        self.assertEqual(session.view("a")["progress"][how], 1)

    @parameterized.named_parameters(
        ("no_class", LABEL, []),
        ("two_classes", LABEL, ["bird", "fish"]),
        ("same_twice", LABEL, ["bird", "bird"]),
        ("unknown", LABEL, ["bird", "dog"]),
        ("skip_with_class", "skip", ["bird"]),
        ("unknown_state", "withdrawn", []),
    )
    def test_answers_that_no_project_has(self, how, names):
        project = self.texts()
        session = self.open(project)
        place = self.shown(session)["place"]
        with self.assertRaises(Malformed):
            session.answer([Seen(place, 0)], how, names)
        self.assertEmpty(project.state.answers)

    def test_examples_that_were_not_shown(self):
        project = self.texts()
        session = self.open(project)
        place = self.shown(session)["place"]
        asked = project.state.asked
        strange = next(i for i in range(60) if f"t{i}" not in asked)
        far = next(i for i in range(60) if i // 3 != place // 3)
        for places in ([strange], [place, far], [place, place], [60], [-1]):
            with self.assertRaises(Malformed):
                session.answer([Seen(i, 0) for i in places], LABEL, ["bird"])
        self.assertEmpty(project.state.answers)

    def test_several_classes(self):
        project = self.texts(multilabel=True)
        session = self.open(project)
        for names in (["fish", "bird"], []):
            example = self.shown(session, "first")
            seen = [Seen(example["place"], 0)]
            session.answer(seen, LABEL, names)
            expected = tuple(n for n in page_data.CLASSES if n in names)
            self.assertEqual(project.labels()[example["id"]], expected)


class UndoTest(SessionTestCase):
    def test_undo_leaves_a_trace_and_asks_again(self):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session, "first")
        self.answer(session, example)
        undone = [Seen(example["place"], 1)]
        session.undo(undone)
        session.undo(undone)  # Sent twice.
        state = project.state
        self.assertEmpty(state.answers)
        self.assertEmpty(project.labels())
        (amended,) = state.amendments
        self.assertEqual(amended.before.classes, ("bird",))
        self.assertEqual(amended.after.state, "withdrawn")
        self.assertEqual(amended.source, "labeling page")
        self.assertIn(example["id"], state.open_examples())
        shown = self.shown(session, place=example["place"])
        self.assertEqual(shown["revision"], 2)
        self.answer(session, shown, "fish")
        self.assertEqual(project.labels(), {example["id"]: ("fish",)})

    def test_the_answer_before_an_undo_does_not_come_back(self):
        """It was sent, saved, undone in another tab, and is sent again."""
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        seen = self.answer(session, example)
        session.undo([Seen(example["place"], 1)])
        with self.assertRaises(Conflict):
            session.answer(seen, LABEL, ["bird"])
        self.assertEmpty(project.state.answers)
        # Nor is it taken for the one that was given after the undo.
        self.answer(session, {"place": example["place"], "revision": 2})
        with self.assertRaises(Conflict):
            session.answer(seen, LABEL, ["bird"])
        self.assertEqual(project.state.changes.total(), 3)

    def test_an_answer_that_was_changed_is_not_undone(self):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        self.answer(session, example)
        changed = Given(example["id"], "eve", LABEL, ("fish",))
        project.take([changed], source="file", accept_changes=True)
        with self.assertRaisesRegex(Conflict, "is fish"):
            session.undo([Seen(example["place"], 1)])

    def test_a_batch_whose_only_answer_is_undone_has_not_begun(self):
        project = self.texts()
        session = self.open(project)
        example = self.shown(session)
        self.answer(session, example)
        session.undo([Seen(example["place"], 1)])
        self.assertEqual(project.next_batch(), project.state.batches[0])
        self.assertLen(project.state.batches, 1)


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
