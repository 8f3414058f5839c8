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
from collections.abc import Iterator

from runkit import InputError
from runkit.datasets import open_texts
from runkit.datasets.tables import whole_text


@dataclasses.dataclass
class ReadingReport:
    """What reading a source met; filled while the documents are consumed.

    Attributes:
        documents: documents given out.
        invalid_utf8: {file: documents skipped because they are not UTF-8}.
    """

    documents: int = 0
    invalid_utf8: dict[str, int] = dataclasses.field(default_factory=dict)


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

    def __iter__(self) -> Iterator[str]:
        """Yields documents that hold more than white space."""
        self.report = ReadingReport()
        records = self._texts.records(self._invalid)
        for record in itertools.islice(records, self._limit):
            if record.text is not None and record.text.strip():
                self.report.documents += 1
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
