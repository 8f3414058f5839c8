"""Who labels at a page, and the token that its address holds."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import time
import urllib.parse
from collections.abc import Iterator

from runkit import InputError, atomic_write
from runkit.files import lock_directory

FOLDER = "label_page"
_MOST_BYTES = 150  # Of a file's name, which holds the annotator's.
_LEAST_CHARACTERS = 32
# Changes of a project take less, unless a model is trained.
WAIT_SECONDS = 3.0


@contextlib.contextmanager
def sole_page(folder: pathlib.Path, annotator: str) -> Iterator[str]:
    """Keeps the page of one annotator to one process.

    The token stays the same, so that tabs that are open when a server is
    killed find the next one.

    Args:
        folder: of the project, which must be there.
        annotator: name of the person.

    Yields:
        The token, which only this user can read on disk.

    Raises:
        InputError: a name that cannot be kept, another process that serves
            the same page, or one that changes the project for long.
    """
    # Percent signs for all that a file's name cannot hold.
    name = urllib.parse.quote(annotator, safe="", errors="surrogateescape")
    if not annotator.strip() or len(name) > _MOST_BYTES:
        raise InputError(
            "is not a name for a person",
            where="--annotator",
            got=annotator,
            expected=f"1 to {_MOST_BYTES} plain characters",
        )
    path = folder / FOLDER / f"{name}.token"
    _wait_for_project(folder)
    with lock_directory(path, where="--project", beside=True):
        yield _token(path)


def _wait_for_project(folder: pathlib.Path) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with lock_directory(folder, where="--project"):
                return
        except InputError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def _token(path: pathlib.Path) -> str:
    """The token of earlier times, or a new one."""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        token = path.read_text(encoding="ascii").strip()
        if len(token) >= _LEAST_CHARACTERS:
            return token
    token = secrets.token_urlsafe(_LEAST_CHARACTERS)
    with atomic_write(path) as handle:
        os.fchmod(handle.fileno(), 0o600)
        handle.write(token + "\n")
    return token
