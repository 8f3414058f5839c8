"""From nothing to a pre-trained T5 in a few minutes on two CPU cores.

Builds the docstring corpus, trains a vocabulary, pre-trains `tiny` with SpacTor
through both stages, and fills a gap with the result. Each step is an ordinary
command of the package and is printed, so that a reader can go on from there.
"""

from __future__ import annotations

import pathlib
import shlex
import subprocess
import sys
import time

OUTPUT = pathlib.Path("runs/quickstart")
CACHE = pathlib.Path("cache")
SENTENCE = "Returns a <extra_id_0> of the given array."


def command(module: str, **flags: object) -> list[str]:
    """Returns the command line of a binary."""
    options = [f"--{name}={value}" for name, value in flags.items()]
    return [sys.executable, "-m", module, *options]


def run(arguments: list[str]) -> None:
    """Prints a command as a reader would type it, and runs it."""
    print(f"\n$ python {shlex.join(arguments[1:])}\n", flush=True)
    subprocess.run(arguments, check=True)


def main() -> None:
    """Runs the steps one after the other."""
    start = time.monotonic()
    run(
        command(
            "spactor_tf.pretrain_main",
            preset="tiny",
            dataset="docstrings",
            output_dir=OUTPUT,
            cache_dir=CACHE,
        )
    )
    run(command("spactor_tf.fill_main", run_dir=OUTPUT, text=SENTENCE))
    print(f"\nDone in {(time.monotonic() - start) / 60:.1f} minutes.")
    print(f"Report: {(OUTPUT / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
