"""A text classification task that every machine has: whose docstring is it?

    python -m examples.package_pool --output_dir=packages

Writes pool.jsonl and test.jsonl, {"text", "package"} a line: docstrings of the
installed Python packages with the most of them. Package names are cut out of
the texts, so that the answer does not stand in the question.
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
from runkit.flag_values import check_flags

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_string("output_dir", None, "Folder of the files. Required.")
    flags.DEFINE_integer("packages", 10, "Packages with the most docstrings.")
    flags.DEFINE_integer("pool_size", 400, "Texts of each in the pool.")
    flags.DEFINE_integer("test_size", 100, "Texts of each in the test set.")


def package_pool(
    documents: Iterable[tuple[str, str]],
    packages: int,
    pool_size: int,
    test_size: int,
    seed: int = 0,
) -> tuple[list[dict], list[dict]]:
    """Chooses texts of the packages that have the most.

    Args:
        documents: (package, text).
        packages: how many.
        pool_size: texts of each package in the pool, at most.
        test_size: texts of each package in the test set.
        seed: of the choice.

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
    pool: list[dict] = []
    test: list[dict] = []
    for package in chosen:
        order = random.permutation(len(texts[package]))
        rows = [
            {"text": names.sub("it", texts[package][i]), "package": package}
            for i in order[: pool_size + test_size]
        ]
        test += rows[:test_size]
        pool += rows[test_size:]
    for rows in (pool, test):
        random.shuffle(rows)  # type: ignore[arg-type]
    return pool, test


def write_json_lines(path: pathlib.Path, rows: Iterable[dict]) -> None:
    """Writes one object a line."""
    with atomic_write(path) as handle:
        for row in rows:
            handle.write(json.dumps(row) + "\n")


def main(argv: Sequence[str]) -> None:
    """Reads docstrings, writes both files."""
    del argv
    check_flags(
        FLAGS,
        required=("output_dir",),
        positive=("packages", "pool_size", "test_size"),
    )
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
    _define_flags()
    run_binary(main)
