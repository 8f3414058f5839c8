"""The development server under load, with request batching and without.

    python -m benchmarks.serving.load [--seconds=10] [--rounds=3]

Requests of one text to `embed`, from 1 and from 16 clients in threads of this
process: over gRPC to two servers, each in its own process, and to the same
model in this process. The three take turns. Every client draws its texts for
itself, so that those of one moment differ in length.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import in_words, record
from benchmarks.serving import speed

Answers = dict[str, np.ndarray]
Ask = Callable[[str], Answers]
_BATCHING, _ALONE, _IN_PROCESS = "batching", "no batching", "in process"


class Arm(NamedTuple):
    """What is asked: how a client reaches it, and the process that answers."""

    connect: Callable[[], contextlib.AbstractContextManager[Ask]]
    process: int


class Run(NamedTuple):
    """Latencies of one turn in ms, and the CPU ms that a request took."""

    latencies: np.ndarray
    server_cpu: float
    client_cpu: float


@contextlib.contextmanager
def served(base: pathlib.Path, batching: bool) -> Iterator[Arm]:
    """Yields a server in a process of its own."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "export.dev_server_main",
            f"--model_base_path={base}",
            "--port=0",
            "--rest_api_port=0",
            f"--enable_batching={str(batching).lower()}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        yield Arm(lambda: over_grpc(port), process.pid)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def over_grpc(port: int) -> Iterator[Ask]:
    """Yields a client of its own connection."""
    from export.client import Client

    client = Client(f"127.0.0.1:{port}")
    yield lambda text: client.predict("embed", {"text": [text]})
    client.close()


def in_process(base: pathlib.Path) -> Arm:
    """Returns the model without a server."""
    from export.saved_model.session import SessionModel

    model = SessionModel(base / "1")

    def ask(text: str) -> Answers:
        return model.run("embed", {"text": [text]})

    return Arm(lambda: contextlib.nullcontext(ask), os.getpid())


def cpu_seconds(pid: int) -> float:
    """Returns the user and system time of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def one_client(arm: Arm, number: int, end: float) -> list[float]:
    """Returns the latency of each request until the monotonic time `end`."""
    draw, milliseconds = random.Random(number), []
    with arm.connect() as ask:
        while time.monotonic() < end:
            text = draw.choice(speed.TEXTS)
            began = time.monotonic()
            ask(text)
            milliseconds.append(1e3 * (time.monotonic() - began))
    return milliseconds


def load(arm: Arm, clients: int, seconds: float) -> Run:
    """Lets clients ask at once for some seconds."""
    end = time.monotonic() + seconds
    before = cpu_seconds(arm.process), cpu_seconds(os.getpid())
    with futures.ThreadPoolExecutor(clients) as pool:
        work = [
            pool.submit(one_client, arm, number, end)
            for number in range(clients)
        ]
        latencies = np.concatenate([future.result() for future in work])
    server = cpu_seconds(arm.process) - before[0]
    own = cpu_seconds(os.getpid()) - before[1]
    return Run(
        latencies,
        1e3 * server / len(latencies),
        0.0 if arm.process == os.getpid() else 1e3 * own / len(latencies),
    )


def measure(
    arms: Mapping[str, Arm], seconds: float, rounds: int
) -> list[dict[str, Any]]:
    """Returns one row per arm and number of clients."""
    rows = []
    for clients in (1, 16):
        found: dict[str, list[Run]] = {name: [] for name in arms}
        names = list(arms)
        for turn in range(rounds):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                load(arms[name], clients, 1.0)
                found[name].append(load(arms[name], clients, seconds))
        rows += [row(name, clients, seconds, found) for name in names]
    return rows


def row(
    name: str, clients: int, seconds: float, found: Mapping[str, list[Run]]
) -> dict[str, Any]:
    """Returns a line of the table; comparisons are those within a round."""
    runs = found[name]

    def median(values: Callable[[Run, Run], float], other: str) -> float:
        pairs = zip(runs, found[other], strict=True)
        return statistics.median(values(own, base) for own, base in pairs)

    every = np.concatenate([run.latencies for run in runs])
    return {
        "server": name,
        "clients": clients,
        "requests/s": statistics.median(len(r.latencies) for r in runs)
        / seconds,
        "p50 ms": float(np.percentile(every, 50)),
        "p99 ms": float(np.percentile(every, 99)),
        "server CPU ms/request": statistics.median(r.server_cpu for r in runs),
        "client CPU ms/request": statistics.median(r.client_cpu for r in runs),
        "p50 above in process ms": median(
            lambda own, base: float(
                np.median(own.latencies) - np.median(base.latencies)
            ),
            _IN_PROCESS,
        ),
        "requests/s against no batching": median(
            lambda own, base: len(own.latencies) / len(base.latencies), _ALONE
        ),
    }


def check_answers(arms: Mapping[str, Arm]) -> None:
    """Raises AssertionError unless all arms answer the same."""
    for text in speed.TEXTS[:4]:
        answers = []
        for arm in arms.values():
            with arm.connect() as ask:
                answers.append(ask(text)["embedding"])
        for answer in answers[1:]:
            np.testing.assert_allclose(answer, answers[0], atol=1e-5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        contextlib.ExitStack() as stack,
    ):
        base = pathlib.Path(name) / "served"
        speed.prepare(pathlib.Path(name))
        arms = {
            _BATCHING: stack.enter_context(served(base, batching=True)),
            _ALONE: stack.enter_context(served(base, batching=False)),
            _IN_PROCESS: in_process(base),
        }
        check_answers(arms)
        rows = measure(arms, options.seconds, options.rounds)
    record(
        "serving_load",
        rows,
        notes=[
            f"Development server, not TF Serving; {in_words(speed.SIZES)}, "
            "one text per request, gRPC, clients and server on the same "
            "machine. What stands above and against is the median over the "
            "rounds of what was measured in the same round."
        ],
    )


if __name__ == "__main__":
    main()
