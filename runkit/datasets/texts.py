"""Texts of a dataset, one after the other, with their labels if it has any.

Every binary reads texts here, so that one specification gives the same texts
in the same order everywhere, and the number of a text is the same too.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from runkit.datasets import inputs, plain_text, prepared_data, tables
from runkit.datasets.labels import check_id, check_label
from runkit.datasets.specification import (
    FORMS,
    UNITS,
    Specification,
    parse,
)
from runkit.datasets.tables import whole_text
from runkit.errors import InputError, closest
from runkit.files import as_path

_CACHE = re.compile(r"cache-[0-9a-f]+(_\d+_of_\d+)?\.arrow")


class Record(NamedTuple):
    """One text of a dataset.

    Attributes:
        source: file or split that holds it.
        place: where exactly, for messages.
        text: None if it was not UTF-8 and the reader passes over such texts.
        label: a text, a number, a list of these, or None.
        id: a text or a whole number, where ids are asked for.
    """

    source: str
    place: str
    text: str | None
    label: Any = None
    id: str | int | None = None


# Called with (source, place, text with lone surrogates in place of what is
# not UTF-8); returns what is read instead, or None, or raises.
Invalid = Callable[[str, str, str], str | None]


def refuse_invalid(source: str, place: str, text: str) -> str | None:
    """Refuses a text that is not UTF-8."""
    return whole_text(text, place)


class Texts(Protocol):
    """Texts in a fixed order.

    Attributes:
        identity: changes when what the specification names does; JSON can
            hold it.
        paths: {name: path} of the files that the identity lists; {} where it
            does not.
        classes: names of the classes that the source itself names, by number;
            () where the labels are the names.
    """

    identity: Any
    paths: Mapping[str, Any]
    classes: tuple[str, ...]

    def records(self, invalid: Invalid = refuse_invalid) -> Iterator[Record]:
        """Yields the records; every call begins anew.

        Raises:
            InputError: a file that cannot be read, a record without the text.
        """


def open_texts(
    spec: Specification | str,
    *,
    where: str = "--dataset",
    labeled: bool = False,
    id_field: str = "",
) -> Texts:
    """Opens the texts that a specification names.

    Args:
        spec: see `runkit.datasets.specification`.
        where: flag or argument that it came from, for messages.
        labeled: read labels too; otherwise those of the records are None.
        id_field: field of a table that holds the ids; "" reads none.

    Raises:
        InputError: nothing matches, no prepared data, no such feature, or no
            labels or ids where they are asked for.
    """
    if isinstance(spec, str):
        spec = parse(spec, where=where)
    if id_field and (
        spec.kind in ("docstrings", "tfds") or not spec.text_field
    ):
        raise InputError(
            "has no ids",
            where=where,
            got=spec.spec,
            expected=f"a table with a field {id_field}",
        )
    if spec.kind == "docstrings":
        return _Docstrings()
    if spec.kind == "tfds":
        return _Prepared(spec, where, labeled)
    return _Files(spec, where, labeled, id_field)


class _Docstrings:
    """The docstrings of the installed packages, labeled with the package."""

    classes: tuple[str, ...] = ()
    paths: Mapping[str, Any] = {}

    def __init__(self) -> None:
        import importlib.metadata

        versions = sorted(
            f"{d.metadata['Name']} {d.version}"
            for d in importlib.metadata.distributions()
        )
        lines = "\n".join(versions)
        self.identity = hashlib.sha256(lines.encode()).hexdigest()

    def records(self, invalid: Invalid = refuse_invalid) -> Iterator[Record]:
        from runkit.datasets.docstrings import iter_docstrings

        for package, text in iter_docstrings():
            yield Record(package, f"docstring of {package}", text, package)


class _Files:
    """Plain text files and tables."""

    classes: tuple[str, ...] = ()

    def __init__(
        self, spec: Specification, where: str, labeled: bool, id_field: str
    ):
        self._spec, self._labeled, self._id = spec, labeled, id_field
        self._files = inputs.matching_files(spec.path, where, spec.spec)
        self._files = _without_caches(self._files)
        self.paths: Mapping[str, Any] = {str(f): f for f in self._files}
        self.identity = inputs.identity(self._files)
        if spec.kind == "text":
            self._check_fields(where)
        if labeled and not spec.label_field:
            raise InputError(
                "names no label field",
                where=where,
                got=spec.spec,
                expected=f"{FORMS[spec.kind].partition(':')[0]}"
                ":GLOB:TEXT_FIELD:LABEL_FIELD"
                if spec.kind != "text"
                else "jsonl:GLOB:TEXT_FIELD:LABEL_FIELD",
            )

    def _check_fields(self, where: str) -> None:
        has_table = any(map(self._table, self._files))
        spec = self._spec
        if has_table and not spec.text_field:
            table = next(filter(None, map(self._table, self._files)))
            raise InputError(
                "JSON lines need the name of the text field"
                if table == "jsonl"
                else f"a {table} table needs the name of the text field",
                where=where,
                got=spec.spec,
                expected=f"text:GLOB:FIELD or {table}:GLOB:FIELD",
            )
        if spec.text_field and not has_table:
            raise InputError(
                f"names a field {spec.text_field!r}, but no file is a table",
                where=where,
                got=f"{spec.spec} ({self._files[0].name})",
                expected=FORMS["text"],
                remedy=f"Only tables ({', '.join(tables.SUFFIXES)}) have "
                f"fields. {closest(spec.text_field, UNITS)}",
            )

    def _table(self, path: Any) -> str:
        """The format of a table; "" for plain text."""
        if self._spec.kind != "text":
            return self._spec.kind
        suffix = inputs.plain_suffix(path)
        table = tables.SUFFIXES.get(suffix, "")
        # "lines" is said of a file of lines; others are never plain text.
        is_asked = self._spec.unit != "whole" and not self._spec.text_field
        if is_asked and suffix in (".json", ".csv", ".tsv"):
            return ""
        return table

    def records(self, invalid: Invalid = refuse_invalid) -> Iterator[Record]:
        for path in self._files:
            table = self._table(path)
            if table:
                yield from self._of_table(path, table, invalid)
            else:
                yield from self._of_text(path, invalid)

    def _of_table(
        self, path: Any, table: str, invalid: Invalid
    ) -> Iterator[Record]:
        source, spec = str(path), self._spec
        fields = [spec.text_field, *spec.text_field.split("+")]
        if self._labeled:
            fields.append(spec.label_field)
        fields += [self._id] * bool(self._id)
        found = tables.rows(path, table, lenient=True, fields=fields)
        for place, row in found:
            names = tables.field_names(spec.text_field, row)
            text = tables.joined_text(row, names, place)
            label = None
            if self._labeled:
                label = tables.field(row, spec.label_field, place)
                if table in ("csv", "tsv"):
                    # An empty cell is an example without a label.
                    label = (label or "").strip() or None
                check_label(label, place)
            checked = _checked(text, invalid, source, place)
            name = None
            if self._id:
                name = check_id(tables.field(row, self._id, place), place)
            yield Record(source, place, checked, label, name)

    def _of_text(self, path: Any, invalid: Invalid) -> Iterator[Record]:
        source = str(path)
        with inputs.reading(path), inputs.open_input(path) as handle:
            found = plain_text.texts(handle, self._spec.unit)
            for number, raw in enumerate(found, 1):
                text = raw.decode("utf-8", "surrogateescape")
                place = f"{source}, text {number}"
                plain_text.refuse_wide(raw, place)
                if self._spec.unit == "whole":
                    text = _without_bad_parts(text, invalid, source, place)
                yield Record(
                    source, place, _checked(text, invalid, source, place)
                )


class _Prepared:
    """A dataset of TFDS."""

    def __init__(self, spec: Specification, where: str, labeled: bool):
        self._builder = prepared_data.prepared_builder(spec.path, where)
        self._split = prepared_data.check_split(
            self._builder, spec.split, where
        )
        self._names = prepared_data.text_features(
            self._builder, spec.text_field, where
        )
        self._label: prepared_data.LabelFeature | None = None
        if labeled:
            self._label = prepared_data.label_feature(
                self._builder, spec.label_field, where
            )
        self.classes = self._label.classes if self._label else ()
        files = prepared_data.split_files(self._builder, self._split)
        self.paths: Mapping[str, Any] = {
            name: as_path(path) for name, path in files.items()
        }
        self.identity = inputs.identity(self.paths.values(), self.paths)

    def records(self, invalid: Invalid = refuse_invalid) -> Iterator[Record]:
        source = f"{self._builder.info.full_name}:{self._split}"
        label = self._label
        names = [
            *dict.fromkeys([*self._names, *([label.name] if label else [])])
        ]
        rows = prepared_data.rows(self._builder, self._split, names)
        for number, row in enumerate(rows):
            place = f"{source}, example {number}"
            text = "\n".join(
                row[name].decode("utf-8", "surrogateescape")
                for name in self._names
            )
            value = label.label(row[label.name]) if label else None
            yield Record(
                source,
                place,
                _checked(text, invalid, source, place),
                check_label(value, place),
            )


def _without_caches(files: list[Any]) -> list[Any]:
    """Leaves out the results that Hugging Face's `datasets` keeps beside data.

    They hold the same rows again, mapped or filtered. One that is named alone
    is read.
    """
    kept = [file for file in files if not _CACHE.fullmatch(file.name)]
    if not kept or len(kept) == len(files):
        return files
    print(
        f"left out {len(files) - len(kept)} file(s) cache-*.arrow, which are "
        f"caches of `datasets` and not data, beside {kept[0]}",
        file=sys.stderr,
    )
    return kept


def _without_bad_parts(
    text: str, invalid: Invalid, source: str, place: str
) -> str:
    """Drops the paragraphs of a file that are not UTF-8, if they are few.

    One bad byte must not take a whole file, or 4 MiB of one. Where most of it
    is bad, or it holds a zero, it is not text of this encoding and stays as it
    is. A text of one paragraph consists of its lines.
    """
    if not _is_bad(text) or "\0" in text:
        return text
    parts = re.split(r"(?<=\n)(?=[ \t]*\r?\n)", text)
    if len(parts) == 1:
        parts = text.splitlines(keepends=True)
    bad = [part for part in parts if _is_bad(part)]
    if 2 * len(bad) > sum(1 for part in parts if part.strip()):
        return text
    # Asked for each: it may also refuse, or be counted.
    told = [invalid(source, place, part) for part in bad]
    if any(part is not None for part in told):
        return text
    return "".join(part for part in parts if not _is_bad(part))


def _is_bad(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _checked(
    text: str, invalid: Invalid, source: str, place: str
) -> str | None:
    return invalid(source, place, text) if _is_bad(text) else text
