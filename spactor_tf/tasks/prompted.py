"""BIG-Bench Hard (arXiv 2210.09261) and MMLU (arXiv 2009.03300).

Both are for evaluation only and are read from the files that their authors
publish: bbh/*.json, and mmlu/{dev,val,test}/*.csv (the archive's folder
"data", renamed). Each task stands alone (`bbh_navigate`, `mmlu_anatomy`), and
`bbh` and `mmlu` hold all of them.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from runkit import InputError
from runkit.errors import check_choice
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

_BBH_TASKS = (
    "boolean_expressions",
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "dyck_languages",
    "formal_fallacies",
    "geometric_shapes",
    "hyperbaton",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "logical_deduction_three_objects",
    "movie_recommendation",
    "multistep_arithmetic_two",
    "navigate",
    "object_counting",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "sports_understanding",
    "temporal_sequences",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects",
    "web_of_lies",
    "word_sorting",
)
# Choices of the tasks whose questions list no options.
_BBH_CHOICES = {
    "boolean_expressions": ("True", "False"),
    "sports_understanding": ("yes", "no"),
    "web_of_lies": ("Yes", "No"),
}
_OPTION = re.compile(r"^(?:(\([A-Z]\)) |- (.+?) *$)", re.MULTILINE)


def bbh_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example.

    Its options are the task's choices, or what stands below "Options:": "(A)",
    "(B)", ... or dashed words.
    """
    name = pathlib.PurePath(record["file"]).stem
    question = record["input"]
    options = _BBH_CHOICES.get(name)
    if options is None:
        _, _, listed = question.partition("Options:\n")
        matches = _OPTION.findall(listed)
        options = tuple(letter or word for letter, word in matches)
    target = record["target"].strip()
    meta = {"group": name, "options": options}
    return [Example(f"Q: {question}\nA:", target, f"{name}-{row}", meta)]


def _bbh(name: str) -> Task:
    whole = name == "bbh"
    return Task(
        name=name if whole else f"bbh_{name}",
        suite="BIG-Bench Hard",
        source=f"json:bbh/{'*' if whole else name}.json",
        splits={"test": "test"},
        label_words=_BBH_CHOICES.get(name, ()),
        # Published averages are over tasks, whose sizes differ.
        metrics=("group_accuracy",) if whole else ("accuracy",),
        to_examples=bbh_examples,
    )


_MMLU_SUBJECTS = (
    "abstract_algebra",
    "anatomy",
    "astronomy",
    "business_ethics",
    "clinical_knowledge",
    "college_biology",
    "college_chemistry",
    "college_computer_science",
    "college_mathematics",
    "college_medicine",
    "college_physics",
    "computer_security",
    "conceptual_physics",
    "econometrics",
    "electrical_engineering",
    "elementary_mathematics",
    "formal_logic",
    "global_facts",
    "high_school_biology",
    "high_school_chemistry",
    "high_school_computer_science",
    "high_school_european_history",
    "high_school_geography",
    "high_school_government_and_politics",
    "high_school_macroeconomics",
    "high_school_mathematics",
    "high_school_microeconomics",
    "high_school_physics",
    "high_school_psychology",
    "high_school_statistics",
    "high_school_us_history",
    "high_school_world_history",
    "human_aging",
    "human_sexuality",
    "international_law",
    "jurisprudence",
    "logical_fallacies",
    "machine_learning",
    "management",
    "marketing",
    "medical_genetics",
    "miscellaneous",
    "moral_disputes",
    "moral_scenarios",
    "nutrition",
    "philosophy",
    "prehistory",
    "professional_accounting",
    "professional_law",
    "professional_medicine",
    "professional_psychology",
    "public_relations",
    "security_studies",
    "sociology",
    "us_foreign_policy",
    "virology",
    "world_religions",
)
_LETTERS = ("A", "B", "C", "D")


def mmlu_examples(record: Mapping[str, Any], row: int) -> list[Example]:
    """Returns one example: instruction, question, choices; a letter."""
    stem = pathlib.PurePath(record["file"]).stem
    subject = stem.rpartition("_")[0]
    if len(record["row"]) != len(_LETTERS) + 2:
        raise InputError(
            f"has a row of {len(record['row'])} columns",
            where=record["file"],
            expected="question, four choices, letter",
        )
    question, *choices, letter = record["row"]
    instruction = (
        "The following are multiple choice questions (with answers) about "
        f"{subject.replace('_', ' ')}.\n\n"
    )
    listed = zip(_LETTERS, choices, strict=True)
    lines = [question, *(f"{mark}. {choice}" for mark, choice in listed)]
    return [
        Example(
            inputs=instruction + "\n".join([*lines, "Answer:"]),
            targets=check_choice(letter, _LETTERS, where=record["file"]),
            key=f"{subject}-{row}",
            meta={"group": subject, "instruction": instruction},
        )
    ]


def _mmlu(name: str) -> Task:
    whole = name == "mmlu"
    subject = "*" if whole else name
    return Task(
        name=name if whole else f"mmlu_{name}",
        suite="MMLU",
        source=f"csv:mmlu/{{split}}/{subject}_{{split}}.csv",
        splits={"exemplars": "dev", "validation": "val", "test": "test"},
        label_words=_LETTERS,
        # The published average is over questions.
        metrics=("accuracy", "group_accuracy") if whole else ("accuracy",),
        to_examples=mmlu_examples,
    )


TASKS = (
    *(_bbh(name) for name in ("bbh", *_BBH_TASKS)),
    *(_mmlu(name) for name in ("mmlu", *_MMLU_SUBJECTS)),
)
