r"""What `--strategies=auto` takes on each pool, and what that loses.

    python -m experiments.selection.auto

measures the pools that are there and writes `pool_facts.json`. The page of
`experiments.selection.report` judges the rule from that file and the logs.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from al_tf.clustering.result import load_clustering
from al_tf.selection.spreading import advice
from experiments.selection import figures, logs, pools
from experiments.selection.declaration import FOLDER, Benchmark, Setting
from experiments.selection.figures import Curves
from runkit import read_json, run_binary, write_json

FLAGS = flags.FLAGS
PATH = FOLDER / "pool_facts.json"
# What the rule takes where lists cannot be afforded, as on no pool here.
WITHOUT_LISTS = "cluster_allocation"
INTRO = """The best in hindsight is the strategy with the largest area in the
setting; being the best of several noisy means, it is flattered. A loss is
paired over seeds, in points. The rule was made on the pools that choose.
"Without lists" is its other leaf, which it takes on larger pools than these."""


class Judged(NamedTuple):
    """What `auto` does in a setting.

    Attributes:
        setting: the setting.
        facts: about its pool.
        takes: the strategy.
        best: the best one in hindsight.
        losses: (points, standard error) of every strategy against the best.
    """

    setting: Setting
    facts: advice.PoolFacts
    takes: str
    best: str
    losses: dict[str, tuple[float, float]]


def measure(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Measures the pools that have been made.

    Args:
        folder: of the pools.
    """
    found = {}
    for name in pools.MAKERS:
        if (folder / name / "pool.npz").is_file():
            pool = pools.open_fixed(name, folder)
            clustering = load_clustering(folder / name / "clusters")
            facts = advice.facts_of(clustering)._asdict()
            facts["redundancy"] = round(facts["redundancy"], 4)
            found[name] = {**facts, "checksum": pool.checksum}
    return found


def judge(
    benchmark: Benchmark,
    found: Mapping[str, Curves],
    folder: pathlib.Path,
    pool_facts: Mapping[str, Mapping[str, Any]],
) -> list[Judged]:
    """Judges the rule in every setting whose pool was measured.

    Args:
        benchmark: the declaration.
        found: curves by setting.
        folder: of the logs.
        pool_facts: from `measure`; those of another pool do not count.
    """
    judged = []
    for name, curves in found.items():
        setting = benchmark.settings[name]
        facts = dict(pool_facts.get(setting.pool, {}))
        ran_on = logs.checksum_of(
            setting, benchmark.arms[curves.arms[0]], folder
        )
        if facts.pop("checksum", None) != ran_on or not facts:
            continue
        known = advice.PoolFacts(**facts)
        area = {
            arm: values
            for arm, values in zip(curves.arms, 100 * curves.area, strict=True)
            if not benchmark.arms[arm].variant
        }
        best = max(area, key=lambda arm: float(area[arm].mean()))
        losses = {}
        for arm, values in area.items():
            loss, error = figures.difference(area[best], values)
            losses[arm] = loss, error or 0.0
        takes = advice.advise(known, setting.batch_size).strategy
        judged.append(Judged(setting, known, takes, best, losses))
    return judged


def setting_rows(judged: Sequence[Judged]) -> list[list[str]]:
    """A row for each setting, and the means of both halves."""
    rows = []
    for chooses in (True, False):
        half = [one for one in judged if one.setting.chooses == chooses]
        rows += [
            [
                one.setting.name,
                f"{one.facts.redundancy:.1%}",
                f"{one.setting.batch_size / one.facts.examples:.1%}",
                one.takes,
                one.best,
                _loss([one.losses[one.takes]]),
                _loss([one.losses[WITHOUT_LISTS]]),
            ]
            for one in half
        ]
        if half:
            own = [one.losses[one.takes] for one in half]
            other = [one.losses[WITHOUT_LISTS] for one in half]
            name = "choose" if chooses else "test"
            empty = [""] * 4
            rows.append(
                [f"**mean, pools that {name}**", *empty]
                + [_loss(own), _loss(other)]
            )
    return rows


def fixed_rows(judged: Sequence[Judged]) -> list[list[str]]:
    """Mean loss of `auto` and of each strategy taken everywhere."""
    names = set.intersection(*(set(one.losses) for one in judged))

    def means(name: str) -> list[tuple[float, float]]:
        return [
            _mean(
                [
                    one.losses[one.takes if name == advice.AUTO else name]
                    for one in judged
                    if one.setting.chooses in kinds
                ]
            )
            for kinds in ((True,), (False,), (True, False))
        ]

    found = {name: means(name) for name in (advice.AUTO, *sorted(names))}
    order = sorted(found, key=lambda name: found[name][2][0])
    return [
        [name, *(_loss([value]) for value in found[name])] for name in order
    ]


def _mean(losses: Sequence[tuple[float, float]]) -> tuple[float, float]:
    if not losses:
        return float("nan"), float("nan")
    values, errors = np.array(losses).T
    return float(values.mean()), float(np.sqrt((errors**2).sum()) / len(losses))


def _loss(losses: Sequence[tuple[float, float]]) -> str:
    value, error = _mean(losses)
    return f"{value:.2f} ± {error:.2f}" if error else f"{value:.2f}"


def main(argv: Sequence[str]) -> None:
    """Measures pools."""
    del argv
    kept = read_json(PATH) if PATH.exists() else {}
    found = measure(pathlib.Path(FLAGS.pools_dir))
    write_json(PATH, dict(sorted({**kept, **found}.items())))
    print(f"{PATH.name}: {', '.join(found)}", flush=True)


def run() -> None:
    """Entry point."""
    if "pools_dir" not in FLAGS:
        flags.DEFINE_string(
            "pools_dir", str(pools.FOLDER), "Folder of the pools."
        )
    run_binary(main)


if __name__ == "__main__":
    run()
