r"""Tasks of a user's own files, named on the command line.

    tsv:PATH                   columns `input` and `target`
    jsonl:PATH:INPUT:TARGET    fields by name; also csv: and parquet:

The files are read like every table of `runkit.datasets`: the first row of a tsv
or csv names the columns, files may be compressed, `a+b` joins two fields, and a
colon in a path is written `\:`. The input is read as it stands, without a
prefix. A target may be a list of accepted answers, the first of which is
trained on.

Validation examples come from a file of their own, or are held out: those whose
inputs have the lowest SHA-256. Examples with equal inputs stay together, the
seed does not matter, and more rows do not reshuffle the others. Both parts are
in the order of these hashes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runkit import InputError
from runkit.datasets import inputs, tables
from runkit.datasets.specification import Specification, exists, parse
from runkit.errors import check_choice, closest
from spactor_tf.tasks import metrics as metrics_lib
from spactor_tf.tasks.example import Example
from spactor_tf.tasks.task import Task

KINDS = ("tsv", "csv", "jsonl", "parquet")
FIELDS = ("input", "target")  # Where the specification names none.
_PACKED = re.compile(r"\.(gz|bz2|xz|zst)$", re.I)


@dataclasses.dataclass(frozen=True)
class OwnTask(Task):
    """A task of a user's own files.

    Attributes:
        files: of the splits that have a file of their own; "train" always has.
        holdout: share of the training file that is held out for validation.
    """

    files: Mapping[str, Specification] = dataclasses.field(default_factory=dict)
    holdout: float = 0.0

    def data_files(
        self, split: str, data_dir: str | os.PathLike | None = None
    ) -> dict[str, Any]:
        """Returns {name: path} of the files that a split is read from."""
        del data_dir  # Paths are as the user sees them.
        spec = self.files[split if split in self.files else "train"]
        paths = inputs.matching_files(spec.path, "--task", spec.spec)
        return {str(path): path for path in paths}

    def _examples(
        self, split: str, data_dir: str | os.PathLike | None
    ) -> Iterator[Example]:
        del data_dir  # Paths are as the user sees them.
        if split in self.files and (split != "train" or not self.holdout):
            yield from self._read(split)
            return
        examples = list(self._read("train"))
        held_out = held_out_inputs([e.inputs for e in examples], self.holdout)
        # Many files are sorted by target: the first examples of these splits
        # are a sample.
        for example in sorted(examples, key=lambda e: _digest(e.inputs)):
            if (example.inputs in held_out) == (split == "validation"):
                yield example

    def _read(self, split: str) -> Iterator[Example]:
        """Yields the examples of a split's own file."""
        spec = self.files[split]
        paths = inputs.matching_files(spec.path, "--task", spec.spec)
        fields = [spec.text_field, *spec.text_field.split("+")]
        number, has_targets = 0, False
        for path in paths:
            rows = tables.rows(
                path, spec.kind, fields=[*fields, spec.label_field]
            )
            for place, row in rows:
                names = tables.field_names(spec.text_field, row)
                text = tables.joined_text(row, names, place)
                if not text.strip():
                    where = f"{place}, field {spec.text_field}"
                    raise InputError("holds no text", where=where)
                answers = self._answers(row, spec.label_field, place, split)
                if number and has_targets != bool(answers):
                    raise InputError(
                        f"has {'a' if answers else 'no'} target, unlike the "
                        "rows before it",
                        where=place,
                        expected="targets in all rows of a test file, or none",
                    )
                has_targets = bool(answers)
                yield Example(
                    tables.whole_text(text, place),
                    answers[0] if answers else "",
                    str(number),
                    self._meta(answers, f"{place}, field {spec.label_field}"),
                )
                number += 1
        if not number:
            raise InputError(
                "holds no example",
                where=f"{split} file {spec.path}",
                expected=f"rows with the fields {spec.text_field} and "
                f"{spec.label_field}",
            )

    def _answers(
        self, row: Any, field: str, place: str, split: str
    ) -> list[str]:
        """Returns the accepted targets; none is fine in a test file only."""
        is_test = split == "test"
        if is_test and isinstance(row, dict) and field not in row:
            return []
        value = tables.field(row, field, place)
        where = f"{place}, field {field}"
        answers = [
            _as_text(item, where)
            for item in (value if isinstance(value, list) else [value])
        ]
        if not any(answers) and is_test:
            return []
        if not answers or not all(answers):
            raise InputError("holds no target", where=where)
        for answer in answers:
            if self.label_words and answer not in self.label_words:
                raise InputError(
                    "is not one of the label words",
                    where=where,
                    got=answer,
                    expected=", ".join(self.label_words),
                    remedy=closest(answer, self.label_words),
                )
        return answers

    def _meta(self, answers: Sequence[str], where: str) -> dict[str, Any]:
        """Returns what the metrics need of an example."""
        meta: dict[str, Any] = {"answers": list(answers)}
        if answers and set(self.metrics) & set(metrics_lib.NEED_SCORES):
            try:
                meta["score"] = float(answers[0])
            except ValueError:
                meta["score"] = math.nan
            if not math.isfinite(meta["score"]):
                raise InputError(
                    "is not a number, which a correlation needs",
                    where=where,
                    got=answers[0],
                )
        return meta


def _as_text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(
            "is not a target",
            where=where,
            got=value,
            expected="a text, a number or a list of texts",
        )
    return tables.whole_text(str(value).strip(), where)


def is_own(name: str) -> bool:
    """Whether the name of a task names files instead."""
    kind, colon, _ = name.partition(":")
    return bool(colon) and kind in (*KINDS, "text", "tfds", "npz")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()


def held_out_inputs(texts: Sequence[str], share: float) -> set[str]:
    """Returns the inputs that are held out; see the module docstring.

    Args:
        texts: one per example.
        share: of the examples, 0 < share < 1; at least one is held out.
    """
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    wanted = max(1, round(share * len(texts)))
    chosen: set[str] = set()
    number = 0
    for text in sorted(counts, key=_digest):
        if number >= wanted:
            break
        chosen.add(text)
        number += counts[text]
    return chosen


def own_task(
    spec: str,
    *,
    metrics: Sequence[str] = (),
    label_words: Sequence[str] = (),
    holdout: float = 0.1,
    validation_file: str = "",
    test_file: str = "",
) -> Task:
    """Returns the task that a specification names; nothing is read yet.

    Args:
        spec: see the module docstring.
        metrics: names in `spactor_tf.tasks.metrics`, the primary one first; ()
            takes accuracy with label words, else exact_match.
        label_words: the possible targets; () for free text.
        holdout: share of the examples that are held out for validation, if
            there is no file for it.
        validation_file: path, of the same kind and with the same fields.
        test_file: the same; its targets may be missing.

    Raises:
        InputError: no such kind, a field missing, an unknown metric or one
            that such targets do not have, a label word twice.
    """
    train = _specification(spec)
    words = tuple(label_words)
    if len(set(words)) < len(words) or len(words) == 1 or "" in words:
        raise InputError(
            "are not different words, at least two",
            where="--label_words",
            got=",".join(words),
            expected="--label_words=negative,positive",
        )
    chosen = tuple(metrics) or ("accuracy" if words else "exact_match",)
    _check_metrics(chosen, words)
    files = {"train": train}
    for split, path in (("validation", validation_file), ("test", test_file)):
        if path:
            files[split] = dataclasses.replace(
                train, path=path, spec=f"{train.kind}:{path}"
            )
    splits = dict.fromkeys(("train", "validation", *files))
    stem = pathlib.Path(_PACKED.sub("", pathlib.Path(train.path).name)).stem
    return OwnTask(
        name=re.sub(r"[^\w.-]+", "_", stem).strip("_.") or "own",
        suite="own files",
        source=spec,
        splits={split: split for split in splits},
        label_words=words,
        metrics=chosen,
        to_examples=lambda record, row: [],  # It reads its files itself.
        files=files,
        holdout=0.0 if validation_file else holdout,
    )


def _specification(spec: str) -> Specification:
    """Returns the parts of a specification, with the default fields."""
    kind, _, rest = spec.partition(":")
    check_choice(kind, KINDS, where="--task")
    path = rest.replace("\\:", ":")
    if rest and (exists(path) or ":" not in path):
        return Specification(
            spec, kind, path, text_field=FIELDS[0], label_field=FIELDS[1]
        )
    parsed = parse(spec, where="--task", kinds=KINDS)
    if not parsed.label_field:
        raise InputError(
            "names one field",
            where="--task",
            got=spec,
            expected=f"{kind}:PATH:INPUT:TARGET, or {kind}:PATH with the "
            f"fields {FIELDS[0]} and {FIELDS[1]}",
        )
    return parsed


def _check_metrics(names: Sequence[str], words: Sequence[str]) -> None:
    """Refuses metrics that are unknown or that these targets do not have."""
    usable = [n for n in metrics_lib.NAMES if n not in metrics_lib.NEED_GROUPS]
    for name in names:
        check_choice(name, usable, where="--metrics")
        missing = name in metrics_lib.NEED_WORDS and not words
        if missing or (name == "f1" and len(words) != 2):
            raise InputError(
                "is a metric of two label words"
                if name == "f1"
                else "is a metric of label words",
                where="--metrics",
                got=name,
                remedy="Give --label_words, or take macro_f1 for more than two "
                "words, token_f1 for free text",
            )
