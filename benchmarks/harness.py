"""Times arms against each other: one process an arm, taking turns.

    arms = [
        Arm("ours", "benchmarks.corruption:ours", {"rows": 128}),
        Arm("t5", "benchmarks.corruption:t5_library", {"rows": 128}, peer=True),
    ]
    timings = compare(arms, rounds=9)
    record("corruption", rows=[row(t, timings["t5"]) for t in timings.values()])

A factory is called once in its own process and returns the function to be
timed, which returns None or a dict of numbers; `units` in it is the amount of
work done (tokens, examples; 1 if absent), the others are reported as facts.
The arms take turns round by round, so that a busy machine disturbs all of them
alike, and a ratio is the median over rounds of the ratios within a round.
CPU seconds count all threads and are the figure to trust on a shared machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runkit import write_json

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# The Python of the peers' environment (`make -C benchmarks env`).
PEER_PYTHON = "BENCH_PYTHON"


@dataclasses.dataclass(frozen=True)
class Arm:
    """One thing to be timed.

    Attributes:
        name: as shown in the table.
        factory: "module:function", called as `function(**arguments)`.
        arguments: JSON-serializable keyword arguments.
        peer: runs with the Python named by $BENCH_PYTHON (else this one).
        env: environment variables for this arm's process.
    """

    name: str
    factory: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    peer: bool = False
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Timing:
    """What one arm cost, one entry a round.

    Attributes:
        name: of the arm.
        wall: seconds a round.
        cpu: seconds a round, all threads.
        units: work done a round.
        first_wall: seconds of the first call (tracing, compiling).
        start_wall: seconds from the start of the process to the first answer.
        peak_mib: largest resident memory of the process.
        built_mib: resident memory after the factory, before the first run.
        facts: the numbers that the last run returned.
        versions: of the packages that the arm imported.
    """

    name: str
    wall: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)
    units: list[float] = dataclasses.field(default_factory=list)
    first_wall: float = 0.0
    start_wall: float = 0.0
    peak_mib: float = 0.0
    built_mib: float = 0.0
    facts: dict[str, float] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Appends one timed round."""
        self.wall.append(answer["wall"])
        self.cpu.append(answer["cpu"])
        self.units.append(answer["facts"].get("units", 1.0))

    def rates(self, clock: str = "cpu") -> list[float]:
        """Units per second of each round; `clock` is "cpu" or "wall"."""
        seconds = getattr(self, clock)
        return [u / s for u, s in zip(self.units, seconds, strict=True)]


class _Worker:
    """An arm's process and its pipe."""

    def __init__(self, arm: Arm):
        python = sys.executable
        if arm.peer:
            python = os.environ.get(PEER_PYTHON, python)
        command = [python, "-m", "benchmarks.worker", arm.factory]
        self.name = arm.name
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, json.dumps(dict(arm.arguments))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **arm.env},
        )
        self.built = self._answer()
        self.built_wall = time.perf_counter() - start

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"arm {self.name!r} ended with code {self._process.wait()}; "
                "its own message is above"
            )
        return json.loads(line)

    def run(self) -> dict[str, Any]:
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def _workers(arms: Sequence[Arm]) -> Iterator[list[_Worker]]:
    with contextlib.ExitStack() as stack:
        workers = []
        for arm in arms:
            worker = _Worker(arm)
            stack.callback(worker.close)
            workers.append(worker)
        yield workers


def compare(
    arms: Sequence[Arm], rounds: int = 9, warm_up: int = 2
) -> dict[str, Timing]:
    """Times the arms in turns.

    Args:
        arms: with different names; each gets a process of its own.
        rounds: timed runs of each arm.
        warm_up: untimed runs of each arm before them (at least one).

    Returns:
        The timings by name, in the order of `arms`.
    """
    timings = {arm.name: Timing(arm.name) for arm in arms}
    if len(timings) < len(arms):
        raise ValueError("two arms have the same name")
    with _workers(arms) as workers:
        for worker in workers:
            timing = timings[worker.name]
            timing.built_mib = worker.built["built_mib"]
            timing.first_wall = worker.run()["wall"]
            timing.start_wall = worker.built_wall + timing.first_wall
            for _ in range(warm_up - 1):
                worker.run()
            timing.versions = worker.built["versions"]
        for turn in range(rounds):
            # Each arm is first in turn: none always follows the same other.
            start = turn % len(workers)
            for worker in workers[start:] + workers[:start]:
                answer = worker.run()
                timings[worker.name].add(answer)
                timings[worker.name].peak_mib = answer["peak_mib"]
                timings[worker.name].facts = answer["facts"]
    return timings


def speed(
    timing: Timing, peer: Timing, clock: str = "cpu"
) -> tuple[float, float, float]:
    """How many times the peer's rate: median, lower and upper quartile."""
    pairs = zip(timing.rates(clock), peer.rates(clock), strict=True)
    ratios = [own / other for own, other in pairs]
    if len(ratios) < 2:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high


def row(timing: Timing, peer: Timing, **more: Any) -> dict[str, Any]:
    """One line of the usual table; `more` puts columns behind the name."""
    middle, low, high = speed(timing, peer)
    return {
        "arm": timing.name,
        **more,
        "wall s": statistics.median(timing.wall),
        "CPU s": statistics.median(timing.cpu),
        "units / CPU s": statistics.median(timing.rates()),
        f"speed / {peer.name} (CPU)": middle,
        "quartiles": f"{low:.3g} .. {high:.3g}",
        "speed (wall)": speed(timing, peer, "wall")[0],
        "first call s": timing.first_wall,
        "start to first answer s": timing.start_wall,
        "peak MiB": timing.peak_mib,
    }


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system; no name of the host."""
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        flags = {"avx512f", "avx512_bf16", "amx_tile", "avx2"}
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        model = fields.get("model name", platform.processor())
        has = sorted(flags & set(fields.get("flags", "").split()))
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "instructions": has,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """The checked-out commit, "+changes" if files differ from it."""

    def git(*arguments: str) -> str:
        # The clone may belong to another user than the one who measures.
        command = ["git", "-c", f"safe.directory={ROOT}", *arguments]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    if not (ROOT / ".git").exists():
        return "unknown"
    # Results written a moment ago do not make the measured code different.
    changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results*")
    return git("rev-parse", "HEAD") + ("+changes" if changed else "")


def _versions(timings: Iterable[Timing]) -> dict[str, str]:
    """Package versions of all arms; two where the environments differ."""
    found: dict[str, set[str]] = {}
    for timing in timings:
        for package, version in timing.versions.items():
            found.setdefault(package, set()).add(version)
    return {
        package: " and ".join(sorted(versions))
        for package, versions in sorted(found.items())
    }


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings as a note shows them: "num_layers 4, num_heads 8"."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def without_paths(text: str) -> str:
    """Writes PATH for the absolute paths in an argument or a value."""
    return re.sub(r"(^|(?<=[=:,]))/[^,:]+", "PATH", text)


def record(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    timings: Mapping[str, Timing] | None = None,
    notes: Sequence[str] = (),
    command: str | None = None,
) -> pathlib.Path:
    """Writes `benchmarks/results/NAME.json`.

    Args:
        name: of the file and of the section in results.md.
        rows: of the table; the columns are their keys in order.
        timings: their package versions are recorded.
        notes: sentences under the table (what was and was not measured).
        command: by default the one of this process, without absolute paths.
    """
    columns = list(dict.fromkeys(key for line in rows for key in line))
    module = getattr(sys.modules["__main__"], "__spec__", None)
    program = module.name if module else pathlib.Path(sys.argv[0]).name
    default = ["python", "-m", program, *map(without_paths, sys.argv[1:])]
    path = RESULTS / f"{name}.json"
    write_json(
        path,
        {
            "name": name,
            "command": command or " ".join(default),
            "machine": machine(),
            "versions": _versions((timings or {}).values()),
            "commit": commit(),
            "date": datetime.date.today().isoformat(),
            "columns": columns,
            "rows": [dict(line) for line in rows],
            "notes": list(notes),
        },
    )
    return path
