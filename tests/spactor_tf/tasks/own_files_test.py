"""Tasks of own files: columns, targets, metrics, the held-out split."""

import json
import pathlib

from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.tasks.own_files import held_out_inputs, is_own, own_task

WORDS = ("ham", "spam")


class Base(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def mail(self, rows=20):
        lines = [f"text {i}\t{WORDS[i % 2]}\n" for i in range(rows)]
        return self.file("mail.tsv", "input\ttarget\n" + "".join(lines))


class ReadTest(Base):
    def test_tsv_with_the_default_columns(self):
        task = own_task(f"tsv:{self.mail()}", label_words=WORDS, holdout=0.25)
        self.assertEqual(task.name, "mail")
        self.assertEqual(task.metrics, ("accuracy",))
        train, validation = task.load("train"), task.load("validation")
        self.assertLen(train, 15)
        self.assertLen(validation, 5)
        both = sorted([*train, *validation], key=lambda e: int(e.key))
        self.assertEqual(
            [(e.inputs, e.targets, e.key) for e in both],
            [(f"text {i}", WORDS[i % 2], str(i)) for i in range(20)],
        )
        self.assertEqual(task.options(both[0]), WORDS)
        guesses = ["spam" for _ in validation]
        right = sum(e.targets == "spam" for e in validation)
        self.assertEqual(
            task.evaluate(guesses, validation), {"accuracy": 20.0 * right}
        )

    def test_named_fields_and_files_of_their_own(self):
        rows = [
            {"q": {"text": "one"}, "c": "C", "a": ["1", "uno"]},
            {"q": {"text": "two"}, "c": "D", "a": 2},
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        train = self.file("a:b.jsonl", lines)
        valid = self.file("valid.jsonl", lines)
        test = self.file("test.jsonl", '{"q": {"text": "three"}, "c": "E"}\n')
        task = own_task(
            f"jsonl:{train}:q.text+c:a",
            metrics=("token_f1", "rougeLsum", "pearson_corrcoef"),
            validation_file=str(valid),
            test_file=str(test),
        )
        self.assertEqual(task.name, "a_b")
        self.assertLen(task.load("train"), 2)
        first, second = task.load("validation")
        self.assertEqual((first.inputs, first.targets), ("one\nC", "1"))
        self.assertEqual(second.targets, "2")
        (asked,) = task.load("test")
        self.assertEqual((asked.inputs, asked.targets), ("three\nE", ""))
        scores = task.evaluate(["uno", "3"], [first, second])
        # Uno is an accepted answer, 3 is none: half right.
        self.assertEqual(scores["token_f1"], 50.0)
        self.assertEqual(scores["rougeLsum"], 0.0)

    @parameterized.named_parameters(
        ("no_header", "hello\tham\n", "has no field 'input'"),
        ("label", "input\ttarget\nx\tspma\n", "record 1.*'spma'.*mean 'spam'"),
        ("no_target", "input\ttarget\nx\tham\ny\t\n", "record 2.*no target"),
        ("no_text", "input\ttarget\n \tham\n", "holds no text"),
        ("cells", "input\ttarget\na\tb\tham\n", "more cells.*has no quotes"),
    )
    def test_bad_files(self, text, message):
        path = self.file("bad.tsv", text + "z\tham\n" * 3)
        task = own_task(f"tsv:{path}", label_words=WORDS)
        with self.assertRaisesRegex(InputError, message):
            task.load("train")

    def test_a_correlation_needs_numbers(self):
        path = self.file("s.tsv", "input\ttarget\nx\t1\ny\ttwo\n")
        task = own_task(f"tsv:{path}", metrics=("spearman_corrcoef",))
        with self.assertRaisesRegex(InputError, "record 2.*not a number.*two"):
            task.load("train")
        for value in ("nan", "-inf", "1e999"):
            self.file("s.tsv", f"input\ttarget\nx\t{value}\n")
            with self.assertRaisesRegex(InputError, "record 1.*not a number"):
                task.load("train")

    @parameterized.parameters("", "input\ttarget\n", '{"input": "a"}\n')
    def test_a_file_without_rows_is_named(self, text):
        options = {}
        for split in ("validation", "test"):
            options[f"{split}_file"] = str(self.file(f"{split}.tsv", text))
        empty = own_task(f"tsv:{self.file('train.tsv', text)}")
        with self.assertRaisesRegex(
            InputError, "train file .*train.tsv: holds"
        ):
            empty.load("validation")
        task = own_task(f"tsv:{self.mail()}", **options)
        for split in ("validation", "test"):
            message = f"{split} file .*{split}.tsv: holds no example"
            with self.assertRaisesRegex(InputError, message):
                task.load(split)

    def test_a_test_file_has_all_targets_or_none(self):
        for rows in ("x\tham\ny\t\n", "x\t\ny\tham\n"):
            test = self.file("t.tsv", "input\ttarget\n" + rows)
            task = own_task(f"tsv:{self.mail()}", test_file=str(test))
            with self.assertRaisesRegex(InputError, "record 2: has .* unlike"):
                task.load("test")


class HoldoutTest(Base):
    def test_equal_inputs_stay_together_and_more_rows_do_not_reshuffle(self):
        texts = [f"t{i // 2}" for i in range(200)]
        chosen = held_out_inputs(texts, 0.1)
        self.assertLen(chosen, 10)  # Twenty examples of two hundred.
        more = held_out_inputs([*texts, *(f"u{i}" for i in range(20))], 0.1)
        self.assertGreaterEqual(len(chosen & more), 8)
        self.assertEqual(held_out_inputs(["a", "a", "b"], 0.01), {"b"})

    def test_the_first_examples_of_a_sorted_file_are_a_sample(self):
        lines = [f"text {i}\t{WORDS[i // 100]}\n" for i in range(200)]
        path = self.file("m.tsv", "input\ttarget\n" + "".join(lines))
        task = own_task(f"tsv:{path}", label_words=WORDS, holdout=0.2)
        for split in ("train", "validation"):
            first = [e.targets for e in task.load(split, 20)]
            self.assertBetween(first.count("ham"), 4, 16)

    def test_splits_do_not_share_inputs(self):
        lines = [f"text {i % 30}\tspam\n" for i in range(90)]
        path = self.file("m.tsv", "input\ttarget\n" + "".join(lines))
        task = own_task(f"tsv:{path}", label_words=WORDS, holdout=0.2)
        splits = [
            {e.inputs for e in task.load(s)} for s in ("train", "validation")
        ]
        self.assertEmpty(splits[0] & splits[1])
        self.assertLen(splits[0] | splits[1], 30)
        self.assertLen(task.load("validation"), 18)


class DoorTest(Base):
    @parameterized.named_parameters(
        ("kind", "tvs:a", {}, "--task.*'tvs'.*mean 'tsv'"),
        ("one_field", "tsv:a.tsv:x", {}, "names one field.*a.tsv"),
        ("metric", "tsv:a", {"metrics": ["acuracy"]}, "mean 'accuracy'"),
        ("groups", "tsv:a", {"metrics": ["group_accuracy"]}, "unknown name"),
        ("f1", "tsv:a", {"metrics": ["f1"]}, "two label words"),
        (
            "f1_of_three",
            "tsv:a",
            {"metrics": ["f1"], "label_words": "abc"},
            "two label words.*macro_f1",
        ),
        ("words", "tsv:a", {"label_words": ["a", "a"]}, "--label_words"),
        ("one_word", "tsv:a", {"label_words": ["a"]}, "at least two"),
    )
    def test_refused_before_anything_is_read(self, spec, options, message):
        with self.assertRaisesRegex(InputError, message):
            own_task(spec, **options)

    def test_a_file_that_is_not_there(self):
        task = own_task(f"tsv:{self.folder}/no.tsv", label_words=WORDS)
        with self.assertRaisesRegex(InputError, "--task: no file matches"):
            task.load("train")

    def test_names_of_files_and_of_tasks(self):
        self.assertTrue(is_own("jsonl:a.jsonl:x:y"))
        self.assertFalse(is_own("sst2"))


if __name__ == "__main__":
    absltest.main()
