"""The report's plots: matplotlib figures without a display."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runkit.averages import mean_and_error
from runkit.report import new_figure


def loss_curves(histories: Mapping[str, Sequence[tuple[int, float]]]) -> Any:
    """Returns losses over steps, one line per arm.

    Args:
        histories: {title: [(step, loss), ...]}.
    """
    figure, axes = new_figure(8.0, 4.4)
    ends = {title: points[-1][1] for title, points in histories.items()}
    for title in sorted(ends, key=ends.__getitem__):
        points = histories[title]
        axes.plot(*zip(*points, strict=True), label=title, linewidth=1.2)
    axes.set(xlabel="step", ylabel="held-out loss (nats per token)")
    axes.set_ylim(top=5.2)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6, loc="upper right")
    return figure


def exit_distributions(distributions: Mapping[str, Sequence[float]]) -> Any:
    """Returns the share of runs that have left the plateau, over steps.

    Args:
        distributions: {title: exit steps, infinity for never}.
    """
    figure, axes = new_figure(7.0, 3.6)
    finite = [
        s for found in distributions.values() for s in found if math.isfinite(s)
    ]
    end = max(finite, default=1.0) * 1.05
    for title, found in distributions.items():
        arrived = sorted(s for s in found if math.isfinite(s))
        share = [(i + 1) / len(found) for i in range(len(arrived))]
        xs = [0.0, *arrived, end]
        ys = [0.0, *share, share[-1] if share else 0.0]
        axes.step(xs, ys, where="post", label=f"{title} ({len(found)} seeds)")
    axes.set(xlabel="step", ylabel="share of the seeds", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def budget_curves(
    curves: Mapping[str, Mapping[int, Mapping[int, float]]],
) -> Any:
    """Returns final losses over budgets, one line per arm, every run a dot.

    Args:
        curves: {title: {budget: {seed: loss}}}.
    """
    figure, axes = new_figure(7.0, 4.0)
    for number, (title, curve) in enumerate(curves.items()):
        color = f"C{number}"
        means = [mean_and_error([*v.values()])[0] for v in curve.values()]
        axes.plot(list(curve), means, color=color, label=title)
        for budget, losses in curve.items():
            xs = [budget] * len(losses)
            axes.scatter(xs, [*losses.values()], color=color, s=9)
    axes.set_xscale("log")
    ticks = sorted({budget for curve in curves.values() for budget in curve})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], fontsize=7)
    axes.minorticks_off()
    axes.set(xlabel="steps of the run", ylabel="final held-out loss (nats)")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
