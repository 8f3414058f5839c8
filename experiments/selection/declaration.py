"""The declarations, read and checked: `benchmark.toml` and `forecast.toml`."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from al_tf.selection.margin_turns import TurnOptions
from al_tf.selection.strategies import STRATEGIES
from experiments.selection.pools import MAKERS
from runkit import InputError
from runkit.errors import check_choice

FOLDER = pathlib.Path(__file__).parent
PATH = FOLDER / "benchmark.toml"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A pool and a budget.

    Attributes:
        name: in file names and flags.
        pool: see `experiments.selection.pools`.
        chooses: whether variants may be chosen by it.
        seed_size: random labels to begin with.
        batch_size: labels in each round.
        rounds: number of batches.
        label_noise: share of the pool's labels that are wrong, in [0, 1).
    """

    name: str
    pool: str
    chooses: bool
    seed_size: int
    batch_size: int
    rounds: int
    label_noise: float = 0.0


@dataclasses.dataclass(frozen=True)
class Arm:
    """A strategy.

    Attributes:
        name: in file names; a name of `STRATEGIES` unless `turns` is given.
        published: whether others proposed it.
        variant: runs where variants are chosen only.
        turns: fields of `TurnOptions`; None: the strategy of that name.
        margin_batches: batches in the margin batch; None: the default.
    """

    name: str
    published: bool = False
    variant: bool = False
    turns: Mapping[str, Any] | None = None
    margin_batches: int | None = None


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """All of it.

    Attributes:
        seeds: how many.
        settings: by name.
        arms: by name.
    """

    seeds: int
    settings: dict[str, Setting]
    arms: dict[str, Arm]

    def arms_of(self, setting: Setting) -> list[Arm]:
        """Arms that run in a setting."""
        return [
            arm
            for arm in self.arms.values()
            if setting.chooses or not arm.variant
        ]


def path_of(name: str) -> pathlib.Path:
    """Returns the file of a declaration.

    Raises:
        InputError: there is none of that name.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return FOLDER / f"{check_choice(name, known, where='--declaration')}.toml"


def load(path: pathlib.Path = PATH) -> Benchmark:
    """Reads the declaration.

    Raises:
        InputError: not TOML, an unknown key, pool, strategy or option.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"is not TOML ({error})", where=path.name) from None
    _keys(values, ("seeds", "settings", "arms"), path.name)
    settings = {}
    for entry in values["settings"]:
        setting = _made(Setting, entry, path.name)
        check_choice(setting.pool, MAKERS, where=f"{path.name}, pool")
        settings[setting.name] = setting
    arms = {}
    for entry in values["arms"]:
        arm = _made(Arm, entry, path.name)
        if arm.turns is None:
            check_choice(arm.name, STRATEGIES, where=f"{path.name}, arm")
        else:
            _made(TurnOptions, arm.turns, path.name).validate()
        arms[arm.name] = arm
    return Benchmark(values["seeds"], settings, arms)


def _made(kind: type, entry: Mapping[str, Any], where: str) -> Any:
    _keys(entry, [field.name for field in dataclasses.fields(kind)], where)
    try:
        return kind(**entry)
    except TypeError as error:
        raise InputError(str(error), where=where) from None


def _keys(values: Mapping[str, Any], known: Any, where: str) -> None:
    for key in values:
        check_choice(key, known, where=where)
