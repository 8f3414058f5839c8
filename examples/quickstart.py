"""The whole package on two CPU cores in about ten minutes.

    docstrings of this machine -> SpacTor pre-training, both stages
      -> "whose docstring is this?": Cluster-Margin against random labels
      -> classifier fine-tuned on the labels it chose -> verified SavedModel
      -> three sentences with label, margin and nearest neighbors

Every step is an ordinary command of the package and is printed, so that a
reader can go on from there. A step whose result is there is not run again.
"""

from __future__ import annotations

import pathlib
import shlex
import subprocess
import sys
import time

from examples import quickstart_report
from runkit import write_json

OUTPUT = pathlib.Path("runs/quickstart")
CACHE = pathlib.Path("cache")
STRATEGIES = ("cluster_margin", "random")
GAP = "Returns a <extra_id_0> of the given array."
QUESTIONS = (
    "Draws the histogram of the data on the given axes, with a legend.",
    "Fits the estimator to the training samples and returns it.",
    "Computes the gradient of a variable and applies it with an optimizer.",
)


def command(module: str, **flags: object) -> list[str]:
    """Returns the command line of a binary; a list repeats its flag."""
    options = [
        f"--{name}={value}"
        for name, given in flags.items()
        for value in (given if isinstance(given, (list, tuple)) else [given])
    ]
    return ["-m", module, *options]


def steps(out: pathlib.Path, cache: pathlib.Path) -> list[tuple]:
    """Returns (title, what it writes, command) of each step.

    Args:
        out: folder of all results.
        cache: folder of prepared corpora.
    """
    pretrained, packages = out / "pretrain", out / "packages"
    loop, classifier = out / "active_learning", out / "classifier"
    served, near = out / "served" / "packages", out / "served" / "neighbors"
    scores, clusters = out / "scores", out / "clusters"
    pool = f"jsonl:{packages}/pool.jsonl:text"
    test = f"jsonl:{packages}/test.jsonl:text:package"
    labeled = loop / "runs" / STRATEGIES[0] / "seed-0" / "labeled.jsonl"
    return [
        (
            "Pre-train a tiny T5 with SpacTor, both stages",
            pretrained / "report.html",
            command(
                "spactor_tf.pretrain_main",
                preset="tiny",
                dataset="docstrings",
                output_dir=pretrained,
                cache_dir=cache,
            ),
        ),
        (
            "Fill a gap with it",
            None,
            command("spactor_tf.fill_main", run_dir=pretrained, text=GAP),
        ),
        (
            "Make a task of the docstrings: which package is it from?",
            packages / "test.jsonl",
            command("examples.package_pool", output_dir=packages),
        ),
        (
            "Choose labels: Cluster-Margin against random",
            loop / "report.html",
            command(
                "al_tf.active_learning_main",
                dataset=f"{pool}:package",
                test=test,
                init_from=pretrained,
                learner="linear",
                strategies=",".join(STRATEGIES),
                seeds="0,1,2",
                seed_size=100,
                seed_set="stratified",
                batch_size=100,
                rounds=6,
                output_dir=loop,
            ),
        ),
        (
            "Fine-tune a classifier on the labels that Cluster-Margin chose",
            classifier,
            command(
                "spactor_tf.classify_main",
                init_from=pretrained,
                train=f"jsonl:{labeled}:text:label",
                test=test,
                output_dir=classifier,
            ),
        ),
        (
            "Export it, verified as a server would load it",
            served / "1",
            command(
                "export.export_main",
                run_dir=classifier,
                output_dir=served,
                version=1,
                model_name="packages",
            ),
        ),
        (
            "Score the pool with the exported model",
            scores / "example_ids.npy",
            command(
                "export.score_main",
                model_dir=served / "1",
                dataset=pool,
                output_dir=scores,
            ),
        ),
        (
            "Cluster it, and choose what one would label next",
            scores / "next.csv",
            command(
                "al_tf.select_main",
                embeddings=scores / "embeddings.npy",
                margins=scores / "margins.npy",
                batch_size=100,
                clustering=clusters,
                output=scores / "next.csv",
            ),
        ),
        (
            "Export the neighbors of the pool",
            near / "1",
            command(
                "export.neighbors_main",
                run_dir=classifier,
                embeddings=scores / "embeddings.npy",
                clustering=clusters,
                output_dir=near,
                version=1,
                num_neighbors=3,
            ),
        ),
        (
            "Ask both models",
            out / "answers.json",
            command(
                "examples.ask",
                classifier=served / "1",
                neighbors=near / "1",
                pool=packages / "pool.jsonl",
                text=QUESTIONS,
                output=out / "answers.json",
            ),
        ),
    ]


def run(title: str, arguments: list[str]) -> float:
    """Prints a command as a reader would type it, runs it, returns seconds."""
    print(f"\n# {title}\n$ python {shlex.join(arguments)}\n", flush=True)
    began = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return time.monotonic() - began


def main() -> None:
    """Runs the steps one after the other, and joins their results."""
    began = time.monotonic()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    done = []
    for title, result, arguments in steps(OUTPUT, CACHE):
        seconds = None
        if result is None or not result.exists():
            seconds = run(title, arguments)
        else:
            print(f"\n# {title}: is there already, {result}", flush=True)
        done.append(
            {
                "title": title,
                "command": shlex.join(["python", *arguments]),
                "seconds": seconds,
            }
        )
    write_json(OUTPUT / "steps.json", done)
    page = quickstart_report.write_report(OUTPUT, done)
    print(f"\nDone in {(time.monotonic() - began) / 60:.1f} minutes.")
    print(f"Report: {page.resolve()}")


if __name__ == "__main__":
    main()
