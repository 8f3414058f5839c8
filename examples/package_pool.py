"""A text classification task from any machine: whose docstring is it?

    python -m examples.package_pool --output_dir=packages

Writes pool.jsonl and test.jsonl, each line {"text", "package"}: docstrings of
the installed Python packages that have the most of them. Package names are
replaced in the texts, so that the question does not contain the answer.
"""

from __future__ import annotations

import collections
import json
import pathlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from absl import flags

from runkit import InputError, atomic_write, run_binary
from runkit.datasets.docstrings import iter_docstrings
from runkit.flag_values import Flag, check_table

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag("output_dir", "Directory of the two files.", required=True),
    Flag(
        "packages", "Number of packages, the classes.", int, 10, positive=True
    ),
    Flag(
        "pool_size",
        "Most texts of each package in the pool.",
        int,
        400,
        positive=True,
    ),
    Flag(
        "test_size",
        "Number of texts of each package in the test set.",
        int,
        100,
        positive=True,
    ),
)

Row = dict[str, str]


def package_pool(
    documents: Iterable[tuple[str, str]],
    packages: int,
    pool_size: int,
    test_size: int,
    seed: int = 0,
) -> tuple[list[Row], list[Row]]:
    """Chooses texts of the packages that have the most.

    Args:
        documents: (package, text).
        packages: number of packages.
        pool_size: most texts of each package in the pool.
        test_size: number of texts of each package in the test set.
        seed: random seed of the choice.

    Returns:
        (pool, test), shuffled; {"text", "package"} each.

    Raises:
        InputError: too few packages with more than `test_size` texts.
    """
    texts: dict[str, list[str]] = collections.defaultdict(list)
    for package, text in documents:
        if package.isidentifier():
            texts[package].append(text)
    ranked = sorted(texts, key=lambda name: (-len(texts[name]), name))
    chosen = [n for n in ranked[:packages] if len(texts[n]) > test_size]
    if len(chosen) < packages:
        raise InputError(
            f"have more than {test_size} docstrings",
            where="--packages",
            got=f"{len(chosen)} packages",
            expected=f"{packages}",
            remedy="Ask for fewer packages or a smaller test set",
        )
    names = re.compile("|".join(map(re.escape, chosen)), re.IGNORECASE)
    random = np.random.default_rng(seed)
    pool: list[Row] = []
    test: list[Row] = []
    for package in chosen:
        order = random.permutation(len(texts[package]))
        rows = [
            {"text": names.sub("it", texts[package][i]), "package": package}
            for i in order[: pool_size + test_size]
        ]
        test += rows[:test_size]
        pool += rows[test_size:]
    for rows in (pool, test):
        random.shuffle(rows)
    return pool, test


def write_json_lines(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Writes one object per line."""
    with atomic_write(path) as handle:
        for row in rows:
            handle.write(json.dumps(row) + "\n")


def main(argv: Sequence[str]) -> None:
    """Reads docstrings, writes both files."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    pool, test = package_pool(
        iter_docstrings(), FLAGS.packages, FLAGS.pool_size, FLAGS.test_size
    )
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    write_json_lines(folder / "pool.jsonl", pool)
    write_json_lines(folder / "test.jsonl", test)
    packages = sorted({row["package"] for row in test})
    print(f"{len(pool):,} texts for the pool, {len(test):,} to test with")
    print(f"packages: {', '.join(packages)}")


if __name__ == "__main__":
    run_binary(main, FLAG_TABLE)
