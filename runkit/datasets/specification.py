r"""How a dataset is named on a command line, the same way in every binary.

docstrings                               docstrings of the installed packages,
                                         labeled with their package
text:GLOB[:whole|:lines|:blank_lines]    each file is one text, or each line,
                                         or each run of lines between blank
                                         ones
jsonl:GLOB:FIELD[:LABEL]                 JSON Lines, one object per line
csv:GLOB:FIELD[:LABEL]                   comma-separated, the first row names
                                         the columns
tsv:GLOB:FIELD[:LABEL]                   the same with tabs, without quoting
parquet:GLOB:FIELD[:LABEL]               Parquet; no other column is read
arrow:GLOB:FIELD[:LABEL]                 Arrow files, as Hugging Face's
                                         `datasets` keeps them on disk
npz:PATH                                 NumPy arrays; see `arrays`
tfds:NAME[:VERSION][:SPLIT][:FEATURE[:LABEL]]
                                         TensorFlow Datasets, prepared already

A GLOB is a path or a pattern (`*`, `**`, `~` for the home directory). Its files
are read in the order of their names; `.gz`, `.bz2`, `.xz` and `.zst` are
unpacked. FIELD may join several fields: `premise+hypothesis` is one text with a
line for each; `a.b` is the field `b` of the object `a`. A `jsonl:` file may
also be one JSON list of objects. `text:GLOB:FIELD[:LABEL]` reads `.jsonl`,
`.ndjson`, `.json`, `.csv`, `.tsv`, `.parquet` and `.pq` as such tables. A tfds
SPLIT is `train` if it is not named; FEATURE may be left out where the dataset
has exactly one text, or one that is named `text`.

Colons: fields are counted from the right. Where that leaves a choice, the
longest path that exists wins, so `jsonl:a:b.jsonl:text` reads the file
`a:b.jsonl`. `\:` is always a part of the path (or of the field), and so is the
colon of a drive, `C:\pool.jsonl`, or of a URL, `gs://bucket/pool.jsonl`.
"""

from __future__ import annotations

import dataclasses
import glob
import itertools
import pathlib
import re
from collections.abc import Sequence

from runkit.datasets.inputs import escaped, plain_suffix
from runkit.datasets.prepared_data import split_spec
from runkit.datasets.tables import SUFFIXES
from runkit.errors import InputError, closest
from runkit.files.storage import url_scheme

UNITS = ("whole", "lines", "blank_lines")
FORMS = {
    "docstrings": "docstrings",
    "text": "text:GLOB[:blank_lines|:lines]",
    "jsonl": "jsonl:GLOB:FIELD[:LABEL]",
    "csv": "csv:GLOB:FIELD[:LABEL]",
    "tsv": "tsv:GLOB:FIELD[:LABEL]",
    "parquet": "parquet:GLOB:FIELD[:LABEL]",
    "arrow": "arrow:GLOB:FIELD[:LABEL]",
    "npz": "npz:PATH",
    "tfds": "tfds:NAME[:SPLIT][:FEATURE[:LABEL]]",
}
_TABLES = ("jsonl", "csv", "tsv", "parquet", "arrow")
TEXT_KINDS = ("docstrings", "text", *_TABLES, "tfds")
LABELED_KINDS = (*TEXT_KINDS, "npz")


def forms(kinds: Sequence[str], *, label: bool = False) -> str:
    """Returns how datasets are named, for the help of a flag.

    Args:
        kinds: kinds of dataset that can be used there.
        label: the field of the label has to be named too, which plain text
            does not have.
    """
    shown = [FORMS[kind] for kind in kinds if not (label and kind == "text")]
    change = ("FIELD[:LABEL]", "FIELD:LABEL") if label else ("[:LABEL]", "")
    shown = [form.replace(*change) for form in shown]
    return f"{', '.join(shown[:-1])} or {shown[-1]}"


@dataclasses.dataclass(frozen=True)
class Specification:
    """A dataset specification in its parts.

    Attributes:
        spec: as it was given.
        kind: a key of `FORMS`.
        path: path or pattern of files, or the name of a TFDS dataset.
        split: of a TFDS dataset.
        unit: of `UNITS`, what is one text in a plain text file.
        text_field: field, column or feature of the text, or several joined
            by "+"; "" if none is named.
        label_field: the same for the label; always one.
    """

    spec: str
    kind: str
    path: str = ""
    split: str = "train"
    unit: str = "whole"
    text_field: str = ""
    label_field: str = ""


def parse(
    spec: str, *, where: str = "--dataset", kinds: Sequence[str] = TEXT_KINDS
) -> Specification:
    """Splits a specification; see the module docstring.

    Nothing is read, but whether a path exists may decide about a colon.

    Args:
        spec: the specification.
        where: flag or argument that it came from, for messages.
        kinds: kinds of dataset that can be used there.

    Raises:
        InputError: an unknown kind, a part that is missing or too much.
    """
    kind, colon, rest = spec.partition(":")
    if kind not in kinds:
        raise InputError(
            "this kind of dataset cannot be used here"
            if kind in set(FORMS) - set(kinds)
            else "unknown kind of dataset",
            where=where,
            got=spec,
            expected=" or ".join(FORMS[known] for known in kinds),
            remedy=_of_path(spec, kinds) or closest(kind, kinds),
        )
    if kind == "docstrings":
        if colon:
            raise InputError(
                "has nothing to choose from",
                where=where,
                got=spec,
                expected=FORMS[kind],
            )
        return Specification(spec, kind)
    if not rest.strip(":"):
        raise InputError(
            "names nothing", where=where, got=spec, expected=FORMS[kind]
        )
    if kind == "tfds":
        return _prepared(spec, rest, where)
    most = {"npz": 0}.get(kind, 2)
    path, options = _split_path(rest, most)
    _check_parts(rest, path, most, Specification(spec, kind), where)
    unit = "whole"
    if kind == "text" and options and options[0] in UNITS:
        unit, *options = options
    if any(options) and unit != "whole":
        raise InputError(
            f"has a field after {unit!r}",
            where=where,
            got=spec,
            expected=FORMS[kind],
        )
    if not path:
        raise InputError(
            "names no file", where=where, got=spec, expected=FORMS[kind]
        )
    text_field, label_field = [*options, "", ""][:2]
    if kind in _TABLES and not text_field:
        raise InputError(
            "names no text field", where=where, got=spec, expected=FORMS[kind]
        )
    return Specification(
        spec,
        kind,
        path=path,
        unit=unit,
        text_field=text_field,
        label_field=label_field,
    )


def _of_path(spec: str, kinds: Sequence[str]) -> str:
    """What to write for a path that is given without its kind."""
    if not exists(spec):
        return ""
    suffix = plain_suffix(pathlib.Path(spec))
    kind = "npz" if suffix == ".npz" else SUFFIXES.get(suffix, "text")
    if kind not in kinds:
        return ""
    form = FORMS[kind].replace("GLOB", spec).replace("PATH", spec)
    return f"Did you mean {form}?"


def _prepared(spec: str, rest: str, where: str) -> Specification:
    name, *more = split_spec(rest)
    if len(more) > 3:
        raise InputError(
            "has too many parts",
            where=where,
            got=spec,
            expected=FORMS["tfds"],
        )
    split, text_field, label_field = [*more, "", "", ""][:3]
    return Specification(
        spec,
        "tfds",
        path=name,
        split=split or "train",
        text_field=text_field,
        label_field=label_field,
    )


def _split_path(rest: str, most: int) -> tuple[str, list[str]]:
    """Splits "PATH[:OPTION]..." into the path and at most `most` options."""
    parts = [p.replace("\\:", ":") for p in re.split(r"(?<!\\):", rest)]
    has_drive = len(parts) > 1 and re.match(r"[A-Za-z]$", parts[0])
    has_root = len(parts) > 1 and parts[1][:1] in ("\\", "/")
    is_url = len(parts) > 1 and parts[1].startswith("//")
    least = 2 if (has_drive and has_root) or is_url else 1
    fewest = max(least, len(parts) - most)
    for count in range(len(parts), fewest, -1):
        path = ":".join(parts[:count])
        if exists(path):
            return path, parts[count:]
    return ":".join(parts[:fewest]), parts[fewest:]


def _check_parts(
    rest: str, path: str, most: int, spec: Specification, where: str
) -> None:
    """Refuses parts behind a file that exists, which no path can hold."""
    if exists(path):
        return
    for short in itertools.accumulate(path.split(":"), "{}:{}".format):
        if short != path and exists(short):
            more = rest.removeprefix(short + ":")
            raise InputError(
                f"has more parts behind {short} than can be used",
                where=where,
                got=f"{spec.spec} ({more})",
                expected=FORMS[spec.kind],
                remedy=f"At most {most} parts follow a path",
            )


def exists(pattern: str) -> bool:
    """Whether a local path exists or a pattern matches something."""
    if url_scheme(pattern):
        return False  # Whoever opens it asks the storage, once.
    try:
        path = pathlib.Path(pattern).expanduser()
        return path.exists() or (
            glob.has_magic(pattern)
            and any(
                True
                for _ in glob.iglob(escaped(path), recursive=True)  # noqa: PTH207
            )
        )
    except (OSError, RuntimeError, ValueError, re.error):
        return False  # No name of a file; whoever opens it says so.
