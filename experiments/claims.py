"""Claims as data: arms, budgets and seeds, and the cells they make.

A claim is a TOML file of `experiments/claims`. Its arms are fields of the
binary's configuration, so a typing error is refused before anything runs. A
cell is one run of one binary: an arm at a budget with a seed. Two cells of the
same configuration, in whatever claims, share one run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import pathlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runkit import InputError
from runkit.errors import check_choice
from spactor_tf.config import overrides
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.config.presets import get_preset
from spactor_tf.config.pretrain import PretrainConfig

FOLDER = pathlib.Path(__file__).resolve().parent / "claims"
_SETTINGS = "settings"
_CLAIM_KEYS = {
    "title", "question", "kind", "metric", "settings", "stop_below", "arms",
    "rounds", "tasks", "finetune_seeds", "baseline",
}  # fmt: skip
_ARM_KEYS = {
    "name", "title", "settings", "fields", "needs", "steps_factor", "source",
    "from_scratch",
}  # fmt: skip
_ROUND_KEYS = {"priority", "budgets", "seeds", "arms", "tasks"}
_TASK_KEYS = {"name", "task", "fields"}


@dataclasses.dataclass(frozen=True)
class Arm:
    """One thing to be compared.

    Attributes:
        name: in file names and flags.
        title: in tables and plots.
        fields: {"section.field": value} of the configuration.
        needs: what is missing in the binaries; such an arm does not run.
        steps_factor: steps of this arm per step of the budget (a batch twice
            as large takes half the steps).
        source: {"claim", "arm"} of the weights that a fine-tuning starts from;
            "budget_factor" scales the budget (0.5: the run of half the steps).
        from_scratch: fine-tune random weights of the same sizes.
    """

    name: str
    title: str
    fields: dict[str, Any]
    needs: str = ""
    steps_factor: float = 1.0
    source: dict[str, Any] = dataclasses.field(default_factory=dict)
    from_scratch: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of one binary.

    Attributes:
        claim: name of the claim.
        arm: name of the arm.
        budget: pre-training steps of the arm's yardstick.
        seed: of the pre-training.
        kind: "pretrain" or "finetune".
        flags: of the binary, without output, cache and initial weights.
        steps: optimizer steps of the run.
        digest: of the configuration; equal ones are the same run.
        task: name of the claim's task; "" for pre-training.
        stop_below: the run ends once the held-out loss is below; None: never.
        priority: cells with a smaller number run earlier.
        source: the pre-training that a fine-tuning starts from.
    """

    claim: str
    arm: str
    budget: int
    seed: int
    kind: str
    flags: tuple[str, ...]
    steps: int
    digest: str
    task: str = ""
    stop_below: float | None = None
    priority: int = 0
    source: Cell | None = None

    @property
    def name(self) -> str:
        """Unique within the claim; the name of the log."""
        task = f"{self.task}-" if self.task else ""
        return f"{task}{self.arm}-{self.budget}-seed{self.seed}"

    @property
    def run_name(self) -> str:
        """Folder of the run below the runs' folder."""
        return f"{self.kind}-{self.digest}"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim with its arms and cells, as declared.

    Attributes:
        name: of the file.
        title: heading of the section.
        question: what the section answers.
        kind: "pretrain" or "finetune".
        metric: that is compared.
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


def _check_keys(values: Mapping[str, Any], known: set[str], where: str) -> None:
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
        _check_keys(entry, _ARM_KEYS, where)
        fields = shared | _fields(entry, settings, where)
        rest = {k: v for k, v in entry.items() if k != "settings"}
        arms[entry["name"]] = Arm(**(rest | {"fields": fields}))
    baseline = values.get("baseline", next(iter(arms)))
    check_choice(baseline, arms, where=f"{name}.toml, baseline")
    make = _pretrain_cells if kind == "pretrain" else _finetune_cells
    cells: dict[str, Cell] = {}
    for entry in values["rounds"]:
        _check_keys(entry, _ROUND_KEYS, f"{name}.toml, rounds")
        for arm in entry.get("arms", arms):
            check_choice(arm, arms, where=f"{name}.toml, rounds")
        for cell in make(name, values, entry, arms, load):
            cells.setdefault(cell.name, cell)
    return Claim(
        name, values["title"], values.get("question", ""), kind,
        values["metric"], baseline, values.get("stop_below"), arms,
        tuple(cells.values()),
    )  # fmt: skip


def _fields(
    entry: Mapping[str, Any], settings: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Fields of the named settings, then the entry's own."""
    fields: dict[str, Any] = {}
    for name in entry.get("settings", ()):
        check_choice(name, settings, where=f"{where}, settings")
        fields |= overrides.flatten(settings[name])
    return fields | overrides.flatten(entry.get("fields", {}))


def _in_round(
    entry: Mapping[str, Any], arms: Mapping[str, Arm]
) -> Iterable[tuple[int, int, Arm]]:
    """(seed, budget, arm), whole tables seed by seed."""
    chosen = [arms[name] for name in entry.get("arms", arms)]
    for seed, budget, arm in itertools.product(
        entry["seeds"], entry["budgets"], chosen
    ):
        if not arm.needs:
            yield seed, budget, arm


def _pretrain_cells(
    claim: str,
    values: Mapping[str, Any],
    entry: Mapping[str, Any],
    arms: Mapping[str, Arm],
    load: Any,
) -> Iterable[Cell]:
    del load
    for seed, budget, arm in _in_round(entry, arms):
        steps = round(budget * arm.steps_factor)
        fields = arm.fields | {"train_steps": steps, "seed": seed}
        preset = fields.pop("preset", "tiny")
        config = overrides.override(get_preset(preset), fields)
        config.validate()
        yield Cell(
            claim, arm.name, budget, seed, "pretrain",
            (f"--preset={preset}", *_flags(fields)), steps,
            config_digest(config), stop_below=values.get("stop_below"),
            priority=entry["priority"],
        )  # fmt: skip


def _finetune_cells(
    claim: str,
    values: Mapping[str, Any],
    entry: Mapping[str, Any],
    arms: Mapping[str, Arm],
    load: Any,
) -> Iterable[Cell]:
    tasks = {task["name"]: task for task in values["tasks"]}
    seeds = values["finetune_seeds"]
    for name in entry.get("tasks", tasks):
        check_choice(name, tasks, where=f"{claim}.toml, tasks")
        _check_keys(tasks[name], _TASK_KEYS, f"{claim}.toml, task {name}")
        for seed, budget, arm in _in_round(entry, arms):
            origin = load(arm.source["claim"])
            source = _source(origin, arm, budget, seed)
            fields = arm.fields | overrides.flatten(
                tasks[name].get("fields", {})
            )
            fields |= {"task": tasks[name]["task"]}
            config = overrides.override(
                FinetuneConfig(),
                fields | {"init_from": source.digest}
                | {"from_scratch": arm.from_scratch},
            )  # fmt: skip
            config.validate()
            flags = (
                *_flags(fields),
                f"--from_scratch={str(arm.from_scratch).lower()}",
                f"--seeds={','.join(map(str, seeds))}",
            )
            digest = config_digest(config, ",".join(map(str, seeds)))
            yield Cell(
                claim, arm.name, budget, seed, "finetune", flags,
                config.train_steps * len(seeds), digest, task=name,
                priority=entry["priority"], source=source,
            )  # fmt: skip


def _source(origin: Claim, arm: Arm, budget: int, seed: int) -> Cell:
    """The pre-training that an arm's fine-tuning starts from."""
    wanted = round(budget * arm.source.get("budget_factor", 1))
    check_choice(arm.source["arm"], origin.arms, where="source.arm")
    name = f"{arm.source['arm']}-{wanted}-seed{seed}"
    known = {cell.name: cell for cell in origin.cells}
    return known[check_choice(name, known, where=f"source of {arm.name}")]


def _flags(fields: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"--set={key}={_text(v)}" for key, v in fields.items())


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def config_digest(
    config: PretrainConfig | FinetuneConfig, more: str = ""
) -> str:
    """Tells runs apart: 12 hexadecimal digits.

    Of the fields that are not the configuration's defaults, so that a field
    that is added later leaves the digests of older runs as they are. How a run
    is executed is left out, but for when it is evaluated.
    """
    default = overrides.flatten(overrides.to_dict(type(config)()))
    changed = {
        name: value
        for name, value in overrides.flatten(overrides.to_dict(config)).items()
        if value != default[name]
        and (
            not name.startswith("runtime.")
            or name in ("runtime.eval_every", "runtime.eval_batches")
        )
    }
    text = json.dumps([changed, more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
