"""The tasks that a configuration names: published, own files, own modules."""

import pathlib
import sys
from unittest import mock

from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf import tasks
from spactor_tf.config.fields import override
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.finetune.chosen_tasks import chosen_tasks
from tests.support import toy_task

MODULE = """
from spactor_tf.tasks import Example, Task, register

def examples(record, row):
    return [Example(record["text"], record["label"], str(row))]

register(Task(
    name="colors",
    suite="mine",
    source="jsonl:colors-{split}.jsonl",
    splits={"train": "train", "validation": "dev"},
    label_words=("red", "blue"),
    metrics=("accuracy",),
    to_examples=examples,
))
"""


class ChosenTasksTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.dict(tasks.TASKS))
        self.enter_context(mock.patch.dict(sys.modules))
        self.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        sys.path.insert(0, str(self.folder))
        self.enter_context(mock.patch.object(sys, "dont_write_bytecode", True))

    def chosen(self, task, **fields):
        fields = {"task": task, "init_from": "run", **fields}
        config = override(FinetuneConfig(), fields)
        config.validate()
        return chosen_tasks(config)

    def module(self, name, code):
        (self.folder / f"{name}.py").write_text(code, encoding="utf-8")

    def test_own_files_and_published_tasks_mix(self):
        found = self.chosen(
            r"sst2,tsv:a\,b.tsv,jsonl:c.jsonl:x:y",
            **{"own.label_words": "no, yes", "own.metrics": "macro_f1"},
        )
        self.assertEqual([t.name for t in found], ["sst2", "a_b", "c"])
        self.assertEqual(found[1].label_words, ("no", "yes"))
        self.assertEqual(found[2].metrics, ("macro_f1",))
        self.assertEqual(found[0].metrics, ("accuracy",))

    def test_a_module_registers_its_tasks(self):
        self.module("my_colors", MODULE)
        (self.folder / "colors-dev.jsonl").write_text(
            '{"text": "sky", "label": "blue"}\n'
        )
        for _ in range(2):  # Seeds of one process come here again.
            (task,) = self.chosen("colors", task_module="my_colors")
        (example,) = task.load("validation", data_dir=self.folder)
        self.assertEqual((example.inputs, example.targets), ("sky", "blue"))

    @parameterized.named_parameters(
        ("absent", None, "--import: there is no such module.*PYTHONPATH"),
        ("empty", "x = 1\n", "--import: registers no task"),
        ("syntax", "x = = 1\n", "bad.py, line 1: cannot be .*SyntaxError"),
        ("name", "\nx = y\n", "bad.py, line 2: cannot be .*NameError"),
        ("exit", "exit(3)\n", "bad.py, line 1: cannot be .*SystemExit: 3"),
        ("zero", "x = 1\0\n", "cannot be imported .*null bytes"),
        ("inner", "import nowhere_x\n", "line 1.*No module named 'nowhere_x'"),
        ("taken", MODULE.replace("colors", "sst2"), "sst2.*name is taken"),
        ("metric", MODULE.replace("accuracy", "acc"), "unknown name.*'acc'"),
        ("spaces", MODULE.replace('"colors"', '"my colors"'), "not a name"),
        (
            "no_split",
            MODULE.replace('"train": "train", ', ""),
            "has no split to use",
        ),
        ("no_task", MODULE.replace("register(Task", "register(dict"), "a Task"),
    )
    def test_bad_modules(self, code, message):
        if code is not None:
            self.module("bad", code)
        with self.assertRaisesRegex(InputError, f"(?s){message}"):
            self.chosen("colors", task_module="bad")

    @parameterized.parameters("bad.py", "./bad", ".bad", "a.b.c")
    def test_what_is_no_module_s_name(self, name):
        with self.assertRaisesRegex(InputError, "there is no such module"):
            self.chosen("sst2", task_module=name)

    @parameterized.named_parameters(
        ("words", "sst2", {"label_words": "a,b"}, "--label_words: is for"),
        ("metrics", "sst2", {"metrics": "accuracy"}, "--metrics: is for"),
        ("test", "tsv:a,tsv:b", {"test_file": "c"}, "belongs to one file"),
        ("twice", "tsv:x/a.tsv,tsv:y/a.tsv", {}, "two tasks are called 'a'"),
        ("holdout", "tsv:a", {"holdout": 1.0}, "own.holdout.*0 < value < 1"),
    )
    def test_options_that_do_not_fit(self, task, own, message):
        fields = {f"own.{name}": value for name, value in own.items()}
        with self.assertRaisesRegex(InputError, message):
            self.chosen(task, **fields)

    def test_tests_can_register_for_a_while(self):
        with toy_task.registered():
            self.assertEqual(self.chosen("toy")[0].suite, "toy")
        with self.assertRaisesRegex(InputError, "'toy'"):
            self.chosen("toy")


if __name__ == "__main__":
    absltest.main()
