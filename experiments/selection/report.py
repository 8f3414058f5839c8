r"""Writes docs/selection_*.md and their plots from the logs alone.

    python -m experiments.selection.report
    python -m experiments.selection.report --declaration=million

Only committed logs count for the page in the repository; the same logs give the
same text.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from absl import flags

from experiments import cell_logs
from experiments.selection import auto, declaration, figures, logs
from experiments.selection.declaration import Benchmark, Setting
from experiments.selection.figures import Curves
from runkit import InputError, atomic_write, read_json, run_binary
from runkit.errors import check_choice

FLAGS = flags.FLAGS
DOCS = cell_logs.ROOT / "docs"
# The page of each declaration, and its title.
PAGES = {
    "benchmark": ("selection_results", "Which strategy, on which pool"),
    "million": ("selection_million", "A million examples"),
}
BASELINE = "margin"
_PARENTS = {"paper": "cluster_margin", "turns": "margin_turns"}
_FEW_SEEDS = 10
_INTRO = """# {title}

Written by `python -m experiments.selection.report{flag}` from the logs in
`experiments/selection/logs`; the protocol is `experiments/selection/README.md`.
Where runs are missing, so are their rows.

"Area" is the mean test accuracy over the rounds after the seed set, in percent;
differences to plain margin are paired over seeds, in points, with one standard
error. Ranks are within a seed, among the strategies (not the variants), with
95 % bootstrap intervals. "Labels" is the share of the labels of the second-best
published strategy that reaches its final accuracy. "CPU s" is what all
selections of a run cost."""


def load_curves(
    benchmark: Benchmark, folder: pathlib.Path
) -> dict[str, Curves]:
    """Returns the curves of every setting that has any.

    A log that cannot be used is named on stderr and left out, and so is one of
    another pool, which the page names too.
    """
    found = {}
    for setting in benchmark.settings.values():
        runs: dict[str, logs.Runs] = {}
        for arm in benchmark.arms_of(setting):
            try:
                runs[arm.name] = logs.read(setting, arm, folder)
            except InputError as error:
                print(f"warning: {error}", file=sys.stderr)
        kept, notes = logs.one_pool(
            setting, runs, benchmark.arms, BASELINE, folder
        )
        for note in notes:
            print(f"warning: {setting.name}: {note}", file=sys.stderr)
        curves = figures.paired_curves(kept)
        if curves is not None and BASELINE in curves.arms:
            found[setting.name] = curves._replace(
                notes=tuple(notes), left_out=frozenset(runs.keys() - kept)
            )
    return found


def strategies(benchmark: Benchmark, curves: Curves) -> list[int]:
    """Positions of the arms that are not variants."""
    return [
        i
        for i, name in enumerate(curves.arms)
        if not benchmark.arms[name].variant
    ]


def setting_rows(benchmark: Benchmark, curves: Curves) -> list[list[str]]:
    """The table of a setting, largest area first."""
    area = curves.area
    baseline = area[curves.arms.index(BASELINE)]
    named = strategies(benchmark, curves)
    rank = dict(zip(named, figures.ranks(area[named]), strict=True))
    published = [a.name for a in benchmark.arms.values() if a.published]
    second = figures.second_best(curves, published)
    mean = curves.accuracy.mean(1)
    target = mean[curves.arms.index(second), -1] if second else None
    rows = []
    for i in np.argsort(-area.mean(1), kind="stable"):
        name = curves.arms[i]
        reached = None
        if target is not None:
            reached = figures.labels_to(curves.labels, mean[i], target)
        rows.append(
            [
                name + (" (second-best published)" if name == second else ""),
                f"{100 * area[i].mean():.2f}",
                _difference(area[i], baseline) if name != BASELINE else "0",
                _rank(rank[i]) if i in rank else "",
                f"{100 * mean[i, -1]:.2f}",
                "" if reached is None else f"{reached / curves.labels[-1]:.2f}",
                f"{curves.selection[i]:.2g}",
            ]
        )
    return rows


def overall_rows(
    benchmark: Benchmark, found: Mapping[str, Curves], *, chooses: bool
) -> list[list[str]]:
    """Mean rank over settings, and what the variants are chosen by.

    Args:
        benchmark: the declaration.
        found: curves by setting.
        chooses: settings that may choose, with variants; or the others.
    """
    ranks: dict[str, list[float]] = {}
    steps: dict[str, list[float]] = {}
    for name, curves in found.items():
        if benchmark.settings[name].chooses != chooses:
            continue
        area = curves.area
        named = strategies(benchmark, curves)
        for i, row in zip(named, figures.ranks(area[named]), strict=True):
            ranks.setdefault(curves.arms[i], []).append(float(row.mean()))
        baseline = area[curves.arms.index(BASELINE)]
        for arm, own in zip(curves.arms, area, strict=True):
            step, error = figures.difference(own, baseline)
            if error:
                steps.setdefault(arm, []).append(step / error)
    order = sorted(steps, key=lambda arm: -np.mean(steps[arm]))
    return [
        [
            arm,
            f"{np.mean(ranks[arm]):.1f}" if arm in ranks else "",
            f"{np.mean(steps[arm]):+.2f}",
            f"{min(steps[arm]):+.2f}",
            str(len(steps[arm])),
        ]
        for arm in order
    ]


def variant_rows(
    benchmark: Benchmark, found: Mapping[str, Curves]
) -> tuple[list[str], list[list[str]]]:
    """(settings, a row for each variant): less the rule it starts from."""
    names = [name for name in found if benchmark.settings[name].chooses]
    rows = []
    for arm in benchmark.arms.values():
        # The prefix of a variant's name says what it changes one thing of.
        parent = _PARENTS.get(arm.name.partition("_")[0])
        if not arm.variant or parent is None:
            continue
        cells = []
        for name in names:
            curves = found[name]
            if {arm.name, parent} <= set(curves.arms):
                own, other = map(curves.arms.index, (arm.name, parent))
                cells.append(_difference(curves.area[own], curves.area[other]))
            else:
                cells.append("")
        if any(cells):
            rows.append([arm.name, parent, *cells])
    return names, rows


def _difference(area: np.ndarray, baseline: np.ndarray) -> str:
    step, error = figures.difference(area, baseline)
    if error is None:
        return f"{100 * step:+.2f}"
    return f"{100 * step:+.2f} ± {100 * error:.2f}"


def _rank(values: np.ndarray) -> str:
    low, high = figures.interval(values)
    return f"{values.mean():.1f} ({low:.1f} to {high:.1f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def facts(
    benchmark: Benchmark, setting: Setting, curves: Curves, folder: pathlib.Path
) -> str:
    """What ran, in a sentence or two."""
    arm = benchmark.arms[curves.arms[0]]
    head = logs.head_of(setting, arm, folder)
    text = (
        f"{head['pool']['examples']:,} examples of `{setting.pool}`, "
        f"{setting.seed_size} random labels, then {setting.rounds} batches of "
        f"{setting.batch_size}"
    )
    if setting.label_noise:
        text += f"; {setting.label_noise:.0%} of the labels are wrong"
    seeds = len(curves.seeds)
    text += f". {seeds} of {benchmark.seeds} seeds"
    if seeds < _FEW_SEEDS:
        text += ": a direction, no ranking"
    missing = [
        a.name
        for a in benchmark.arms_of(setting)
        if a.name not in curves.arms and a.name not in curves.left_out
    ]
    if missing:
        text += f". Not run: {', '.join(missing)}"
    return ". ".join([text, *curves.notes]) + "."


def auto_parts(
    benchmark: Benchmark, found: Mapping[str, Curves], folder: pathlib.Path
) -> list[str]:
    """The section on what `auto` takes; none without facts of the pools."""
    judged = auto.judge(benchmark, found, folder, read_json(auto.PATH))
    if not judged:
        return []
    header = ["setting", "near copies", "batch", "auto takes"]
    header += ["best in hindsight", "loses", "without lists"]
    parts = [
        "## What `--strategies=auto` takes, and what that loses",
        auto.INTRO,
        _table(header, auto.setting_rows(judged)),
        "The same for `auto` and for one strategy everywhere, in the mean:",
        _table(
            ["strategy", "pools that choose", "pools that test", "all"],
            auto.fixed_rows(judged),
        ),
    ]
    known = {one.setting.name for one in judged}
    if others := [name for name in found if name not in known]:
        parts.append(f"Pool not measured: {', '.join(others)}.")
    return parts


def markdown(
    benchmark: Benchmark,
    found: Mapping[str, Curves],
    folder: pathlib.Path,
    name: str = "benchmark",
) -> str:
    """Returns the text of the page of a declaration."""
    page, title = PAGES[name]
    flag = "" if name == "benchmark" else f" --declaration={name}"
    parts = [_INTRO.format(title=title, flag=flag)]
    if not found:
        parts.append("No run has finished yet.")
    header = ["strategy", "mean rank", "mean of difference / s.e.", "least"]
    for title, chooses in (
        ("Pools that choose", True),
        ("Pools that test the choice", False),
    ):
        rows = overall_rows(benchmark, found, chooses=chooses)
        if rows:
            table = _table([*header, "settings"], rows)
            parts += [f"## {title}", table]
    parts += auto_parts(benchmark, found, folder)
    names, rows = variant_rows(benchmark, found)
    if rows:
        parts += [
            "## One change each",
            "Area less that of the rule that the variant changes one thing of.",
            _table(["variant", "changes", *names], rows),
        ]
    header = ["strategy", "area", "less margin", "rank", "final", "labels"]
    for setting_name, curves in found.items():
        setting = benchmark.settings[setting_name]
        parts += [
            f"## {setting_name}",
            facts(benchmark, setting, curves, folder),
            _table([*header, "CPU s"], setting_rows(benchmark, curves)),
            f"![Accuracy less that of margin, {setting_name}]"
            f"({page}/{setting_name}.png)",
        ]
    missing = [s for s in benchmark.settings if s not in found]
    if missing:
        parts.append(f"Not run yet: {', '.join(missing)}.")
    return "\n\n".join(parts) + "\n"


def write_report(
    benchmark: Benchmark,
    folder: pathlib.Path,
    docs: pathlib.Path = DOCS,
    name: str = "benchmark",
) -> pathlib.Path:
    """Writes the page and its plots; returns the page.

    Args:
        benchmark: the declaration.
        folder: of the logs.
        docs: folder of the documentation.
        name: of the declaration.
    """
    found = load_curves(benchmark, folder)
    page, _ = PAGES[name]
    for setting, curves in found.items():
        figure = figures.plot(curves, strategies(benchmark, curves), BASELINE)
        with atomic_write(docs / page / f"{setting}.png", "wb") as handle:
            # No version of the library in the file.
            figure.savefig(handle, dpi=80, metadata={"Software": None})
    path = docs / f"{page}.md"
    with atomic_write(path) as handle:
        handle.write(markdown(benchmark, found, folder, name))
    return path


def main(argv: Sequence[str]) -> None:
    """Reads logs, writes the page."""
    del argv
    folder = pathlib.Path(FLAGS.logs_dir or logs.FOLDER)
    docs = pathlib.Path(FLAGS.docs_dir or DOCS)
    name = check_choice(FLAGS.declaration, PAGES, where="--declaration")
    benchmark = declaration.load(declaration.path_of(name))
    path = write_report(benchmark, folder, docs, name)
    print(f"report: {cell_logs.shown(path)}")


def run() -> None:
    """Entry point."""
    if "docs_dir" not in FLAGS:
        flags.DEFINE_string("declaration", "benchmark", "Whose page.")
        flags.DEFINE_string("logs_dir", None, "Folder of the logs.")
        flags.DEFINE_string("docs_dir", None, "Folder that takes the page.")
    run_binary(main)


if __name__ == "__main__":
    run()
