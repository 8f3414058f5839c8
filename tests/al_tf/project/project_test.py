"""A project: batches, answers, amendments, classes, growth."""

import dataclasses
import errno
import json
import pathlib
import threading
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from al_tf.label_tools.answers import SKIP, UNSURE, WITHDRAWN, Given
from al_tf.project.project import Project
from runkit import InputError
from tests.support import loop_data
from tests.support.labeling import project_data


class ProjectTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.truth = project_data.write_blobs(self.folder / "pool.npz")

    def project(self, **fields):
        return project_data.make_project(self.folder, **fields)

    def answer(self, project, batch, **options):
        given = project_data.given(batch, self.truth, **options)
        return project.take(given, source="test")


class RoundTest(ProjectTestCase):
    def test_batches_until_the_pool_is_empty(self):
        project = self.project(batch_size=40)
        seen = []
        for number, (size, how) in enumerate(
            [(40, "random"), (40, "cluster_margin"), (10, "cluster_margin")]
        ):
            batch = project.next_batch()
            self.assertEqual(batch.name, f"{project.name}-00{number}")
            self.assertEqual((len(batch.ids), batch.strategy), (size, how))
            self.assertEqual(bool(batch.suggested), number > 0)
            self.answer(project, batch)
            seen += batch.ids
        self.assertCountEqual(seen, range(90))
        with self.assertRaisesRegex(InputError, "nothing is left"):
            project.next_batch()

    def test_a_batch_that_nobody_began_is_given_again(self):
        project = self.project()
        first = project.next_batch()
        self.assertEqual(Project(project.folder).next_batch(), first)
        self.answer(project, first._replace(ids=first.ids[:1]))
        second = project.next_batch()
        self.assertEqual(second.name, f"{project.name}-001")
        self.assertEmpty({*first.ids} & {*second.ids})
        self.assertCountEqual(
            project.state.open_examples(), [*first.ids[1:], *second.ids]
        )

    def test_the_same_answers_give_the_same_batches(self):
        chosen = []
        for name in ("a", "b"):
            folder = self.folder / name
            folder.mkdir()
            project = project_data.make_project(folder)
            self.answer(project, project.next_batch())
            chosen.append(project.next_batch())
        self.assertEqual(*(batch._replace(name="") for batch in chosen))

    def test_skipped_and_unsure_do_not_train_and_do_not_return(self):
        project = self.project()
        batch = project.next_batch()
        some = batch._replace(ids=batch.ids[:3])
        self.answer(project, some)
        for state, part in ((SKIP, batch.ids[3:6]), (UNSURE, batch.ids[6:])):
            self.answer(project, batch._replace(ids=part), state=state)
        self.assertCountEqual(project.labels(), some.ids)
        self.assertEqual(
            project.state.counts(), {"label": 3, "skip": 3, "unsure": 2}
        )
        # Whoever was unsure may decide later: that is an amendment.
        self.assertEmpty({*project.next_batch().ids} & {*batch.ids})

    def test_measured_on_the_test_set(self):
        project = self.project(test="0.3")
        self.assertLen(project.test, 27)
        self.assertLen(project.pool, 63)
        self.answer(project, project.next_batch())
        result = project.next_batch().result
        self.assertEqual(result["labels"], 8)
        self.assertGreater(result["accuracy"], 0.4)

    def test_start_from_labels_that_are_there(self):
        project = self.project()
        taken = project.take_pool_labels()
        self.assertEqual(taken, (90, 0, 0))
        self.assertEqual(project.take_pool_labels(), (0, 90, 0))
        self.assertEqual(project.labels()[5], (self.truth[5],))

    def test_start_from_a_file_of_labels(self):
        project = self.project()
        rows = [{"example_id": i, "label": self.truth[i]} for i in range(30)]
        path = project_data.write_csv(self.folder / "old.csv", *rows)
        with self.assertRaisesRegex(InputError, "record 1: .*not asked for"):
            project.take_file(path)
        self.assertEmpty(project.state.answers)
        self.assertEqual(project.take_file(path, any_example=True).new, 30)
        batch = project.next_batch()
        self.assertEqual(batch.strategy, "cluster_margin")
        self.assertGreaterEqual(min(batch.ids), 30)

    def test_start_from_a_trained_model(self):
        project = self.project()
        sure = np.zeros((90, 3), np.float32)
        sure[:, 0] = 1
        sure[50:75] = [0.4, 0.35, 0.25]
        batch = project.next_batch(probabilities=sure)
        self.assertEqual(batch.strategy, "cluster_margin")
        self.assertContainsSubset(batch.ids, range(50, 75))
        self.assertEqual(batch.suggested, [["ant"]] * 8)
        self.assertEqual(batch.confidence, [0.4] * 8)
        self.answer(project, batch)
        with self.assertRaisesRegex(InputError, r"got \[90, 2\]"):
            project.next_batch(probabilities=sure[:, :2])

    def test_several_classes_each(self):
        pool = loop_data.blobs(60, multilabel=True)
        np.savez(
            self.folder / "pool.npz",
            embeddings=pool.inputs,
            labels=pool.labels,
            classes=np.array(pool.classes),
        )
        project = self.project(multilabel=True, batch_size=20)
        batch = project.next_batch()
        names = np.array(pool.classes)
        project.take(
            [
                Given(i, "eve", "label", tuple(names[pool.labels[i] == 1]))
                for i in batch.ids
            ],
            source="test",
        )
        batch = project.next_batch()
        right = [
            {*suggested} == {*names[pool.labels[i] == 1]}
            for i, suggested in zip(batch.ids, batch.suggested, strict=True)
        ]
        # One in eight would be right by chance.
        self.assertGreater(np.mean(right), 0.25)


class AmendmentTest(ProjectTestCase):
    def test_changed_answers_leave_a_trace(self):
        project = self.project()
        batch = project.next_batch()
        self.answer(project, batch)
        example = batch.ids[0]
        before = Given(example, "eve", "label", (str(self.truth[example]),))
        wrong = next(
            c for c in project.state.classes if c not in before.classes
        )
        after = before._replace(classes=(wrong,))
        with self.assertRaisesRegex(InputError, f"1 answers differ.*{example}"):
            project.take([after], source="late.csv")
        self.assertEqual(project.labels()[example], before.classes)
        taken = project.take([after], source="late.csv", accept_changes=True)
        self.assertEqual(taken, (0, 0, 1))
        self.assertEqual(project.labels()[example], (wrong,))
        (trace,) = project.state.amendments
        self.assertEqual(
            (trace.before, trace.after, trace.source),
            (before, after, "late.csv"),
        )
        # Another annotator's answer is no amendment.
        other = before._replace(annotator="bob")
        self.assertEqual(project.take([other], source="x").new, 1)

    def test_a_withdrawn_answer_is_asked_for_again(self):
        project = self.project()
        batch = project.next_batch()
        self.answer(project, batch)
        gone = Given(batch.ids[0], "eve", WITHDRAWN, ())
        with self.assertRaisesRegex(InputError, "1 answers differ"):
            project.take([gone], source="undo")
        for expected in ((0, 0, 1), (0, 1, 0)):
            taken = project.take([gone], source="undo", accept_changes=True)
            self.assertEqual(taken, expected)
        state = Project(project.folder).state
        self.assertNotIn(batch.ids[0], state.answers)
        self.assertNotIn(batch.ids[0], project.labels())
        self.assertEqual(state.open_examples(), batch.ids[:1])
        self.assertEqual(state.amendments[0].after, gone)
        self.assertEqual(state.changes[batch.ids[0], "eve"], 2)
        # It can be answered anew, which amends nothing.
        self.assertEqual(self.answer(project, batch), (1, 7, 0))
        self.assertLen(project.state.amendments, 1)

    def test_a_state_is_its_callers_own(self):
        project = self.project()
        before = project.state
        self.answer(project, project.next_batch())
        self.assertEqual((before.batches, before.counts()), ([], {}))
        again = project.state
        again.answers.clear()
        again.changes.clear()
        self.assertEqual(project.state.counts(), {"label": 8})

    def test_labels_of_a_class_that_was_added(self):
        project = self.project()
        batch = project.next_batch()
        rows = [{"example_id": i, "label": "dog"} for i in batch.ids]
        path = project_data.write_csv(self.folder / "a.csv", *rows)
        with self.assertRaisesRegex(InputError, "unknown classes: .*'dog'"):
            project.take_file(path)
        project.add_classes(["dog"])
        project.add_classes(["dog"])
        self.assertEqual(project.state.classes[-1], "dog")
        self.assertEqual(project.take_file(path).new, 8)
        self.assertLen(project.next_batch().suggested, 8)
        self.assertEqual(project.take_file(path), (0, 8, 0))

    @parameterized.parameters("ant ", "bee\u00a0", "", "Ant", " BEE")
    def test_classes_that_cannot_be_added(self, name):
        with self.assertRaises(InputError):
            self.project().add_classes([name])

    def test_a_renamed_class_is_refused(self):
        project = self.project()
        batch = project.next_batch()
        rows = [{"example_id": i, "label": "bees"} for i in batch.ids]
        path = project_data.write_csv(self.folder / "a.csv", *rows)
        with self.assertRaisesRegex(InputError, "Did you mean 'bee'"):
            project.take_file(path)


class DamageTest(ProjectTestCase):
    def test_a_full_disk_changes_nothing(self):
        project = self.project()
        batch = project.next_batch()
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            mock.patch("os.fsync", side_effect=full),
            self.assertRaises(OSError),
        ):
            self.answer(project, batch)
        self.assertEmpty(project.state.answers)
        self.assertEmpty(list(project.folder.rglob(".tmp-*")))
        self.assertEqual(self.answer(project, batch).new, 8)

    def test_two_at_once(self):
        ids = self.project().next_batch(40).ids

        def answer(who):
            project = Project(self.folder / "project")
            for example in ids:
                label = str(self.truth[example])
                project.take(
                    [Given(example, who, "label", (label,))], source=who
                )

        threads = [threading.Thread(target=answer, args=(who,)) for who in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        state = Project(self.folder / "project").state
        self.assertEqual(state.counts(), {"label": 80})
        self.assertEqual({len(state.answers[i]) for i in ids}, {2})

    def test_a_missing_event_is_named(self):
        project = self.project()
        self.answer(project, project.next_batch())
        (project.folder / "events" / "000001-batch.json").unlink()
        with self.assertRaisesRegex(InputError, "event 1 .*is missing"):
            _ = Project(project.folder).state

    def test_an_event_of_another_version(self):
        project = self.project()
        project.next_batch()
        path = project.folder / "events" / "000001-batch.json"
        path.write_text(json.dumps({"ids": []}))
        with self.assertRaisesRegex(InputError, "event 1 cannot be read"):
            _ = Project(project.folder).state

    def test_a_pool_that_changed(self):
        project = self.project()
        project_data.write_blobs(self.folder / "pool.npz", seed=1)
        with self.assertRaisesRegex(InputError, "has changed since"):
            Project(project.folder)

    def test_other_settings(self):
        project = self.project()
        other = dataclasses.replace(project.settings, batch_size=5)
        with self.assertRaisesRegex(InputError, "other settings"):
            Project.create(project.folder, other)
        with self.assertRaisesRegex(InputError, "holds no project"):
            Project(self.folder)
        with self.assertRaisesRegex(InputError, "holds files but no project"):
            Project.create(self.folder, project.settings)

    def test_a_batch_of_another_project(self):
        project = self.project()
        batch = project.next_batch()
        rows = [
            {"example_id": i, "label": "ant", "batch": "0123abcd-000"}
            for i in batch.ids
        ]
        path = project_data.write_csv(self.folder / "a.csv", *rows)
        with self.assertRaisesRegex(InputError, "another project: 0123abcd"):
            project.take_file(path)


if __name__ == "__main__":
    absltest.main()
