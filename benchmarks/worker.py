"""The process of one arm: builds it once, then runs it when told to.

Started by `benchmarks.harness` as
`python -m benchmarks.worker MODULE:FACTORY JSON_ARGUMENTS`. Each line on
standard input asks for one run; each answer is one JSON line. It imports the
standard library only, so that it runs in the peers' environment too.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

PACKAGES = (
    "tensorflow",
    "keras",
    "keras-hub",
    "torch",
    "transformers",
    "ctranslate2",
    "t5",
    "seqio",
    "numpy",
    "numba",
    "scann",
    "scikit-learn",
    "scikit-activeml",
    "fastcluster",
)


def cpu_seconds() -> float:
    """User and system time of all threads and of ended child processes."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in (own, children))


def memory_mib(field: str, process: int | str = "self") -> float:
    """Memory of a process in MiB: "VmRSS" (now) or "VmHWM" (peak)."""
    # getrusage's maximum survives exec, so it would show the parent's peak.
    status = pathlib.Path(f"/proc/{process}/status")
    for line in status.read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise OSError(f"no {field} in {status}")


def loaded_versions() -> dict[str, str]:
    """Versions of those `PACKAGES` that this process has really imported."""
    owners = importlib.metadata.packages_distributions()
    owned = {d for m in sys.modules if "." not in m for d in owners.get(m, ())}
    if "export.c_api" in sys.modules:  # TensorFlow without its Python.
        owned.add("tensorflow")
    return {
        name: importlib.metadata.version(name)
        for name in PACKAGES
        if name in owned
    }


def timed(run: Callable[[], Any]) -> dict[str, Any]:
    """Runs once: wall and CPU seconds, peak memory, and the run's facts."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    facts = run() or {}
    return {
        "wall": time.perf_counter() - wall,
        "cpu": cpu_seconds() - cpu,
        "peak_mib": memory_mib("VmHWM"),
        "facts": {name: float(value) for name, value in facts.items()},
    }


def main() -> None:
    # Libraries print to standard output; the answers get a descriptor of
    # their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module, _, factory = sys.argv[1].partition(":")
    build = getattr(importlib.import_module(module), factory)
    run = build(**json.loads(sys.argv[2]))
    answer: dict[str, Any] = {
        "built_mib": memory_mib("VmRSS"),
        "versions": loaded_versions(),
    }
    print(json.dumps(answer), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(timed(run)), file=answers, flush=True)


if __name__ == "__main__":
    main()
