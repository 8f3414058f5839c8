"""The whole package on two CPU cores in about ten minutes.

    python -m examples.quickstart

    this machine's docstrings -> SpacTor pre-training, both stages
      -> the task "which package is this docstring from?"
      -> active learning: Cluster-Margin against random labels
      -> a classifier fine-tuned on the chosen labels -> verified SavedModel
      -> three sentences with their label, margin and nearest neighbors

Every step is an ordinary command of the package. It is printed before it runs,
so that you can run it yourself with other options. A step is skipped if its
result exists already.
"""

from __future__ import annotations

import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from examples import quickstart_report
from runkit import run_binary, write_json

OUTPUT = pathlib.Path("runs/quickstart")
CACHE = pathlib.Path("cache")
STRATEGIES = ("cluster_margin", "random")
TEXT_WITH_GAP = "Returns a <extra_id_0> of the given array."
QUESTIONS = (
    "Draws the histogram of the data on the given axes, with a legend.",
    "Fits the estimator to the training samples and returns it.",
    "Computes the gradient of a variable and applies it with an optimizer.",
)


class Step(NamedTuple):
    """One command of the quickstart.

    Attributes:
        title: what it does.
        result: the last file or directory it writes; None if it only prints.
        arguments: command line, without the interpreter.
    """

    title: str
    result: pathlib.Path | None
    arguments: list[str]


def command(module: str, **flags: object) -> list[str]:
    """Returns the command line of a binary; a tuple repeats its flag."""
    options = [
        f"--{name}={value}"
        for name, given in flags.items()
        for value in (given if isinstance(given, tuple) else (given,))
    ]
    return ["-m", module, *options]


def steps(out: pathlib.Path, cache: pathlib.Path) -> list[Step]:
    """Returns the steps in their order.

    Args:
        out: directory of all results.
        cache: directory of prepared corpora.
    """
    return [*learning_steps(out, cache), *serving_steps(out)]


def learning_steps(out: pathlib.Path, cache: pathlib.Path) -> list[Step]:
    """Pre-training, active learning, fine-tuning."""
    encoder, loop = out / "pretrain", out / "active_learning"
    pool = out / "packages" / "pool.jsonl"
    test = f"jsonl:{out / 'packages' / 'test.jsonl'}:text:package"
    labeled = loop / "runs" / STRATEGIES[0] / "seed-0" / "labeled.jsonl"
    pretrain = command(
        "spactor_tf.pretrain_main",
        preset="tiny",
        dataset="docstrings",
        output_dir=encoder,
        cache_dir=cache,
    )
    fill = command("spactor_tf.fill_main", run_dir=encoder, text=TEXT_WITH_GAP)
    make_task = command("examples.package_pool", output_dir=out / "packages")
    choose = command(
        "al_tf.active_learning_main",
        dataset=f"jsonl:{pool}:text:package",
        test=test,
        init_from=encoder,
        learner="linear",
        strategies=",".join(STRATEGIES),
        seeds="0,1,2",
        seed_size=100,
        seed_set="stratified",
        batch_size=100,
        rounds=6,
        output_dir=loop,
    )
    classify = command(
        "spactor_tf.classify_main",
        init_from=encoder,
        train=f"jsonl:{labeled}:text:label",
        test=test,
        output_dir=out / "classifier",
    )
    return [
        Step(
            "Pre-train a tiny T5 with SpacTor, both stages",
            encoder / "report.html",
            pretrain,
        ),
        Step("Let it fill a gap in a sentence", None, fill),
        Step(
            "Make a task of the docstrings: which package is it from?",
            out / "packages" / "test.jsonl",
            make_task,
        ),
        Step(
            "Choose texts to label: Cluster-Margin against random",
            loop / "report.html",
            choose,
        ),
        Step(
            "Fine-tune a classifier on the labels that Cluster-Margin chose",
            out / "classifier",
            classify,
        ),
    ]


def serving_steps(out: pathlib.Path) -> list[Step]:
    """Export, scoring, the next labels, neighbors, questions."""
    pool = out / "packages" / "pool.jsonl"
    classifier, scores = out / "classifier", out / "scores"
    served, neighbors = (out / "served" / n for n in ("packages", "neighbors"))
    export = command(
        "export.export_main",
        run_dir=classifier,
        output_dir=served,
        version=1,
        model_name="packages",
    )
    score = command(
        "export.score_main",
        model_dir=served / "1",
        dataset=f"jsonl:{pool}:text",
        output_dir=scores,
    )
    select = command(
        "al_tf.select_main",
        embeddings=scores / "embeddings.npy",
        margins=scores / "margins.npy",
        batch_size=100,
        clustering=out / "clusters",
        output=scores / "next.csv",
    )
    export_neighbors = command(
        "export.neighbors_main",
        run_dir=classifier,
        embeddings=scores / "embeddings.npy",
        clustering=out / "clusters",
        output_dir=neighbors,
        version=1,
        num_neighbors=3,
    )
    ask = command(
        "examples.ask",
        classifier=served / "1",
        neighbors=neighbors / "1",
        pool=pool,
        text=QUESTIONS,
        output=out / "answers.json",
    )
    return [
        Step(
            "Export the classifier, verified as a server would load it",
            served / "1",
            export,
        ),
        Step(
            "Score the pool with the exported model",
            scores / "example_ids.npy",
            score,
        ),
        Step(
            "Cluster the pool and choose what to label next",
            scores / "next.csv",
            select,
        ),
        Step(
            "Export the nearest neighbors in the pool",
            neighbors / "1",
            export_neighbors,
        ),
        Step("Ask both models", out / "answers.json", ask),
    ]


def shown(arguments: list[str]) -> str:
    """Returns a command to paste into a shell, one option per line."""
    module, options = arguments[:2], arguments[2:]
    lines = [f"python {shlex.join(module)}", *map(shlex.quote, options)]
    return " \\\n    ".join(lines)


def run(step: Step) -> float:
    """Prints and runs a step; returns how many seconds it took."""
    print(f"\n# {step.title}\n{shown(step.arguments)}\n", flush=True)
    began = time.monotonic()
    done = subprocess.run([sys.executable, *step.arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return time.monotonic() - began


def main(argv: Sequence[str]) -> None:
    """Runs the steps in turn and writes one report about all of them."""
    del argv
    began = time.monotonic()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    done: list[quickstart_report.DoneStep] = []
    for step in steps(OUTPUT, CACHE):
        seconds = None
        if step.result is None or not step.result.exists():
            seconds = run(step)
        else:
            print(f"\n# {step.title}: skipped, {step.result} exists")
        done.append(
            {
                "title": step.title,
                "command": shown(step.arguments),
                "seconds": seconds,
            }
        )
    write_json(OUTPUT / "steps.json", done)
    page = quickstart_report.write_report(OUTPUT, done)
    print(f"\nDone in {(time.monotonic() - began) / 60:.1f} minutes.")
    print(f"Report: {page.resolve()}")


if __name__ == "__main__":
    run_binary(main)
