"""Fine-tuning runs that are refused, and what their data must hold."""

import os
import pathlib
import shutil
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf import tasks
from spactor_tf.finetune import run as finetune
from tests.support import finetune_case, toy_task
from tests.testdata import task_records


class DoorTest(finetune_case.Base):
    @parameterized.named_parameters(
        ("task", {"task": "toi"}, "task: unknown name; got 'toi'.*'toy'"),
        ("twice", {"task": "toy,toy"}, "--task: names no task, or one twice"),
        ("no_task", {"task": ""}, "--task: is missing"),
        ("no_start", {"init_from": ""}, "--init_from: is missing"),
        ("start", {"init_from": "/nope"}, "/nope: no such directory"),
        (
            "batch",
            {"batch_size": 9, "accumulation_steps": 2},
            "divisible by accumulation",
        ),
        ("method", {"evaluation.method": "rang"}, "Did you mean 'rank'"),
        ("short", {"data.target_length": 2}, "label word of toy is longer"),
        ("patience", {"evaluation.patience": 0}, "patience: must be positive"),
        ("steps", {"train_steps": -1}, "train_steps: is negative"),
        ("strategy", {"runtime.strategy": "tpuu"}, "Did you mean 'tpu'"),
        ("shots", {"evaluation.shots": 5}, "--shots: toy has no exemplars"),
        ("no_shots", {"evaluation.shots": -1}, "shots: must not be negative"),
        (
            "rank",
            {"task": "words", "evaluation.method": "rank"},
            "--task=words: has no options to rank",
        ),
    )
    def test_refused_and_nothing_written(self, fields, message):
        with self.assertRaisesRegex(InputError, f"(?s){message}"):
            self.run_once("refused", self.config(**fields))
        self.assertFalse((self.base / "refused").exists())

    def test_data_that_cannot_be_used(self):
        no_label = '{"text": "a", "target": ""}'
        cases = (
            ("train", None, "no such file"),
            ("train", "", "is empty"),
            ("train", no_label, "without a target"),
            ("validation", None, "no such file"),
            # Read only after the last step, but wanted from the first.
            ("test", None, "no such file"),
            ("test", "", "test split of toy: is empty"),
            ("test", f"{no_label}\n{{", "line 2: is not JSON"),
            ("test", no_label.replace('""', '"x"'), "no label word of toy"),
        )
        for split, content, message in cases:
            with self.subTest(split, content=content):
                data = pathlib.Path(self.create_tempdir().full_path)
                toy_task.write_data(data)
                path = data / f"toy-{split}.jsonl"
                path.unlink()
                if content is not None:
                    path.write_text(content)
                with self.assertRaisesRegex(InputError, message):
                    finetune.finetune(self.config(), self.base / "bad", data)
                self.assertFalse((self.base / "bad").exists())

    def test_a_test_split_that_is_not_wanted_need_not_be_there(self):
        data = pathlib.Path(self.create_tempdir().full_path)
        toy_task.write_data(data)
        (data / "toy-test.jsonl").unlink()
        config = self.config(**{"train_steps": 1, "evaluation.test": False})
        results = finetune.finetune(config, self.base / "untested", data)
        self.assertContainsSubset({"validation"}, results["tasks"]["toy"])

    def test_exemplars_are_shown_where_they_are_asked_for(self):
        data = pathlib.Path(self.create_tempdir().full_path)
        for name, text in task_records.FILES.items():
            if name.startswith("mmlu/"):
                path = data / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        (data / "mmlu/val").mkdir()
        shutil.copy(
            data / "mmlu/test/anatomy_test.csv",
            data / "mmlu/val/anatomy_val.csv",
        )
        prompts = []

        def answer(predictor, task, examples, method):
            prompts.extend(example.inputs for example in examples)
            return ["A"] * len(examples)

        with mock.patch.object(finetune.Predictor, "predict", answer):
            results = finetune.finetune(
                self.config(
                    **{
                        "task": "mmlu_anatomy",
                        "train_steps": 0,
                        "evaluation.shots": 2,
                        "data.input_length": 1000,
                    }
                ),
                self.base / "shots",
                data,
            )
        self.assertEqual(
            results["tasks"]["mmlu_anatomy"]["test"],
            {"accuracy": 100.0, "exemplars": 2.0},
        )
        self.assertLen(prompts, 2)  # Validation and test.
        for prompt in prompts:
            self.assertEqual(prompt.count("Answer:"), 3)
            self.assertEndsWith(prompt, "Answer:")

    def test_ranking_of_free_text_is_refused_for_evaluation_only_too(self):
        data = pathlib.Path(self.create_tempdir().full_path)
        path = data / "bbh/word_sorting.json"
        path.parent.mkdir()
        path.write_text(
            '{"examples": [{"input": "Sort: b a", "target": "a b"}]}'
        )
        fields = {
            "task": "bbh_word_sorting",
            "train_steps": 0,
            "evaluation.method": "rank",
        }
        with self.assertRaisesRegex(InputError, "has no options to rank"):
            finetune.finetune(self.config(**fields), self.base / "bad", data)
        self.assertFalse((self.base / "bad").exists())

    def test_an_undefined_metric_is_found_before_any_step(self):
        one_class = toy_task.task("toy", metrics=("matthews_corrcoef",))
        data = pathlib.Path(self.create_tempdir().full_path)
        toy_task.write_data(data)
        (data / "toy-validation.jsonl").write_text(
            '{"text": "a", "target": "bad"}\n' * 3
        )
        with (
            mock.patch.dict(tasks.TASKS, toy=one_class),
            self.assertRaisesRegex(InputError, "undefined"),
        ):
            finetune.finetune(self.config(), self.base / "bad", data)
        self.assertFalse((self.base / "bad").exists())


if __name__ == "__main__":
    absltest.main()
