"""What an export finds out about the run that it exports."""

import pathlib

from absl.testing import absltest

from export.saved_model.run_facts import RunFacts, run_facts
from runkit import InputError, write_json


class RunFactsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def test_a_preset_has_none(self):
        self.assertEqual(run_facts(str(self.folder)), RunFacts({}))

    def test_last_metrics_of_a_pre_training_run(self):
        path = self.folder / "metrics.jsonl"
        path.write_text('{"step": 1}\n{"step": 2}\n')
        self.assertEqual(run_facts(str(self.folder)), RunFacts({"step": 2}))
        path.write_text('{"step": 1}\n{"st')
        with self.assertRaisesRegex(InputError, "broken line"):
            run_facts(str(self.folder))

    def test_best_metrics_and_label_words_of_a_fine_tuned_run(self):
        (self.folder / "metrics.jsonl").write_text('{"step": 900}\n')
        tasks = {"rte": {"validation": {"accuracy": 61.0}}}
        write_json(
            self.folder / "results.json", {"best_step": 40, "tasks": tasks}
        )
        write_json(self.folder / "config.json", {"data": {"input_length": 48}})
        self.assertEqual(
            run_facts(str(self.folder)),
            RunFacts(
                {"step": 40, **tasks}, ("entailment", "not_entailment"), 48
            ),
        )

    def test_label_words_of_a_task_that_only_the_run_knows(self):
        results = {"tasks": {"mail": {}}, "label_words": {"mail": ["x", "y"]}}
        write_json(self.folder / "results.json", results)
        self.assertEqual(run_facts(str(self.folder)).labels, ("x", "y"))
        results = {"tasks": {"mail": {}}, "label_words": {"mail": []}}
        write_json(self.folder / "results.json", results)
        self.assertIsNone(run_facts(str(self.folder)).labels)

    def test_a_mixture_has_no_label_words_of_its_own(self):
        tasks = {"rte": {}, "sst2": {}}
        write_json(self.folder / "results.json", {"tasks": tasks})
        self.assertIsNone(run_facts(str(self.folder)).labels)

    def test_metrics_of_a_classifier(self):
        (self.folder / "head.npz").write_bytes(b"")
        write_json(self.folder / "metrics.json", {"accuracy": 0.5})
        found = run_facts(str(self.folder))
        self.assertEqual(found, RunFacts({"accuracy": 0.5}))


if __name__ == "__main__":
    absltest.main()
