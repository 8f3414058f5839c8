"""Tasks that are read from their authors' files: Rainbow, MMLU, BBH."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest

from runkit import InputError
from spactor_tf import tasks
from spactor_tf.tasks import few_shot
from tests.testdata import task_records


class FilesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.create_tempdir().full_path)
        for name, text in task_records.FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def load(self, name, split, **options):
        return tasks.get_task(name).load(split, data_dir=self.root, **options)

    def test_abductive_nli(self):
        first, second = self.load("anli", "train")
        self.assertEqual(
            first.inputs,
            "[anli]:\n<obs1>It was dark.</obs1>\n<obs2>We saw.</obs2>\n"
            "<hyp1>We lit a lamp.</hyp1>\n<hyp2>We slept.</hyp2>",
        )
        self.assertEqual((first.targets, second.targets), ("1", "2"))
        (test,) = self.load("anli", "test")
        self.assertEqual(test.targets, "")

    def test_social_iqa(self):
        (example,) = self.load("socialiqa", "train")
        self.assertEndsWith(example.inputs, "<answerC>rich</answerC>")
        self.assertEqual(example.targets, "2")

    def test_big_bench_hard(self):
        task = tasks.get_task("bbh_navigate")
        first, second = self.load("bbh_navigate", "test")
        self.assertEqual(
            first.inputs, "Q: Do you return?\nOptions:\n- Yes\n- No\nA:"
        )
        self.assertEqual(task.options(first), ("Yes", "No"))
        self.assertEqual(
            task.evaluate(["No", "No"], [first, second]), {"accuracy": 50.0}
        )

    def test_big_bench_hard_whole_weighs_tasks_alike(self):
        task = tasks.get_task("bbh")
        examples = self.load("bbh", "test")
        self.assertEqual(
            [e.meta["group"] for e in examples],
            ["navigate", "navigate", "snarks", "web_of_lies"],
        )
        self.assertEqual(
            [task.options(e) for e in examples[2:]],
            [("(A)", "(B)"), ("Yes", "No")],
        )
        scores = task.evaluate(["No", "No", "(B)", "Yes"], examples)
        self.assertAlmostEqual(scores["group_accuracy"], 250 / 3)

    def test_mmlu(self):
        task = tasks.get_task("mmlu_anatomy")
        (example,) = self.load("mmlu_anatomy", "test")
        self.assertEqual(
            example.inputs,
            "The following are multiple choice questions (with answers) about "
            'anatomy.\n\nWhere is the "anvil", a bone?\nA. Ear\n'
            "B. Arm, upper\nC. Leg\nD. Back\nAnswer:",
        )
        self.assertEqual(example.targets, "A")
        self.assertEqual(task.options(example), ("A", "B", "C", "D"))

    def test_mmlu_whole_weighs_questions_alike(self):
        examples = self.load("mmlu", "test")
        scores = tasks.get_task("mmlu").evaluate(["A", "D", "B"], examples)
        self.assertAlmostEqual(scores["accuracy"], 200 / 3)
        self.assertAlmostEqual(scores["group_accuracy"], 75)
        self.assertEqual(examples[1].meta["group"], "us_foreign_policy")

    def test_exemplars_come_before_the_question(self):
        (plain,) = self.load("mmlu_anatomy", "test")
        solved = self.load("mmlu_anatomy", "exemplars")
        (shown,) = few_shot.with_exemplars([plain], solved, 1)
        head = plain.meta["instruction"]
        question = plain.inputs.removeprefix(head)
        self.assertEqual(
            shown.inputs,
            f"{head}Which bone is in the leg?\nA. Ulna\nB. Femur\nC. Rib\n"
            f"D. Jaw\nAnswer: B\n\n{question}",
        )
        (alone,) = few_shot.with_exemplars([plain], [], 5)
        self.assertEqual(alone.inputs, plain.inputs)
        self.assertEqual(alone.meta["exemplars"], 0)

    def test_exemplars_that_do_not_fit_are_left_out(self):
        task = tasks.get_task("mmlu_anatomy")
        (plain,) = self.load("mmlu_anatomy", "test")
        solved = self.load("mmlu_anatomy", "exemplars")[0]
        room = len(plain.inputs) + 100
        twice = few_shot.with_exemplars(
            [plain], [solved, solved], 2, lambda text: len(text) <= room
        )
        self.assertEqual(twice[0].inputs.count(solved.targets + "\n\n"), 1)
        self.assertEndsWith(twice[0].inputs, plain.inputs[-40:])
        none = few_shot.load_with_exemplars(
            task, "test", 5, lambda text: False, self.root
        )
        self.assertEqual([e.inputs for e in none], [plain.inputs])
        self.assertEqual(twice[0].meta["exemplars"], 1)

    def test_shots_of_a_task_without_exemplars(self):
        few_shot.check_shots(tasks.get_task("sst2"), 0)
        with self.assertRaisesRegex(InputError, "sst2 has no exemplars"):
            few_shot.check_shots(tasks.get_task("sst2"), 5)

    def refused(self, name, split, pattern):
        with self.assertRaisesRegex(InputError, pattern):
            self.load(name, split)

    def test_files_that_are_not_there(self):
        self.refused("bbh_snarks", "validation", "split of bbh_snarks.*test")
        self.refused("mmlu_virology", "test", "no such file.*TFDS_DATA_DIR")

    def test_files_that_cannot_be_read(self):
        (self.root / "rainbow/anli/train-labels.lst").write_text("1\n")
        self.refused("anli", "train", "got 1; expected 2")
        (self.root / "rainbow/anli/train-labels.lst").write_text("1\n3\n")
        self.refused("anli", "train", "unknown name; got '3'")
        (self.root / "rainbow/anli/train.jsonl").write_text("{\n[]\n")
        self.refused("anli", "train", "anli/train.jsonl, line 1: is not JSON")
        (self.root / "bbh/snarks.json").write_text("[]")
        self.refused("bbh_snarks", "test", 'no list "examples"')
        (self.root / "bbh/snarks.json").write_bytes(b"\xff")
        self.refused("bbh_snarks", "test", "is not JSON")
        path = self.root / "mmlu/test/anatomy_test.csv"
        path.write_text("What?,a,b,c,d,E\n")
        self.refused("mmlu_anatomy", "test", "unknown name; got 'E'")
        path.write_text("What?,a,b,A\n")
        self.refused("mmlu_anatomy", "test", "row of 4 columns")


if __name__ == "__main__":
    absltest.main()
