"""One process per cell: started, watched, paused, stopped, accounted for.

runs_dir/
    pretrain-<digest>/      a run; the binary resumes it by itself
    state/<run>.lock        held by runner and process: no run twice
    state/<run>.attempts    JSON Lines: CPU seconds of each process
    state/<run>.out         what the process printed
    pause                   while it is there, no process gets the CPU
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, Any

from experiments import cell_logs
from experiments.cells import Cell

_ONE_THREAD = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "",
}
_SET_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


@dataclasses.dataclass(frozen=True)
class Place:
    """The folders of the runs.

    Attributes:
        runs: folder of all runs.
        cache: folder of prepared corpora; "" is the user's cache.
    """

    runs: pathlib.Path
    cache: str = ""

    def run(self, cell: Cell) -> pathlib.Path:
        """Folder of the cell's run."""
        return self.runs / cell.run_name

    def state(self, cell: Cell, suffix: str) -> pathlib.Path:
        """A file of the runner about the run."""
        return self.runs / "state" / f"{cell.run_name}.{suffix}"

    @property
    def pause(self) -> pathlib.Path:
        """The file that pauses every process."""
        return self.runs / "pause"

    def is_finished(self, cell: Cell) -> bool:
        """Whether the run has done what the cell asks for."""
        if cell.kind == "finetune":
            return (self.run(cell) / "results.json").is_file()
        return self.is_stopped(cell) or self.is_trained(cell)

    def is_trained(self, cell: Cell) -> bool:
        """Whether a pre-training run went to its end."""
        return (self.run(cell) / "preset").is_dir()

    def is_stopped(self, cell: Cell) -> bool:
        """Whether a stop rule is met."""
        lines = cell_logs.evaluations(self.run(cell))
        return any(cell_logs.is_below(line, cell.stop_below) for line in lines)

    def steps_done(self, cell: Cell) -> int:
        """Pre-training steps of the last evaluation; 0 without any."""
        if cell.kind == "finetune":
            return 0
        lines = cell_logs.evaluations(self.run(cell))
        return int(lines[-1]["step"]) if lines else 0

    def attempts(self, cell: Cell) -> list[dict[str, Any]]:
        """What each process cost, from the runner's notes."""
        path = self.state(cell, "attempts")
        if not path.is_file():
            return []
        found: dict[str, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            # The last line may have been cut by a kill.
            with contextlib.suppress(ValueError):
                note = json.loads(line)
                found[note["id"]] = found.get(note["id"], {}) | note
        return list(found.values())


class Process:
    """A cell at work. `poll` must be called every now and then.

    Args:
        cell: to run.
        place: where.
        lock: of the cell, held until the process has ended.
        cpu: to stay on; None goes anywhere.
        patience: seconds after which a process that somebody else stopped
            (SIGSTOP) is continued; the `pause` file has no such limit.
    """

    def __init__(
        self,
        cell: Cell,
        place: Place,
        lock: IO[str],
        cpu: int | None = None,
        patience: float = 900.0,
    ):
        self.cell, self.cpu = cell, cpu
        self._place, self._lock = place, lock
        self._paused = self._stopping = False
        self._patience, self._stopped_at = patience, math.inf
        self._started = time.monotonic()
        self.first_step = place.steps_done(cell)
        self._id = f"{os.getpid()}-{time.time_ns()}"
        self._note(commit=cell_logs.commit())
        with place.state(cell, "out").open("a") as out:
            self._process = subprocess.Popen(
                command(cell, place),
                cwd=cell_logs.ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment(),
                preexec_fn=self._prepare,
                # A process that outlives its runner keeps the lock.
                pass_fds=[lock.fileno()],
            )

    def _prepare(self) -> None:
        """In the child: dies with the runner, on one CPU."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
            if self.cpu is not None:
                os.sched_setaffinity(0, {self.cpu})

    def poll(self) -> int | None:
        """Returns the exit code once the process has ended.

        Also keeps the pause and the stop rule.
        """
        self._keep_pause()
        ended, status, usage = os.wait4(self.pid, os.WNOHANG | os.WUNTRACED)
        if ended and os.WIFSTOPPED(status):
            ended, self._stopped_at = 0, time.monotonic()
        if not ended:
            self._continue_forgotten()
            if not self._stopping and self._place.is_stopped(self.cell):
                self.stop()
            return None
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code  # Popen must not wait once more.
        self._note(
            cpu_seconds=round(usage.ru_utime + usage.ru_stime, 2),
            wall_seconds=round(time.monotonic() - self._started, 2),
            code=code,
        )
        self._lock.close()
        return code

    def _continue_forgotten(self) -> None:
        stopped = time.monotonic() - self._stopped_at
        if stopped > self._patience and not self._paused:
            print(f"continue {self.cell.name}, stopped outside", flush=True)
            self._stopped_at = math.inf
            self._signal(signal.SIGCONT)

    def _keep_pause(self) -> None:
        paused = self._place.pause.exists()
        if paused != self._paused:
            self._signal(signal.SIGSTOP if paused else signal.SIGCONT)
            self._paused = paused

    def stop(self) -> None:
        """Asks the process to save its state and end."""
        self._stopping = True
        self._signal(signal.SIGTERM)
        # Whoever paused it: a stopped process would never end.
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        # Not Popen's way, which would wait for the process and lose its usage.
        os.kill(self.pid, number)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def seconds(self) -> float:
        """Wall-clock seconds since the start."""
        return time.monotonic() - self._started

    def last_words(self, lines: int = 6) -> str:
        """Returns the end of what the process printed."""
        path = self._place.state(self.cell, "out")
        text = path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _note(self, **facts: Any) -> None:
        path = self._place.state(self.cell, "attempts")
        with path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({"id": self._id, **facts}) + "\n")


def try_lock(cell: Cell, place: Place) -> IO[str] | None:
    """Takes the lock of the cell's run; None where another process has it."""
    path = place.state(cell, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def command(cell: Cell, place: Place) -> list[str]:
    """Returns the command that runs or resumes the cell."""
    more: Sequence[str] = ()
    if cell.source is not None:
        more = [f"--init_from={place.run(cell.source)}"]
    elif place.cache:
        more = [f"--cache_dir={place.cache}"]
    _, *program = cell_logs.program(cell)
    return [
        sys.executable,
        *program,
        *cell.flags,
        *more,
        f"--output_dir={place.run(cell)}",
    ]


def environment() -> dict[str, str]:
    """Returns the environment of a process: one thread, this checkout."""
    paths = [str(cell_logs.ROOT), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    return {**os.environ, **_ONE_THREAD, "PYTHONPATH": path}
