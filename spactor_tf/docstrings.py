"""The built-in corpus: docstrings of the Python packages that are installed.

About 20 MB of English in some 30,000 documents, there on every machine, never
stored in the repository. With the package name as the label it is also a text
classification task. What exactly it holds depends on what is installed.
"""

from __future__ import annotations

import ast
import concurrent.futures
import hashlib
import inspect
import multiprocessing
import os
import pathlib
import sysconfig
import warnings
from collections.abc import Iterator

from runkit import Progress

MIN_CHARACTERS = 200  # Shorter ones are mostly a name in other words.
_MAX_FILE_BYTES = 2_000_000
_DOCUMENTED = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef,
)  # fmt: skip


def iter_docstrings(
    root: str | os.PathLike | None = None,
) -> Iterator[tuple[str, str]]:
    """Yields (package, text) of every distinct docstring of some length.

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
        # The environment itself may well lie in a folder of that name.
        if not {"tests", "test", "testing"} & set(path.relative_to(root).parts)
        and path.is_file()  # And no link to nowhere.
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
            if text and len(text) >= MIN_CHARACTERS and _is_utf8(text):
                found.append(inspect.cleandoc(text).strip())
    return found


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # Lone surrogates from escapes in the source.
        return False
    return True


def _in_order(
    files: list[pathlib.Path],
) -> Iterator[tuple[pathlib.Path, list[str]]]:
    """Parses files on all cores and yields in the given order."""
    # "spawn" does not copy the threads that TensorFlow may have started.
    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, 8)
    if workers == 1 or len(files) < 200:
        yield from ((path, file_docstrings(path)) for path in files)
        return
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context
    ) as pool:
        progress = Progress(len(files), "files", "reading docstrings")
        found = pool.map(file_docstrings, files, chunksize=64)
        for number, pair in enumerate(zip(files, found, strict=True), 1):
            progress.update(number)
            yield pair
