"""Where documents come from: docstrings, text files, TFDS.

docstrings                       the built-in corpus
text:GLOB                        plain or .gz files; documents are separated
                                 by blank lines with `text:GLOB:blank_lines`,
                                 otherwise each file is one
text:GLOB:FIELD                  .jsonl or .jsonl.gz files, one object a line
tfds:NAME[:SPLIT][:FEATURE]      TensorFlow Datasets, prepared already

A text file is never held in memory as a whole: a document longer than 4 MiB is
cut, behind a line if it has any, and its parts count as documents of their own.
"""

from __future__ import annotations

import dataclasses
import glob
import gzip
import hashlib
import itertools
import json
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from runkit import InputError, closest
from runkit.prepared_data import (
    check_split,
    in_order,
    prepared_builder,
    split_spec,
)
from spactor_tf.data import docstrings

BLANK_LINES = "blank_lines"
_MAX_DOCUMENT_BYTES = 1 << 22
_MAX_JSON_LINE_BYTES = 1 << 26


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
        invalid_utf8: "skip" or "refuse".
        max_documents: stop after so many; None reads all.

    Raises:
        InputError: an unknown kind of source, a glob that matches nothing, a
            TFDS name that is not prepared.
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
        self._documents: Callable[[], Iterator[tuple[str, bytes | str]]]
        self._identity: Any
        kind, _, rest = spec.partition(":")
        if kind == "docstrings" and not rest:
            self._documents = self._from_docstrings
            self._identity = _docstring_identity()
        elif kind == "text":
            self._files, self._field = _text_files(rest)
            self._documents = self._from_files
            self._identity = _file_identity(self._files)
        elif kind == "tfds":
            self._builder, self._split, self._field = _open_tfds(rest)
            self._documents = self._from_tfds
            self._identity = self._builder.info.full_name
        else:
            raise InputError(
                "unknown kind of dataset", where="--dataset", got=spec,
                remedy=closest(kind, ("docstrings", "text:", "tfds:")),
            )  # fmt: skip

    @property
    def fingerprint(self) -> str:
        """Hash of the specification and of what it names on this machine."""
        parts = [self.spec, self._identity, self._limit, self._refuse]
        text = json.dumps(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __iter__(self) -> Iterator[str]:
        """Yields documents that hold more than white space."""
        self.report = ReadingReport()
        for where, raw in itertools.islice(self._documents(), self._limit):
            text = self._decode(where, raw)
            if text is not None and text.strip():
                self.report.documents += 1
                yield text

    def _decode(self, where: str, raw: bytes | str) -> str | None:
        try:
            if isinstance(raw, bytes):
                return raw.decode("utf-8")
            raw.encode("utf-8")  # JSON can escape half a surrogate pair.
            return raw
        except UnicodeError as error:
            if self._refuse:
                raise InputError(
                    f"is not UTF-8 ({error})",
                    where=where,
                    remedy="Convert it, or skip such text with "
                    "--set=data.invalid_utf8=skip",
                ) from None
            skipped = self.report.invalid_utf8
            skipped[where] = skipped.get(where, 0) + 1
            return None

    def _from_docstrings(self) -> Iterator[tuple[str, str]]:
        yield from docstrings.iter_docstrings()

    def _from_files(self) -> Iterator[tuple[str, bytes | str]]:
        for path in self._files:
            name = str(path)
            try:
                with _open(path) as handle:
                    if _is_jsonl(path):
                        yield from _json_lines(handle, name, self._field)
                    elif self._field == BLANK_LINES:
                        yield from ((name, block) for block in _blocks(handle))
                    else:
                        yield from ((name, part) for part in _parts(handle))
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(
                    f"cannot be read ({error})", where=name,
                    remedy="Repair or remove the file",
                ) from None  # fmt: skip

    def _from_tfds(self) -> Iterator[tuple[str, bytes]]:
        import tensorflow_datasets as tfds

        dataset = in_order(self._builder, self._split)
        where = f"{self._builder.info.full_name}:{self._split}"
        for example in tfds.as_numpy(dataset):
            yield where, example[self._field]


def _docstring_identity() -> str:
    import importlib.metadata

    versions = sorted(
        f"{d.metadata['Name']} {d.version}"
        for d in importlib.metadata.distributions()
    )
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()


def _file_identity(files: list[pathlib.Path]) -> list:
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]


def _text_files(rest: str) -> tuple[list[pathlib.Path], str]:
    """Returns the files and the field of "GLOB[:FIELD]"."""
    pattern, _, field = rest.partition(":")
    pattern = str(pathlib.Path(pattern).expanduser())
    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    files = [pathlib.Path(n) for n in names if pathlib.Path(n).is_file()]
    if not files:
        raise InputError(
            "matches folders but no file" if names else "no file matches",
            where="--dataset", got=f"text:{rest}",
            expected="text:GLOB, for example text:corpus/**/*.txt",
        )  # fmt: skip
    has_json = any(_is_jsonl(path) for path in files)
    if has_json and (not field or field == BLANK_LINES):
        raise InputError(
            "JSON lines need the name of the text field", where="--dataset",
            got=f"text:{rest}", expected="text:GLOB:FIELD",
        )  # fmt: skip
    if field and field != BLANK_LINES and not has_json:
        raise InputError(
            "names a field, but no file is .jsonl or .jsonl.gz",
            where="--dataset", got=f"text:{rest}",
            expected=f"text:GLOB or text:GLOB:{BLANK_LINES}",
        )  # fmt: skip
    return files, field


def _is_jsonl(path: pathlib.Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".jsonl")


def _open(path: pathlib.Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _parts(handle: IO[bytes]) -> Iterator[bytes]:
    """Yields a file whole, or in parts of at most _MAX_DOCUMENT_BYTES."""
    rest = b""
    while True:
        part = rest + handle.read(_MAX_DOCUMENT_BYTES - len(rest))
        if len(part) < _MAX_DOCUMENT_BYTES:
            break
        end = _cutting_place(part)
        yield part[:end]
        rest = part[end:]
    if part:
        yield part


def _cutting_place(text: bytes) -> int:
    """Behind the last line; in one long line, before a character."""
    if end := text.rfind(b"\n") + 1:
        return end
    end = len(text) - 1
    while end > len(text) - 4 and text[end] & 0xC0 == 0x80:
        end -= 1  # A byte that goes on with a character of UTF-8.
    return end


def _blocks(handle: IO[bytes]) -> Iterator[bytes]:
    """Yields runs of lines between blank lines."""
    block: list[bytes] = []
    size = 0
    for part in _parts(handle):
        for line in part.splitlines(keepends=True):
            if line.strip() and size + len(line) <= _MAX_DOCUMENT_BYTES:
                block.append(line)
                size += len(line)
                continue
            if block:
                yield b"".join(block)
            block = [line] if line.strip() else []
            size = len(line)
    if block:
        yield b"".join(block)


def _json_lines(
    handle: IO[bytes], name: str, field: str
) -> Iterator[tuple[str, bytes | str]]:
    lines = iter(lambda: handle.readline(_MAX_JSON_LINE_BYTES), b"")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(line) == _MAX_JSON_LINE_BYTES:
            raise InputError(
                f"is longer than {_MAX_JSON_LINE_BYTES:,} bytes",
                where=f"{name}, line {number}", expected="one object a line",
            )  # fmt: skip
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            yield name, line  # Counted and skipped, or refused, by the caller.
            continue
        where = f"{name}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"is not JSON ({error})", where=where) from None
        if not isinstance(value, dict) or field not in value:
            keys = value if isinstance(value, dict) else ()
            raise InputError(
                "has no such field", where=where, got=field,
                remedy=closest(field, keys),
            )  # fmt: skip
        if not isinstance(value[field], str):
            raise InputError(
                "is not text", where=f"{where}, field {field}",
                got=value[field],
            )  # fmt: skip
        yield name, value[field]


def _open_tfds(rest: str) -> tuple[Any, str, str]:
    """Returns (builder, split, text feature) of "NAME[:SPLIT][:FEATURE]"."""
    name, *more = split_spec(rest)
    if len(more) > 2:
        raise InputError(
            "has too many parts", where="--dataset", got=f"tfds:{rest}",
            expected="tfds:NAME[:SPLIT][:FEATURE]",
        )  # fmt: skip
    builder = prepared_builder(name)
    split = check_split(builder, more[0] if more else "train")
    texts = [
        key
        for key, feature in builder.info.features.items()
        if feature.shape == () and feature.np_dtype in (object, str, bytes)
    ]
    feature = more[1] if len(more) > 1 else (texts[0] if texts else "")
    if feature not in texts:
        raise InputError(
            "has no such text feature" if feature else "has no text feature",
            where="--dataset", got=feature or name,
            remedy=closest(feature, texts) if texts else "",
        )  # fmt: skip
    return builder, split, feature
