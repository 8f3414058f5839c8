"""From the start of a process to the first answer of a served T5.

    python -m benchmarks.serving.start [--rounds=7] [--model=d256] [--batch=1]
        [--length=64] [--before=CHECKOUT]

Each round starts a new process of each arm, in turns: it imports, loads,
answers one request and ends. Wall time is taken outside of it; CPU seconds of
all threads and the peak of its memory inside. The files were read before, so
they come from the system's cache. `--before` names another checkout of this
repository, which exports and serves in further arms. Two arms answer nothing:
they show what TensorFlow itself takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.harness import PEER_PYTHON, ROOT, Timing, in_words, record
from benchmarks.serving import generation

# Not `__name__`, which is "__main__" of the command.
_MODULE = "benchmarks.serving.start"
# What each process runs: only modules that older checkouts have, too.
_PROGRAM = """
import importlib, json, sys
from benchmarks import worker
module, factory, arguments = sys.argv[1:]
run = getattr(importlib.import_module(module), factory)(**json.loads(arguments))
facts = run() or {}
print("FIRST", json.dumps({
    "texts": facts.get("texts"),
    "cpu": worker.cpu_seconds(),
    "peak": worker.memory_mib("VmHWM"),
    "file": worker.memory_mib("RssFile"),
    "anonymous": worker.memory_mib("RssAnon"),
}), flush=True)
print("VERSIONS", json.dumps(worker.loaded_versions()), flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Start:
    """What is started.

    Attributes:
        factory: of `module`, returns the function that answers.
        arguments: of the factory.
        peer: runs with the Python named by $BENCH_PYTHON.
        root: the checkout that runs.
        module: of the factory.
    """

    factory: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    peer: bool = False
    root: pathlib.Path = ROOT
    module: str = generation.__name__


def python_package() -> Callable[[], None]:
    """Returns a function that does nothing, after `import tensorflow`."""
    import tensorflow  # noqa: F401

    return lambda: None


def c_library() -> Callable[[], None]:
    """Returns a function that does nothing, with TensorFlow's C library."""
    from export.c_api.library import library

    library()
    return lambda: None


def first_answer(start: Start) -> tuple[dict[str, Any], dict[str, str]]:
    """Starts a process and returns (its figures, versions of its packages).

    Raises:
        RuntimeError: it ended without an answer.
    """
    python = sys.executable
    if start.peer:
        python = os.environ.get(PEER_PYTHON, python)
    command = [python, "-c", _PROGRAM, start.module, start.factory]
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, json.dumps(dict(start.arguments))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=start.root,
        env={
            **os.environ,
            **generation.ONE_THREAD,
            "PYTHONPATH": str(start.root),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    ) as process:
        found: dict[str, Any] = {}
        assert process.stdout is not None
        for line in process.stdout:
            kind, _, text = line.partition(" ")
            if kind == "FIRST":
                found["wall"] = time.perf_counter() - began
            if kind in ("FIRST", "VERSIONS"):
                found[kind] = json.loads(text)
    if process.returncode or "VERSIONS" not in found:
        raise RuntimeError(f"{start} ended with code {process.returncode}")
    return {**found["FIRST"], "wall": found["wall"]}, found["VERSIONS"]


def rows(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Returns a line for each arm: medians over its processes, and the range.

    Args:
        runs: {arm: figures of each process}, the first arm to compare with.
    """
    expected = next(iter(runs.values()))[0]["texts"]
    lines = []
    for arm, figures in runs.items():
        middle = {
            key: statistics.median(run[key] for run in figures)
            for key in ("wall", "cpu", "peak", "anonymous", "file")
        }
        walls = [run["wall"] for run in figures]
        texts = {run["texts"] for run in figures}
        lines.append(
            {
                "arm": arm,
                "start to first answer s": middle["wall"],
                "range": f"{min(walls):.3g} .. {max(walls):.3g}",
                "CPU s": middle["cpu"],
                "peak MiB": middle["peak"],
                "of it private": middle["anonymous"],
                "pages of files": middle["file"],
                "same texts": ""
                if texts == {None}
                else str(texts == {expected}),
            }
        )
    return lines


def starts(
    folder: pathlib.Path, batch: int, length: int, before: pathlib.Path | None
) -> dict[str, Start]:
    """Returns the arms, ours first."""

    def served(arm: str, root: pathlib.Path) -> Start:
        path = str(generation.served_path(folder, arm, length) / "1")
        return Start("served", {"path": path, **case}, root=root)

    case = {"batch": batch, "length": length}
    peer = {"folder": str(folder), **case, "dtype": "float32"}
    arms = {"served": served("served", ROOT)}
    if before is not None:
        arms["served, exported before"] = served("before", ROOT)
        arms["served, before"] = served("before", before)
    return {
        **arms,
        "Hugging Face, cached": Start("hugging_face", peer, peer=True),
        "CTranslate2 float32": Start("ctranslate2_greedy", peer, peer=True),
        "import tensorflow, alone": Start("python_package", module=_MODULE),
        "TensorFlow's C library, alone": Start("c_library", module=_MODULE),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", default="d256")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--before", type=pathlib.Path)
    options = parser.parse_args()
    before = options.before and options.before.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        generation.prepare(folder, options.model)
        generation.write_peers(folder, options.model)
        generation.export(folder, "served", ROOT, options.length)
        if before is not None:
            generation.export(folder, "before", before, options.length)
        arms = starts(folder, options.batch, options.length, before)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
        timings = {name: Timing(name) for name in arms}
        names = list(arms)
        for turn in range(-1, options.rounds):  # The first fills the cache.
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                figures, versions = first_answer(arms[name])
                timings[name].versions = versions
                if turn >= 0:
                    runs[name].append(figures)
    record(
        f"serving_start_{options.model}",
        rows(runs),
        timings=timings,
        notes=[
            f"Greedy generation, {options.batch} texts, {options.length} "
            f"tokens, one thread, {in_words(generation.MODELS[options.model])};"
            f" medians of {options.rounds} processes.",
            "Pages of files are those of libraries and executables, which "
            "processes share and the system may drop.",
        ],
    )


if __name__ == "__main__":
    main()
