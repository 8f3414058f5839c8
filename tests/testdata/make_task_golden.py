"""Writes tasks.json: what published code makes of records and predictions.

`make -C benchmarks golden-tasks EVALUATE=...` runs this in the environment of
the peers. Inputs and targets come from T5's own preprocessors (the package
`t5`), numbers from `t5.evaluation.metrics`, and, where a benchmark published a
script, from that too: `metrics/squad/compute_score.py`, the same of ReCoRD,
and MultiRC's function in a checkout of github.com/huggingface/evaluate, the
argument.
"""

import ast
import importlib.util
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf
from sklearn.metrics import f1_score
from t5.data import glue_utils, postprocessors, preprocessors
from t5.evaluation import metrics as t5_metrics
from task_records import RECORDS

FOLDER = pathlib.Path(__file__).resolve().parent
GLUE_NAMES = ("cola", "sst2", "mrpc", "qqp", "mnli", "qnli", "rte", "wnli")
SUPER_GLUE_NAMES = ("boolq", "cb", "copa", "multirc", "rte", "wic")
WORDS = {
    "sst2": ["negative", "positive"],
    "cola": ["unacceptable", "acceptable"],
    "mrpc": ["not_equivalent", "equivalent"],
    "cb": ["entailment", "contradiction", "neutral"],
    "multirc": ["False", "True"],
}
ACCEPTED = [
    ["24-10", "24-10 (at home)"],
    ["Dr. O'Neil's"],
    ["The End of a Day", "an end"],
    ["a.m."],
    ["the"],
    ["Zoë Müller", "Zoe"],
    ["New York City"],
    ["to be or not to be"],
]
ANSWERS = [
    "24 - 10",
    "dr oneils",
    "end of day",
    "AM",
    "a an the",
    "ZOË  müller.",
    "York city, NY",
    "be to be",
]
SUMMARIES = [
    ("The dog came home . It was late .", "A dog came home late ."),
    ("Prices rose .\nWages fell .", "Wages fell .\nPrices rose ."),
    ("Nothing here", "Rain all day . Sun at night ."),
]
SPANS = [
    ("the fluffy bunny", "bunny"),
    ("Bob", "Bob's hat"),
    ("  MY dog", "the dog"),
    ("", "the dog"),
    ("the", "dog"),
    ("cat", "dog"),
    ("Tom and Ann", "Ann"),
]


# --- inputs and targets -----------------------------------------------------


def tensors(record):
    """Lists become vectors of strings, also empty ones."""
    if isinstance(record, dict):
        return {key: tensors(value) for key, value in record.items()}
    if isinstance(record, list):
        kind = tf.int32 if record and isinstance(record[0], int) else tf.string
        return tf.constant(record, kind, shape=(len(record),))
    if isinstance(record, float):
        return tf.constant(record, tf.float32)
    return tf.constant(record)


def pairs(records, preprocessor):
    """[[inputs, targets] of each example], by a published preprocessor."""
    made = []
    for record in records:
        source = tf.data.Dataset.from_tensors(tensors(record))
        for example in preprocessor(source).as_numpy_iterator():
            texts = (example["inputs"], example["targets"])
            made.append([text.decode() for text in texts])
    return made


class Config:
    """The fields of a TFDS configuration that T5 looks at."""

    def __init__(self, name, label_classes):
        self.name, self.label_classes = name, label_classes


def label_classes():
    """TFDS's names of the labels, by "glue/cola" and so on."""
    from tensorflow_datasets.text import glue, super_glue

    found = {}
    for benchmark, builder in (
        ("glue", glue.Glue),
        ("super_glue", super_glue.SuperGlue),
    ):
        for config in builder.BUILDER_CONFIGS:
            found[f"{benchmark}/{config.name}"] = config.label_classes
    return found


def texts():
    classes = label_classes()
    names = [f"glue/{n}" for n in GLUE_NAMES]
    names += [f"super_glue/{n}" for n in SUPER_GLUE_NAMES]
    names += ["glue/stsb", "super_glue/record"]
    made = {}
    for name in names:
        config = Config(name.partition("/")[2], classes[name])
        chosen = glue_utils.get_glue_text_preprocessor(config)
        made[name] = pairs(RECORDS[name], chosen)
    made["super_glue/wsc.fixed"] = pairs(
        RECORDS["super_glue/wsc.fixed"], preprocessors.wsc_simple
    )
    made["squad/v1.1"] = pairs(RECORDS["squad/v1.1"], preprocessors.squad)
    made["cnn_dailymail"] = pairs(
        RECORDS["cnn_dailymail"],
        lambda source: preprocessors.summarize(
            source, article_key="article", summary_key="highlights"
        ),
    )
    return made


# --- metrics ----------------------------------------------------------------


def guesses(words, count, invalid, seed):
    """Random labels and predictions, some of them no label word."""
    random = np.random.default_rng(seed)
    targets = random.choice(words, count).tolist()
    right = random.random(count) < 0.6
    other = random.choice([*words, *invalid], count)
    said = np.where(right, targets, other).tolist()
    return targets, said


def ids(texts, words):
    return np.array(
        [postprocessors.string_label_to_class_id(t, words) for t in texts]
    )


def of_labels():
    chosen = {
        "sst2": [t5_metrics.accuracy],
        "cola": glue_utils.get_glue_metric("cola"),
        "mrpc": glue_utils.get_glue_metric("mrpc"),
        "cb": glue_utils.get_super_glue_metric("cb"),
    }
    made = {}
    for seed, (name, functions) in enumerate(chosen.items()):
        words = WORDS[name]
        targets, said = guesses(words, 60, ["", "yes"], seed)
        values = {}
        for function in functions:
            values |= function(ids(targets, words), ids(said, words))
        made[name] = {"targets": targets, "predictions": said, "t5": values}
    return made


def of_scores():
    random = np.random.default_rng(7)
    targets = np.round(random.uniform(0, 5, 40), 2)
    noisy = np.clip(targets + random.normal(0, 1, 40), 0, 5)
    said = [f"{value:.1f}" for value in noisy]
    said[3], said[8] = "much", ""
    numbers = [postprocessors.string_to_float(text) for text in said]
    values = {
        **t5_metrics.pearson_corrcoef(targets, numbers),
        **t5_metrics.spearman_corrcoef(targets, numbers),
    }
    return {"targets": targets.tolist(), "predictions": said, "t5": values}


def of_questions(official):
    """MultiRC: 25 questions in 6 paragraphs, whose indices start anew."""
    random = np.random.default_rng(11)
    groups = [
        {"paragraph": q // 5, "question": q % 5, "answer": a}
        for q in range(25)
        for a in range(int(random.integers(1, 5)))
    ]
    words = WORDS["multirc"]
    targets, said = guesses(words, len(groups), [], 12)
    truth, answered = ids(targets, words), ids(said, words)
    keyed = [
        {"value": t, "group": (g["paragraph"], g["question"])}
        for t, g in zip(truth, groups, strict=True)
    ]
    predicted = [{"value": p} for p in answered]
    values = t5_metrics.multirc_f1_over_all_answers(keyed, predicted)
    values |= t5_metrics.mean_group_metric(t5_metrics.all_match)(
        keyed, predicted
    )
    asked = [
        {"idx": g, "prediction": int(p)}
        for g, p in zip(groups, answered, strict=True)
    ]
    return {
        "groups": groups,
        "targets": targets,
        "predictions": said,
        "t5": values,
        "official": official(asked, truth.tolist()),
    }


def of_answers(squad, record):
    questions = [
        {"id": str(n), "answers": [{"text": text} for text in accepted]}
        for n, accepted in enumerate(ACCEPTED)
    ]
    said = {str(n): text for n, text in enumerate(ANSWERS)}
    return {
        "accepted": ACCEPTED,
        "predictions": ANSWERS,
        "t5": t5_metrics.squad(ACCEPTED, ANSWERS),
        "official_squad": squad.compute_score(
            [{"paragraphs": [{"qas": questions}]}], said
        ),
        "official_record": record.evaluate([{"qas": questions}], said)[0],
    }


def of_summaries():
    """Pair by pair: the bootstrap of one value is that value."""
    return [
        {
            "target": target,
            "prediction": prediction,
            "t5": t5_metrics.rouge([target], [prediction]),
        }
        for target, prediction in SUMMARIES
    ]


def of_spans():
    return [
        {
            "prediction": said,
            "referent": referent,
            "t5": postprocessors.wsc_simple(
                said, example={"targets_pretokenized": referent}
            ),
        }
        for said, referent in SPANS
    ]


# --- published scripts ------------------------------------------------------


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def function(path, name):
    """One function of a file whose own imports are not at hand."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [n for n in tree.body if getattr(n, "name", "") == name]
    names = {"f1_score": f1_score}
    exec(compile(tree, str(path), "exec"), names)
    return names[name]


def main(checkout):
    published = pathlib.Path(checkout) / "metrics"
    suite = published / "super_glue"
    golden = {
        "texts": texts(),
        "labels": of_labels(),
        "scores": of_scores(),
        "questions": of_questions(
            function(suite / "super_glue.py", "evaluate_multirc")
        ),
        "answers": of_answers(
            module(published / "squad" / "compute_score.py"),
            module(suite / "record_evaluation.py"),
        ),
        "summaries": of_summaries(),
        "spans": of_spans(),
    }
    text = json.dumps(golden, indent=1, ensure_ascii=False)
    (FOLDER / "tasks.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
