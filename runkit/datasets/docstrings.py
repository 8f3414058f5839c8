"""The built-in corpus: docstrings of the installed Python packages.

About 20 MB of English in some 30,000 documents, present on every machine and
never stored in the repository. With the package name as the label it is also a
text classification task. Its content depends on what is installed.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Iterator
from typing import IO, cast

from runkit import Progress

MIN_CHARACTERS = 200  # Shorter ones are mostly a name in other words.
_MAX_FILE_BYTES = 2_000_000
_DOCUMENTED = (
    ast.Module,
    ast.ClassDef,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
)


def iter_docstrings(
    root: str | os.PathLike | None = None,
) -> Iterator[tuple[str, str]]:
    """Yields (package, text) of every distinct docstring that is long enough.

    The order is that of the sorted file names, so it is the same wherever the
    same packages are installed.

    Args:
        root: folder of packages; None is the environment's site-packages.
    """
    root = pathlib.Path(root or sysconfig.get_paths()["purelib"])
    files = source_files(root)
    seen: set[bytes] = set()
    for path, texts in _in_order(files):
        package = path.relative_to(root).parts[0].removesuffix(".py")
        for text in texts:
            digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
            if digest not in seen:
                seen.add(digest)
                yield package, text


def source_files(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns the Python files below `root`, sorted, without tests."""
    return sorted(
        path
        for path in root.rglob("*.py")
        # The environment itself may lie in a folder of that name.
        if not {"tests", "test", "testing"} & set(path.relative_to(root).parts)
        and path.is_file()  # Not a broken link.
        and path.stat().st_size <= _MAX_FILE_BYTES
    )


def file_docstrings(path: pathlib.Path) -> list[str]:
    """Returns the docstrings of one file; none where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            text = ast.get_docstring(node, clean=False)
            if not text or len(text) < MIN_CHARACTERS:
                continue
            # Escapes in the source may be halves of characters.
            with contextlib.suppress(UnicodeEncodeError):
                text.encode("utf-8")
                found.append(inspect.cleandoc(text).strip())
    return found


def _in_order(
    files: list[pathlib.Path],
) -> Iterator[tuple[pathlib.Path, list[str]]]:
    """Parses files on all cores and yields in the given order."""
    workers = min(os.cpu_count() or 1, 8)
    if workers == 1 or len(files) < 200:
        yield from ((path, file_docstrings(path)) for path in files)
        return
    progress = Progress(len(files), "files", "reading docstrings")
    with contextlib.ExitStack() as stack:
        # Dealt out like cards: each worker's next line is its next file.
        outputs = [
            stack.enter_context(_worker(files[first::workers]))
            for first in range(workers)
        ]
        for number, path in enumerate(files):
            line = outputs[number % workers].readline()
            if not line:
                raise RuntimeError(f"the reader of {path} ended early")
            progress.update(number + 1)
            yield path, json.loads(line)


@contextlib.contextmanager
def _worker(files: list[pathlib.Path]) -> Iterator[IO[bytes]]:
    """Starts a process that prints one line per file: its docstrings.

    Not `multiprocessing`: its children import the caller's main module again,
    which fails for a script without a `__main__` guard.
    """
    paths = os.pathsep.join(filter(None, sys.path))
    with tempfile.TemporaryFile("w+") as names:
        json.dump([str(path) for path in files], names)
        names.seek(0)
        with subprocess.Popen(
            [sys.executable, "-c", f"import {__name__} as d; d.print_all()"],
            stdin=names,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        ) as child:
            try:
                yield cast(IO[bytes], child.stdout)
            finally:
                child.kill()


def print_all() -> None:
    """Prints the docstrings of the files named on standard input, as JSON."""
    for name in json.load(sys.stdin):
        print(json.dumps(file_docstrings(pathlib.Path(name))))
