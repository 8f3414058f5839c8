"""Where the documents of pre-training come from.

`runkit.datasets.specification` says how a dataset is named, for example
`docstrings`, `text:GLOB:blank_lines`, `jsonl:GLOB:FIELD` or
`tfds:NAME:SPLIT:FEATURE`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from runkit import InputError
from runkit.datasets import open_texts
from runkit.datasets.inputs import sha256
from runkit.datasets.specification import TEXT_KINDS
from runkit.datasets.tables import whole_text
from runkit.files import contents

NOT_UTF_8, NO_TEXT = "not UTF-8", "without text"
_WEIGHTED = re.compile(r"(.+)@([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


@dataclasses.dataclass
class ReadingReport:
    """What reading a source met; filled while the documents are consumed.

    Attributes:
        documents: documents given out.
        invalid_utf8: {file: documents skipped because they are not UTF-8}.
        empty: {file: documents skipped because they hold no text}.
        by_file: {file: documents given out}.
    """

    documents: int = 0
    invalid_utf8: dict[str, int] = dataclasses.field(default_factory=dict)
    empty: dict[str, int] = dataclasses.field(default_factory=dict)
    by_file: dict[str, int] = dataclasses.field(default_factory=dict)


def weighted_parts(spec: str) -> list[tuple[str, float]]:
    """Splits `A@0.7,B@0.3` into datasets and their weights.

    Args:
        spec: of one dataset, or of several, each with a weight.

    Returns:
        [(specification, weight)]; the weight of a single dataset is 1.

    Raises:
        InputError: some of several have a weight, or one is not positive.
    """
    parts = [part.strip() for part in spec.split(",")]
    found = [_WEIGHTED.fullmatch(part) for part in parts]
    kinds = {part.partition(":")[0] for part in parts}
    are_several = len(parts) > 1 and kinds <= set(TEXT_KINDS)
    if not any(found) and not are_several:
        return [(spec, 1.0)]
    missing = [p for p, f in zip(parts, found, strict=True) if f is None]
    weights = [float(match[2]) for match in found if match]
    is_sum_finite = sum(weights) < math.inf
    if missing or not is_sum_finite or min(weights) <= 0:
        raise InputError(
            "has no weight"
            if missing
            else "a weight is not positive, or their sum not finite",
            where="--dataset",
            got=missing[0] if missing else spec,
            expected="DATASET@WEIGHT,DATASET@WEIGHT with positive numbers",
            remedy="A comma inside of a path is written `?`, which matches it",
        )
    return [
        (m[1], w) for m, w in zip(filter(None, found), weights, strict=True)
    ]


class Source:
    """Documents of one dataset specification, in a fixed order.

    Args:
        spec: see the module docstring.
        invalid_utf8: "skip" or "refuse" documents that are not UTF-8.
        max_documents: stop after this many; None reads all.

    Raises:
        InputError: an unknown kind of dataset, a pattern that matches nothing,
            a TFDS name that is not prepared.
    """

    def __init__(
        self,
        spec: str,
        invalid_utf8: str = "skip",
        max_documents: int | None = None,
    ):
        self.spec = spec
        self.report = ReadingReport()
        self._refuse = invalid_utf8 == "refuse"
        self._limit = max_documents
        self._texts = open_texts(spec)

    @property
    def fingerprint(self) -> str:
        """Hash of the specification and of what it names on this machine."""
        parts = [self.spec, self._texts.identity, self._limit, self._refuse]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def files(self) -> dict[str, int]:
        """{file: its bytes}; empty where the dataset has no files."""
        sizes = self._texts.identity if self._texts.paths else []
        return {name: size for name, size, _ in sizes}

    def reading(self) -> dict[str, Any]:
        """What the last pass met, as JSON can hold it."""
        report, files = self.report, self.files
        met = dict.fromkeys([*report.by_file, *report.invalid_utf8])
        # Records of TFDS name their split.
        names = met if met.keys() - files.keys() else dict.fromkeys(files)
        return {
            "dataset": self.spec,
            "files": len(files),
            "bytes": sum(files.values()),
            "documents": report.documents,
            "skipped": {
                NOT_UTF_8: sum(report.invalid_utf8.values()),
                NO_TEXT: sum(report.empty.values()),
            },
            "by_file": {
                name: {
                    "bytes": files.get(name, 0),
                    "documents": report.by_file.get(name, 0),
                    NOT_UTF_8: report.invalid_utf8.get(name, 0),
                    NO_TEXT: report.empty.get(name, 0),
                }
                for name in names
            },
        }

    def content(self, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the dataset consists of, to be compared with a later state.

        Args:
            before: an earlier answer; a file of the same size and time of
                change is not read again.

        Returns:
            {file: {"bytes", "mtime_ns", "sha256"}}, or {"dataset":
            {"sha256"}} where the dataset has no files. A time is None if the
            file changed so lately that another change could have the same, or
            if the storage does not tell.

        Raises:
            InputError: a file that cannot be read.
        """
        identity, paths = self._texts.identity, self._texts.paths
        if not paths:
            return {"dataset": _named(identity)}
        known = before or {}
        # Runs of earlier versions know of TFDS the name alone.
        earlier = _named(next(iter(paths)).rpartition("/")[0])
        if known.get("dataset", known.get(self.spec)) == earlier:
            return {"dataset": earlier}
        return contents(identity, before, lambda name: sha256(paths[name]))

    def check_unchanged(self) -> None:
        """Refuses a dataset that has changed since it was opened.

        Raises:
            InputError: it has.
        """
        if open_texts(self.spec).identity != self._texts.identity:
            raise InputError(
                "was changed while it was read",
                where="--dataset",
                got=self.spec,
                remedy="Start the same command again when nothing writes "
                "there any more",
            )

    def __iter__(self) -> Iterator[str]:
        """Yields documents that hold more than white space."""
        self.report = ReadingReport()
        records = self._texts.records(self._invalid)
        report = self.report
        for record in itertools.islice(records, self._limit):
            if record.text is None:
                continue
            counts = report.by_file if record.text.strip() else report.empty
            counts[record.source] = counts.get(record.source, 0) + 1
            if record.text.strip():
                report.documents += 1
                yield record.text

    def _invalid(self, source: str, place: str, text: str) -> None:
        """Skips and counts a document, or refuses it."""
        if self._refuse:
            try:
                whole_text(text, place)
            except InputError as error:
                raise InputError(
                    error.what,
                    where=place,
                    remedy="Convert it, or skip such text with "
                    "--set=data.invalid_utf8=skip",
                ) from None
        skipped = self.report.invalid_utf8
        skipped[source] = skipped.get(source, 0) + 1


def _named(identity: Any) -> dict[str, str]:
    """The content of a dataset that is known by a name."""
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return {"sha256": digest}
