"""SuperGLUE (arXiv 1905.00537): eight tasks, with T5's prefixes and words.

MultiRC becomes one example per answer, ReCoRD one per entity that answers, and
WSC asks which span a marked pronoun stands for (T5, section 2.4 and appendix
D). The test splits have no labels: the server keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runkit import InputError
from spactor_tf.tasks import predictions, text
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

SUITE = "SuperGLUE"
_SPLITS = {"train": "train", "validation": "validation", "test": "test"}
_TRUTH = ("False", "True")
_LOWER = ("false", "true")

# name -> T5's prefix, fields in T5's order, label words by id, metrics, the
# server's labels if they are not the words.
_CLASSIFICATION: dict[str, tuple] = {
    "boolq": (
        "boolq",
        ("passage", "question"),
        _TRUTH,
        ("accuracy",),
        _LOWER,
    ),
    "cb": (
        "cb",
        ("hypothesis", "premise"),
        ("entailment", "contradiction", "neutral"),
        ("macro_f1", "accuracy"),
        (),
    ),
    "copa": (
        "copa",
        ("choice1", "choice2", "premise", "question"),
        ("choice1", "choice2"),
        ("accuracy",),
        (0, 1),
    ),
    "super_glue_rte": (
        "rte",
        ("hypothesis", "premise"),
        ("entailment", "not_entailment"),
        ("accuracy",),
        (),
    ),
    "wic": (
        "wic",
        ("sentence1", "sentence2", "word"),
        _TRUTH,
        ("accuracy",),
        _LOWER,
    ),
}


def _classification(name: str) -> Task:
    prefix, fields, words, metrics, labels = _CLASSIFICATION[name]
    return Task(
        name=name,
        suite=SUITE,
        source=f"tfds:super_glue/{prefix}",
        splits=_SPLITS,
        label_words=words,
        metrics=metrics,
        to_examples=text.classification(prefix, fields, words),
        file_format=predictions.JsonLines(labels),
    )


# --- MultiRC ----------------------------------------------------------------


def multirc_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example: a question, one of its answers, the paragraph."""
    del row
    inputs = text.prefixed("multirc", record, ("question", "answer"))
    inputs = f"{inputs} paragraph: {record['paragraph']}"
    inputs = re.sub("</?b>", "", inputs.replace("<br>", " "))
    index = {k: record["idx"][k] for k in ("paragraph", "question", "answer")}
    group = f"{index['paragraph']}-{index['question']}"
    return [
        Example(
            inputs=inputs,
            targets=text.label_word(record, _TRUTH),
            key=f"{group}-{index['answer']}",
            meta={**index, "group": group},
        )
    ]


_MULTIRC = Task(
    name="multirc",
    suite=SUITE,
    source="tfds:super_glue/multirc",
    splits=_SPLITS,
    label_words=_TRUTH,
    metrics=("f1", "group_exact_match"),
    to_examples=multirc_examples,
    file_format=predictions.MultiRc(),
)


# --- ReCoRD -----------------------------------------------------------------


def record_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example per answer; only training uses all of them."""
    del row
    passage = re.sub(
        r"([.?!\"'])\n@highlight\n", r"\1 ", record["passage"]
    ).replace("\n@highlight\n", ". ")
    entities = ", ".join(record["entities"])
    inputs = (
        f"record query: {record['query']} entities: {entities} "
        f"passage: {passage}"
    )
    index = record["idx"]
    meta = {
        "answers": tuple(record["answers"]),
        "options": tuple(dict.fromkeys(record["entities"])),
        "group": f"{index['passage']}-{index['query']}",
    }
    return [
        Example(inputs, answer, str(index["query"]), {**meta, "copy": copy})
        for copy, answer in enumerate(record["answers"] or [""])
    ]


_RECORD = Task(
    name="record",
    suite=SUITE,
    source="tfds:super_glue/record",
    splits=_SPLITS,
    label_words=(),
    metrics=("token_f1", "exact_match"),
    to_examples=record_examples,
    keep=lambda example, split: split == "train" or example.meta["copy"] == 0,
    file_format=predictions.JsonLines(),
)


# --- WSC --------------------------------------------------------------------

_DETERMINER = re.compile(
    "a|an|the|this|that|these|those|which|my|your|his|her|our|their|whose|"
    "each|every|few|many|much|some"
)


def marked_pronoun(record: Mapping[str, Any]) -> str:
    """Returns the text with its pronoun between asterisks: "if *he* can".

    Two records of the benchmark have a wrong index, or count punctuation into
    a word: the nearest word that begins with the pronoun is taken, and the
    rest of it is set apart.

    Raises:
        InputError: the text does not contain the pronoun.
    """
    words = record["text"].rstrip().split(" ")
    pronoun, index = record["span2_text"], record["span2_index"]
    found = [i for i, word in enumerate(words) if word.startswith(pronoun)]
    if not found:
        raise InputError(
            "the text does not contain the pronoun",
            where="wsc record",
            got=pronoun,
        )

    # Equal words come first: "he" is found in "her" and "help" too.
    def distance(i: int) -> tuple[bool, int]:
        rest = words[i][len(pronoun) :]
        return rest[:1].isalnum(), abs(i - index)

    place = min(found, key=distance)
    rest = words[place][len(pronoun) :]
    words[place] = f"*{pronoun}*" + (f" {rest}" if rest else "")
    return " ".join(words)


def wsc_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example; the target is the span that the pronoun means."""
    label = text.label_word(record, _TRUTH)
    referent = record["span1_text"]
    return [
        Example(
            inputs=f"wsc: {marked_pronoun(record)}",
            targets=referent if label else "",
            key=str(record.get("idx", row)),
            meta={"label": label, "referent": referent},
        )
    ]


def _is_referent(prediction: str, example: Example) -> str:
    """Whether a generated span names the candidate: "True" or "False".

    Determiners and case do not count, and one span may hold the other ("the
    fluffy bunny", "bunny"), except that "Bob" is not "Bob's hat".
    """

    def content(span: str) -> list[str]:
        words = span.strip().lower().split(" ")
        return [w for w in words if w and not _DETERMINER.fullmatch(w)]

    said, wanted = content(prediction), content(example.meta["referent"])
    if not said:
        return ""  # Neither: an empty answer is never right.
    if ("'" in " ".join(said)) != ("'" in " ".join(wanted)):
        return "False"
    return str(set(said) <= set(wanted) or set(wanted) <= set(said))


_WSC = Task(
    name="wsc",
    suite=SUITE,
    source="tfds:super_glue/wsc.fixed",
    splits=_SPLITS,
    label_words=(),
    metrics=("accuracy",),
    to_examples=wsc_examples,
    postprocess=_is_referent,
    # Only pairs that do refer can teach which span to write.
    keep=lambda example, split: (
        split != "train" or example.meta["label"] == "True"
    ),
    file_format=predictions.JsonLines(empty="False"),
)

TASKS = (
    *(_classification(name) for name in _CLASSIFICATION),
    _MULTIRC,
    _RECORD,
    _WSC,
)
