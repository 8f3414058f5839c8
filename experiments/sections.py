"""What the report says of each claim: words, tables and plots from logs."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments import estimates, plots
from experiments.cells import Arm
from experiments.estimates import Interval
from experiments.results import (
    PLATEAU,
    Log,
    Results,
    exit_step,
    interval_words,
    share,
    signed,
    steps,
)
from runkit.averages import in_words, mean_and_error

REFERENCE_BUDGETS = (8000, 12_000, 16_000)
# A set-up in which pre-training is ahead by less measures nothing.
LEAST_ERRORS = 5.0


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: heading.
        paragraphs: plain text.
        tables: (header, rows) of text cells.
        figures: (file name without ending, matplotlib figure, caption).
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[tuple[Sequence[str], Sequence[Sequence[str]]], ...] = ()
    figures: tuple[tuple[str, Any, str], ...] = ()


def section(results: Results) -> Section:
    """Returns the report's part on a claim."""
    makers: dict[str, Callable[[Results], Section]] = {
        "exit_step": _exits,
        "primary": _downstream,
    }
    if results.claim.name == "budget_curves":
        made = _budgets(results)
    elif results.claim.name == "downstream_setups":
        made = _setups(results)
    else:
        made = makers.get(results.claim.metric, _losses)(results)
    intro = (" ".join(results.claim.question.split()), _progress(results))
    return dataclasses.replace(made, paragraphs=(*intro, *made.paragraphs))


def _progress(results: Results) -> str:
    done, cells = len(results.logs), len(results.claim.cells)
    waiting = [a.title for a in results.claim.arms.values() if a.needs]
    text = f"{done} of {cells} runs finished."
    if waiting:
        text += f" Not run yet, for want of an option: {'; '.join(waiting)}."
    return text


def _losses(results: Results) -> Section:
    """Final losses at one budget, arm by arm: tuning and sweeps."""
    claim, tables, figures = results.claim, [], []
    for budget in sorted({cell.budget for cell in claim.cells}):
        rows = [
            (losses, arm)
            for arm in claim.arms.values()
            if (losses := results.curve(arm.name).get(budget))
        ]
        if not rows:
            continue
        base = results.curve(claim.baseline).get(budget, {})
        rows.sort(key=lambda row: statistics.fmean(row[0].values()))
        header = (
            f"{budget:,} steps",
            "seeds",
            "held-out loss",
            f"against {claim.baseline}",
            f"below {PLATEAU} at step",
            "CPU minutes per run",
        )
        table = [_loss_row(results, arm, budget, base) for _, arm in rows]
        tables.append((header, table))
        figures.append(
            (
                f"{claim.name}_{budget}",
                plots.loss_curves(_histories(results, budget)),
                f"Held-out span corruption loss, {budget:,} steps, first seed.",
            )
        )
    return Section(claim.title, (), tuple(tables), tuple(figures))


def _loss_row(
    results: Results, arm: Arm, budget: int, base: Mapping[int, float]
) -> list[str]:
    losses = results.curve(arm.name)[budget]
    logs = [log for _, log in results.cells(arm=arm.name, budget=budget)]
    paired = [losses[seed] - base[seed] for seed in losses if seed in base]
    return [
        arm.title,
        str(len(losses)),
        in_words(list(losses.values()), 3),
        signed(*mean_and_error(paired), 3) if paired else "",
        ", ".join(steps(exit_step(log)) for log in logs),
        _cpu_minutes(logs),
    ]


def _cpu_minutes(logs: Sequence[Log]) -> str:
    known = [log["cpu_seconds"] for log in logs if log["cpu_seconds"]]
    return f"{statistics.fmean(known) / 60:.0f}" if known else "unknown"


def _histories(
    results: Results, budget: int
) -> dict[str, list[tuple[int, float]]]:
    """Held-out losses over steps of the first finished seed of each arm."""
    found: dict[str, list[tuple[int, float]]] = {}
    for cell, log in results.cells(budget=budget):
        points = [
            (line["step"], line["heldout_sc_loss"])
            for line in log["lines"]
            if "heldout_sc_loss" in line
        ]
        found.setdefault(results.claim.arms[cell.arm].title, points)
    return found


def _exits(results: Results) -> Section:
    rows, distributions = [], {}
    bound = results.claim.stop_below or PLATEAU
    for arm in results.claim.arms.values():
        logs = [log for _, log in results.cells(arm=arm.name)]
        found = [exit_step(log, bound) for log in logs]
        if not found:
            continue
        distributions[arm.title] = found
        middle = estimates.bootstrap(found, estimates.median)
        rows.append(
            [
                arm.title,
                str(len(found)),
                interval_words(middle, steps),
                steps(estimates.quantile(found, 0.9)),
                steps(min(found)),
                steps(max(found)),
                _cpu_minutes(logs),
            ]
        )
    header = (
        "arm",
        "seeds",
        "median (90 % interval)",
        "90 % quantile",
        "first",
        "last",
        "CPU minutes per run",
    )
    figures: tuple[tuple[str, Any, str], ...] = ()
    if distributions:
        figure = plots.exit_distributions(distributions)
        caption = "Share of the seeds that have left the plateau."
        figures = ((results.claim.name, figure, caption),)
    tables = ((header, rows),) if rows else ()
    return Section(results.claim.title, (), tables, figures)


def _budgets(results: Results) -> Section:
    claim = results.claim
    curves = {arm: results.curve(arm) for arm in claim.arms}
    budgets = sorted({b for curve in curves.values() for b in curve})
    header = ("steps", *(arm.title for arm in claim.arms.values()))
    rows = [
        [
            f"{budget:,}",
            *(
                f"{in_words(list(losses.values()), 3)} ({len(losses)})"
                if (losses := curves[arm].get(budget))
                else ""
                for arm in claim.arms
            ),
        ]
        for budget in budgets
    ]
    tables = [(header, rows)] if rows else []
    if ratios := _ratio_rows(results, curves):
        names = (
            "arm",
            "to reach span corruption's loss at",
            "seeds",
            "iterations (90 % interval)",
            "FLOPs (90 % interval)",
        )
        tables.append((names, ratios))
    figures: tuple[tuple[str, Any, str], ...] = ()
    if rows:
        titled = {claim.arms[arm].title: c for arm, c in curves.items() if c}
        caption = "Final held-out loss over budget; one run per point."
        figures = ((claim.name, plots.budget_curves(titled), caption),)
    notes = (
        "Mean over seeds +- standard error (number of seeds). Ratios are read "
        "between the curves, over the seeds that have all budgets of both "
        'arms; "never" means: not at the largest budget.',
    )
    return Section(claim.title, notes, tuple(tables), figures)


def _ratio_rows(
    results: Results, curves: Mapping[str, estimates.Curve]
) -> list[list[str]]:
    claim, rows = results.claim, []
    base = claim.baseline
    flops = {arm: _flops_per_step(results, arm) for arm in claim.arms}
    for arm in claim.arms.values():
        for reference in REFERENCE_BUDGETS:
            if arm.name == base or not curves[arm.name] or not curves[base]:
                continue
            both = curves[base], curves[arm.name]
            found = estimates.budget_ratio(*both, reference)
            if found is None:
                continue
            ratio, seeds = found
            factor = flops[arm.name] / flops[base]
            cost = Interval(*(value * factor for value in ratio))
            rows.append(
                [
                    arm.title,
                    f"{reference:,} steps",
                    str(seeds),
                    # One seed has no interval.
                    *(
                        interval_words(x, share) if seeds > 1 else share(x[0])
                        for x in (ratio, cost)
                    ),
                ]
            )
    return rows


def _flops_per_step(results: Results, arm: str) -> float:
    """FLOPs per step over a whole run; the same at every budget."""
    for cell, log in results.cells(arm=arm):
        return log["lines"][-1]["flops"] / cell.steps
    return math.nan


def _setups(results: Results) -> Section:
    claim, rows = results.claim, []
    for task in dict.fromkeys(cell.task for cell in claim.cells):
        values = {arm: results.scores(task, arm) for arm in claim.arms}
        if not all(values.values()):
            continue
        flat = {
            arm: [v for seed in found.values() for v in seed]
            for arm, found in values.items()
        }
        base = flat.pop(claim.baseline)
        for arm, mine in flat.items():
            ahead, error = estimates.unpaired_difference(mine, base)
            errors = ahead / error if error else math.inf
            rows.append(
                [
                    task,
                    in_words(base, 2),
                    in_words(mine, 2),
                    claim.arms[arm].title,
                    signed(ahead, error, 2),
                    f"{errors:.1f}",
                    "yes" if errors >= LEAST_ERRORS else "no",
                ]
            )
    header = (
        "set-up",
        "from scratch",
        "pre-trained",
        "by",
        "difference",
        "standard errors",
        "measures",
    )
    tables = ((header, rows),) if rows else ()
    return Section(claim.title, (), tables)


def _downstream(results: Results) -> Section:
    claim = results.claim
    base = claim.baseline
    tasks = list(dict.fromkeys(cell.task for cell in claim.cells))
    others = [arm for arm in claim.arms.values() if arm.name != base]
    rows = []
    differences: dict[str, dict[str, dict[int, float]]] = {
        arm.name: {} for arm in others
    }
    for task in tasks:
        theirs = results.scores(task, base)
        if not theirs:
            continue
        row = [task, in_words([v for s in theirs.values() for v in s], 2)]
        for arm in others:
            mine = results.scores(task, arm.name)
            found = estimates.paired_difference(mine, theirs)
            row.append(signed(*found[:2], 2) if found else "")
            if found:
                differences[arm.name][task] = estimates.seed_differences(
                    mine, theirs
                )
        rows.append(row)
    if not rows:
        return Section(claim.title)
    last = ["mean", ""]
    for arm in others:
        found = estimates.mean_over_tasks(differences[arm.name])
        last.append(signed(*found[:2], 2) if found else "")
    header = ("task", claim.arms[base].title, *(arm.title for arm in others))
    note = (
        "First column: primary metric on the validation split, mean +- "
        "standard error over all runs. The others: paired difference to it, "
        "mean over fine-tuning seeds, standard error over pre-training seeds.",
    )
    return Section(claim.title, note, ((header, [*rows, last]),))
