"""Files of predictions, as each benchmark's server wants them."""

import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import absltest, parameterized

from spactor_tf.tasks import Example, get_task


class FileTest(parameterized.TestCase):
    def write(self, name, predictions, keys, metas=None):
        metas = metas or [{}] * len(keys)
        examples = [
            Example("", "", key, meta)
            for key, meta in zip(keys, metas, strict=True)
        ]
        path = pathlib.Path(self.create_tempdir().full_path) / "file"
        get_task(name).write_predictions(path, predictions, examples)
        return path.read_text(encoding="utf-8")

    @parameterized.parameters(
        ("cola", ["acceptable", "unacceptable"], ["1", "0"]),
        ("sst2", ["positive", "negative"], ["1", "0"]),
        ("mrpc", ["equivalent", "not_equivalent"], ["1", "0"]),
        ("qqp", ["duplicate", "not_duplicate"], ["1", "0"]),
        ("wnli", ["entailment", "not_entailment"], ["1", "0"]),
        ("rte", ["entailment", "not_entailment"], None),
        ("qnli", ["not_entailment", "entailment"], None),
        ("mnli", ["contradiction", "neutral"], None),
        ("mnli_mismatched", ["neutral", "entailment"], None),
        ("stsb", ["3.2", "5.0"], None),
        ("imdb", ["positive", "negative"], ["1", "0"]),
    )
    def test_glue_tsv_is_in_the_order_of_its_index(self, name, said, written):
        written = written or said
        self.assertEqual(
            self.write(name, said, ["10", "9"]),
            f"index\tprediction\n9\t{written[1]}\n10\t{written[0]}\n",
        )

    @parameterized.parameters(
        ("boolq", "True", "true"),
        ("wic", "False", "false"),
        ("cb", "neutral", "neutral"),
        ("copa", "choice2", 1),
        ("super_glue_rte", "not_entailment", "not_entailment"),
        ("record", "Zoë", "Zoë"),
    )
    def test_super_glue_json_lines(self, name, said, label):
        lines = self.write(name, [said], ["7"])
        self.assertEqual(json.loads(lines), {"idx": 7, "label": label})

    def test_wsc_says_whether_the_span_is_the_referent(self):
        metas = [{"referent": "the dog"}] * 3
        lines = self.write("wsc", ["dog", "cat", ""], ["0", "1", "2"], metas)
        self.assertEqual(
            [json.loads(line)["label"] for line in lines.splitlines()],
            ["True", "False", "False"],
        )

    def test_multirc_nests_answers_in_questions_in_passages(self):
        indices = [(3, 1, 0), (2, 9, 5), (3, 1, 1), (3, 0, 2)]
        names = ("paragraph", "question", "answer")
        metas = [dict(zip(names, i, strict=True)) for i in indices]
        lines = self.write(
            "multirc", ["True", "False", "False", "True"], list("abcd"), metas
        ).splitlines()
        self.assertEqual(
            [json.loads(line) for line in lines],
            [
                {
                    "idx": 2,
                    "passage": {
                        "questions": [
                            {"idx": 9, "answers": [{"idx": 5, "label": 0}]},
                        ]
                    },
                },
                {
                    "idx": 3,
                    "passage": {
                        "questions": [
                            {"idx": 0, "answers": [{"idx": 2, "label": 1}]},
                            {
                                "idx": 1,
                                "answers": [
                                    {"idx": 0, "label": 1},
                                    {"idx": 1, "label": 0},
                                ],
                            },
                        ]
                    },
                },
            ],
        )

    def test_squad_json_has_answers_as_the_passage_writes_them(self):
        text = self.write(
            "squad",
            ["24 - 10", "nothing"],
            ["q1", "q2"],
            [{"context": "Won 24-10."}, {"context": "Lost."}],
        )
        self.assertEqual(json.loads(text), {"q1": "24-10", "q2": "nothing"})

    def test_rainbow_is_one_label_a_line_in_the_order_of_the_split(self):
        text = self.write("socialiqa", ["3", "1"], ["0", "1"])
        self.assertEqual(text, "3\n1\n")

    def test_a_text_that_is_no_label_becomes_the_first_one(self):
        with self.assertLogs(level="WARNING") as logs:
            text = self.write("sst2", ["great"], ["4"])
        self.assertRegex(logs.output[0], "sst2: 1 of 1 .*'negative'")
        self.assertEqual(text, "index\tprediction\n4\t0\n")


if __name__ == "__main__":
    absltest.main()
