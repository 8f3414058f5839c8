"""What becomes of the answers of one person."""

from absl.testing import absltest, parameterized

from al_tf.label_page.session import Conflict, Malformed, Seen
from al_tf.label_tools.answers import LABEL, Given
from al_tf.project.project import Project
from tests.support.labeling import page_data
from tests.support.labeling.session_case import SessionTestCase


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


if __name__ == "__main__":
    absltest.main()
