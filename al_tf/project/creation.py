"""The file that makes a folder a project, and what is checked before it."""

from __future__ import annotations

import pathlib
import secrets
from typing import NamedTuple

from al_tf.loop.label_files import check_names
from al_tf.project.examples import parts as pool_parts
from al_tf.project.examples.features import given_rows
from al_tf.project.record.state import Part
from al_tf.project.settings import Settings, settings_of
from runkit import InputError, read_json, write_json
from runkit.files import lock_directory

FILE = "project.json"
_WHERE = "--project"


class Facts(NamedTuple):
    """What the file of a project says.

    Attributes:
        name: eight characters that no other project has; batches carry it.
        settings: fixed for the project's life.
        classes: at its creation.
        first: part of the pool.
    """

    name: str
    settings: Settings
    classes: list[str]
    first: Part


def read_facts(folder: pathlib.Path) -> Facts:
    """Reads the file of a project.

    Raises:
        InputError: no project, or a damaged file.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(
            "holds no project",
            where=_WHERE,
            got=str(folder),
            remedy="Create one: --action=create --dataset=...",
        )
    found = read_json(path)
    try:
        return Facts(
            found["project"],
            settings_of(found["settings"], str(path)),
            found["classes"],
            Part(*found["part"]),
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"is not the file of a project ({error})", where=str(path)
        ) from None


def create_folder(folder: pathlib.Path, settings: Settings) -> None:
    """Creates a project, unless the same one is there.

    Raises:
        InputError: settings or a pool that cannot be used; a folder with
            another project or something else in it.
    """
    settings.validate()
    if (folder / FILE).exists():
        if read_facts(folder).settings != settings:
            raise InputError(
                "holds a project with other settings",
                where=_WHERE,
                got=str(folder),
                remedy="Name another folder, or leave the settings out",
            )
        return
    if folder.is_dir() and list(folder.glob("[!.]*")):
        raise InputError(
            "holds files but no project",
            where=_WHERE,
            got=str(folder),
            remedy="Name an empty or a new folder",
        )
    pool, test = pool_parts.open_first(settings)
    classes = list(settings.classes or pool.classes)
    if len(classes) < 2:
        raise InputError(
            "fewer than two classes are known",
            where="--classes",
            got=classes,
            remedy="Name them: --classes=ham,spam",
        )
    check_names(
        pool_parts.without_labels(pool, classes, multilabel=settings.multilabel)
    )
    if settings.embeddings:
        # Not after people have labeled the first batch.
        is_apart = pool_parts.is_apart(pool, test)
        count = len(pool) + (0 if is_apart else len(test))
        given_rows(settings.embeddings, pool, num_rows=count)
        if len(test):
            given_rows(settings.embeddings, test, by_id=is_apart)
    facts = {
        "project": secrets.token_hex(4),
        "settings": settings.facts(),
        "classes": classes,
        "part": list(pool_parts.describe(pool, settings.embeddings)),
    }
    with lock_directory(folder, where=_WHERE):
        write_json(folder / FILE, facts)
