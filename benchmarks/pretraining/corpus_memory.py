r"""Resident memory of preparing and reading a large corpus, over time.

Writes JSON Lines of 1 and of 10 GB (the embedded docstrings in new orders, a
number before each, so that no two documents are equal) to a temporary folder,
prepares them, reads batches, and deletes everything. One process per size; its
memory is sampled from outside twice a second.

    python -m benchmarks.pretraining.corpus_memory [--gigabytes 1 10] \
        [--folder DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks import worker
from benchmarks.harness import ROOT, Timing, record
from runkit import read_json, write_json

FILE_BYTES = 100_000_000
BATCH_SIZE = 128
BATCHES = 2000
PERIOD = 0.5  # seconds between samples


def write_corpus(folder: pathlib.Path, total_bytes: int) -> None:
    """Writes part-00000.jsonl ... with {"text": ...} on each line."""
    from runkit.datasets.docstrings import iter_docstrings

    # Bodies of JSON strings, so that a line is made by joining bytes.
    bodies = [json.dumps(t)[1:-1].encode() for _, t in iter_docstrings()]
    random = np.random.default_rng(0)
    number = written = 0
    while written < total_bytes:
        path = folder / f"part-{written // FILE_BYTES:05d}.jsonl"
        size = 0
        with path.open("wb") as handle:
            while size < min(FILE_BYTES, total_bytes - written):
                body = bodies[random.integers(len(bodies))]
                size += handle.write(b'{"text": "%d %s"}\n' % (number, body))
                number += 1
        written += size


def prepare_and_read(folder: pathlib.Path) -> None:
    """The measured process: tokenize everything, then read batches."""
    from spactor_tf.config.presets import get_preset
    from spactor_tf.config.pretrain import DataConfig
    from spactor_tf.data.corpus import prepare_corpus
    from spactor_tf.data.pretraining import train_pipeline

    config = dataclasses.replace(
        get_preset("tiny"),
        data=DataConfig(dataset=f"text:{folder}/text/*.jsonl:text"),
        batch_size=BATCH_SIZE,
    )
    start = time.perf_counter()
    corpus = prepare_corpus(config, folder / "cache")
    prepared = time.perf_counter()
    pipeline = train_pipeline(config, corpus.train, corpus.vocabulary, True)
    batches = sum(1 for _ in pipeline.dataset(0, BATCHES))
    done = {
        "prepare_seconds": prepared - start,
        "read_seconds": time.perf_counter() - prepared,
        "tokens": corpus.train.num_tokens + corpus.heldout.num_tokens,
        "examples": batches * BATCH_SIZE,
        "cpu_seconds": worker.cpu_seconds(),
        "versions": worker.loaded_versions(),
    }
    write_json(folder / "done.json", done)


def watch(command: list[str]) -> np.ndarray:
    """Runs a process; [samples, 2] of seconds and resident MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    samples = []
    while process.poll() is None:
        try:
            mib = worker.memory_mib("VmRSS", process.pid)
        except OSError:
            break  # It ended between the two lines.
        samples.append((time.perf_counter() - start, mib))
        time.sleep(PERIOD)
    if process.wait():
        raise RuntimeError(f"the measured process failed: {command}")
    return np.array(samples)


def measure(gigabytes: float, parent: str | None) -> tuple[dict, dict, list]:
    """One corpus: a row of the table, package versions, MiB over time."""
    with tempfile.TemporaryDirectory(dir=parent) as temporary:
        folder = pathlib.Path(temporary)
        (folder / "text").mkdir()
        write_corpus(folder / "text", round(gigabytes * 1e9))
        child = [sys.executable, "-m", __spec__.name, "--child", temporary]
        samples = watch(child)
        done = read_json(folder / "done.json")
    seconds, mib = samples.T
    prepared = seconds[-1] - done["read_seconds"]
    line: dict[str, Any] = {"GB": gigabytes, "tokens": float(done["tokens"])}
    # The end of each third of the preparation, then of the reading.
    for part in (1, 2, 3):
        index = min(np.searchsorted(seconds, prepared * part / 3), len(mib) - 1)
        line[f"MiB, {part}/3 prepared"] = float(mib[index])
    line |= {
        "MiB, batches read": float(mib[-1]),
        "peak MiB": float(mib.max()),
        "prepare s": done["prepare_seconds"],
        "MB / s": gigabytes * 1e3 / done["prepare_seconds"],
        "read examples / s": done["examples"] / done["read_seconds"],
        "CPU s": done["cpu_seconds"],
    }
    return line, done["versions"], mib[:: max(1, len(mib) // 60)].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--folder", help="where the temporary corpus goes")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        prepare_and_read(pathlib.Path(arguments.child))
        return
    rows, notes = [], []
    versions: dict[str, str] = {}
    for gigabytes in arguments.gigabytes:
        line, versions, curve = measure(gigabytes, arguments.folder)
        rows.append(line)
        values = " ".join(f"{mib:.0f}" for mib in curve)
        notes.append(f"{gigabytes:g} GB, MiB over time: {values}.")
    notes.append(
        "Vocabulary training on the first 20 million characters included."
    )
    record(
        "corpus_memory",
        rows,
        timings={"": Timing("", versions=versions)},
        notes=notes,
        command=f"python -m {__spec__.name}",
    )


if __name__ == "__main__":
    main()
