"""Claims as data: arms, budgets and seeds, and the cells they make.

A claim is a TOML file of `experiments/claims`. Its arms are fields of the
binary's configuration, so a typing error is refused before anything runs.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.cells import Arm, Cell, finetune_cells, pretrain_cells
from runkit import InputError
from runkit.errors import check_choice
from spactor_tf.config import fields as config_fields

FOLDER = pathlib.Path(__file__).resolve().parent / "claims"
_SETTINGS = "settings"
_CLAIM_KEYS = (
    *("title", "question", "kind", "metric", "baseline", "stop_below"),
    *("settings", "arms", "rounds", "tasks", "finetune_seeds"),
)
_ARM_KEYS = tuple(field.name for field in dataclasses.fields(Arm))
_ROUND_KEYS = ("priority", "budgets", "seeds", "arms", "tasks")
_TASK_KEYS = ("name", "task", "fields")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim with its arms and cells, as declared.

    Attributes:
        name: of the file.
        title: heading of the section.
        question: what the section answers.
        kind: "pretrain" or "finetune".
        metric: the metric that is compared.
        baseline: name of the arm that the others are compared with.
        stop_below: see `Cell`.
        arms: by name, in order.
        cells: in the order in which they run.
    """

    name: str
    title: str
    question: str
    kind: str
    metric: str
    baseline: str
    stop_below: float | None
    arms: dict[str, Arm]
    cells: tuple[Cell, ...]


def load_claims(
    names: Sequence[str] = (), folder: pathlib.Path = FOLDER
) -> dict[str, Claim]:
    """Reads declarations.

    Args:
        names: of the claims; all by default.
        folder: of the TOML files.

    Returns:
        Claims by name, also those that the named ones start from.

    Raises:
        InputError: an unknown claim, or a declaration that cannot be read.
    """
    texts = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    settings = _read(texts.pop(_SETTINGS)) if _SETTINGS in texts else {}
    for name in names:
        check_choice(name, texts, where="--experiments")
    claims: dict[str, Claim] = {}

    def load(name: str) -> Claim:
        check_choice(name, texts, where="source.claim")
        if name not in claims:
            values = _read(texts[name])
            claims[name] = _claim(name, values, settings, load)
        return claims[name]

    for name in names or texts:
        load(name)
    return claims


def select_cells(
    claims: Mapping[str, Claim],
    experiments: Sequence[str] = (),
    arms: Sequence[str] = (),
) -> list[Cell]:
    """Returns the cells of some experiments and arms, most urgent first.

    Raises:
        InputError: an unknown experiment or arm; the nearest is named.
    """
    for name in experiments:
        check_choice(name, claims, where="--experiments")
    chosen = [claims[name] for name in experiments or claims]
    known = {arm for claim in chosen for arm in claim.arms}
    for name in arms:
        check_choice(name, known, where="--arms")
    cells = [
        cell
        for claim in chosen
        for cell in claim.cells
        if not arms or cell.arm in arms
    ]
    return sorted(cells, key=lambda cell: cell.priority)


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"is not TOML ({error})", where=path.name) from None


def _check_keys(
    values: Mapping[str, Any], known: Sequence[str], where: str
) -> None:
    for key in values:
        check_choice(key, known, where=where)


def _claim(
    name: str, values: dict[str, Any], settings: dict[str, Any], load: Any
) -> Claim:
    _check_keys(values, _CLAIM_KEYS, f"{name}.toml")
    kind = check_choice(
        values["kind"], ("pretrain", "finetune"), where=f"{name}.toml, kind"
    )
    shared = _fields(values, settings, f"{name}.toml")
    arms: dict[str, Arm] = {}
    for entry in values["arms"]:
        where = f"{name}.toml, arm {entry.get('name', '?')}"
        _check_keys(entry, (*_ARM_KEYS, "settings"), where)
        fields = shared | _fields(entry, settings, where)
        rest = {k: v for k, v in entry.items() if k != "settings"}
        arms[entry["name"]] = Arm(**(rest | {"fields": fields}))
    baseline = values.get("baseline", next(iter(arms)))
    check_choice(baseline, arms, where=f"{name}.toml, baseline")
    for task in values.get("tasks", ()):
        _check_keys(task, _TASK_KEYS, f"{name}.toml, tasks")
    cells: dict[str, Cell] = {}
    for entry in values["rounds"]:
        _check_keys(entry, _ROUND_KEYS, f"{name}.toml, rounds")
        for arm in entry.get("arms", arms):
            check_choice(arm, arms, where=f"{name}.toml, rounds")
        made = (
            pretrain_cells(name, values, entry, arms)
            if kind == "pretrain"
            else finetune_cells(name, values, entry, arms, load)
        )
        for cell in made:
            # Of a cell in two rounds the more urgent one counts.
            known = cells.setdefault(cell.name, cell)
            if cell.priority < known.priority:
                cells[cell.name] = cell
    return Claim(
        name,
        values["title"],
        values.get("question", ""),
        kind,
        values["metric"],
        baseline,
        values.get("stop_below"),
        arms,
        tuple(cells.values()),
    )


def _fields(
    entry: Mapping[str, Any], settings: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Fields of the named settings, then the entry's own."""
    fields: dict[str, Any] = {}
    for name in entry.get("settings", ()):
        check_choice(name, settings, where=f"{where}, settings")
        fields |= config_fields.flatten(settings[name])
    return fields | config_fields.flatten(entry.get("fields", {}))
