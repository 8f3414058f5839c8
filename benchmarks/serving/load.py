"""The development server under load, with request batching and without.

    python -m benchmarks.serving.load [--seconds=10] [--rounds=3]

Requests of one text to `embed` over gRPC, from 1 and from 16 clients in
threads of this process; the servers, each in its own, are measured in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent import futures
from typing import Any

import numpy as np

from benchmarks.harness import in_words, record
from benchmarks.serving import speed


def start_server(
    base: pathlib.Path, batching: bool
) -> tuple[subprocess.Popen[str], int]:
    """Starts a server and returns (process, gRPC port) once it answers."""
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
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["port"]


def cpu_seconds(pid: int) -> float:
    """Returns the user and system time of another process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def one_client(port: int, end: float) -> list[float]:
    """Returns the latency of each request until the monotonic time `end`."""
    from export.client import Client

    client, seconds, number = Client(f"127.0.0.1:{port}"), [], 0
    while time.monotonic() < end:
        began = time.monotonic()
        text = speed.TEXTS[number % 64]
        client.predict("embed", {"text": [text]})
        seconds.append(time.monotonic() - began)
        number += 1
    client.close()
    return seconds


def load(port: int, clients: int, seconds: float) -> list[float]:
    """Returns the latencies, in seconds, of clients that run at once."""
    end = time.monotonic() + seconds
    with futures.ThreadPoolExecutor(clients) as pool:
        work = [pool.submit(one_client, port, end) for _ in range(clients)]
        return [value for future in work for value in future.result()]


def measure(
    servers: dict[str, tuple[subprocess.Popen[str], int]],
    seconds: float,
    rounds: int,
) -> list[dict[str, Any]]:
    """Returns one row per server and number of clients."""
    rows = []
    for clients in (1, 16):
        found: dict[str, list] = {name: [] for name in servers}
        for turn in range(rounds):
            order = list(servers)[:: 1 if turn % 2 else -1]
            for name in order:
                process, port = servers[name]
                load(port, clients, 1.0)
                before = cpu_seconds(process.pid)
                latencies = load(port, clients, seconds)
                spent = cpu_seconds(process.pid) - before
                found[name].append((latencies, spent))
        for name, runs in found.items():
            every = np.concatenate([latencies for latencies, _ in runs]) * 1e3
            counts = [len(latencies) for latencies, _ in runs]
            cpu = [1e3 * s / len(latencies) for latencies, s in runs]
            rows.append(
                {
                    "server": name,
                    "clients": clients,
                    "requests/s": statistics.median(counts) / seconds,
                    "p50 ms": float(np.percentile(every, 50)),
                    "p99 ms": float(np.percentile(every, 99)),
                    "server CPU ms/request": statistics.median(cpu),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        speed.prepare(folder)
        servers = {
            label: start_server(folder / "served", batching)
            for label, batching in (("batching", True), ("no batching", False))
        }
        try:
            rows = measure(servers, options.seconds, options.rounds)
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait()
    record(
        "serving_load",
        rows,
        notes=[
            f"Development server, not TF Serving; {in_words(speed.SIZES)}, "
            "one text per request, gRPC, clients and server on the same "
            "machine."
        ],
    )


if __name__ == "__main__":
    main()
