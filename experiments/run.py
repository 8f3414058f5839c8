r"""Fills in the cells of the claims that have no log yet.

    python -m experiments.run --dry_run              what is left, and how long
    python -m experiments.run --hours=6              works for six hours
    python -m experiments.run --experiments=sc_tuning --arms=muon --jobs=1
    python -m experiments.run --pause                gives the CPU back
    python -m experiments.run --resume

Each cell is a process of the real binary with one thread; cells with a smaller
priority number go first. A kill loses nothing: the same command resumes every
run from its last checkpoint and skips what is finished. SIGTERM and SIGINT let
the processes save their state. Several runners may share a folder.
"""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Sequence

from absl import flags

from experiments import cell_logs
from experiments.cells import Cell
from experiments.claims import load_claims, select_cells
from experiments.processes import Place, Process, try_lock
from runkit import InputError, run_binary
from runkit.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, InterruptedRun
from runkit.flag_values import check_flags
from runkit.signals import TerminationFlag

FLAGS = flags.FLAGS
_POLL_SECONDS = 1.0
_MOST_FAILURES = 3
# Steps per second of one thread, until this machine has shown its own.
_GUESS = {"pretrain": 7.0, "finetune": 5.0}


def _define_flags() -> None:
    flags.DEFINE_list("experiments", [], "Claims to work on; all by default.")
    flags.DEFINE_list("arms", [], "Arms to work on; all by default.")
    flags.DEFINE_integer("jobs", 2, "Processes at the same time.")
    flags.DEFINE_float("hours", None, "Stop after this time; none by default.")
    flags.DEFINE_bool("dry_run", False, "Print what is left and stop.")
    flags.DEFINE_bool("pause", False, "Stop the CPU use of all runners.")
    flags.DEFINE_bool("resume", False, "Let paused runners work again.")
    flags.DEFINE_string("runs_dir", "runs/experiments", "Folder of the runs.")
    flags.DEFINE_string("logs_dir", None, "Folder of the committed logs.")
    flags.DEFINE_string("cache_dir", "", "Folder of prepared corpora.")
    flags.DEFINE_list("cpus", [], "CPU numbers, one per job, to stay on.")
    flags.DEFINE_string("claims_dir", None, "Folder of the declarations.")


class Runner:
    """Works through cells.

    Args:
        cells: most urgent first.
        place: the folders of the runs.
        logs: folder of all logs.
        jobs: processes at the same time.
        cpus: to stay on, one per job; empty goes anywhere.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        place: Place,
        logs: pathlib.Path,
        jobs: int = 2,
        cpus: Sequence[int] = (),
    ):
        self._place, self._logs = place, logs
        self._jobs, self._cpus = jobs, list(cpus)
        self._cells = list(cells)
        self._at_work: list[Process] = []
        self._failures: dict[str, int] = {}
        self._rates: dict[str, list[float]] = {}

    def left(self) -> list[Cell]:
        """Cells without a log, sources of fine-tuning first.

        A log that is of another version, of other settings or cut short is
        named and its cell is done again.
        """
        found: dict[tuple[str, str], Cell] = {}
        for cell in self._cells:
            if self._has_log(cell):
                continue
            source = cell.source
            if source is not None and not self._place.is_trained(source):
                found.setdefault((source.claim, source.name), source)
            found.setdefault((cell.claim, cell.name), cell)
        return list(found.values())

    def _has_log(self, cell: Cell) -> bool:
        try:
            return cell_logs.logged(cell, self._logs) is not None
        except InputError as error:
            print(f"warning: {error}", file=sys.stderr, flush=True)
            return False

    def work(self, seconds: float | None = None) -> None:
        """Runs cells until none is left or the time is over.

        Raises:
            InputError: a cell's binary refused its input.
            InterruptedRun: a signal came, or the time is over, with cells
                left; their state is saved.
        """
        waiting = self.left()
        began = time.monotonic()
        with TerminationFlag() as terminated:
            try:
                while (waiting or self._at_work) and not terminated.is_set:
                    if seconds and time.monotonic() - began > seconds:
                        break
                    self._fill(waiting)
                    self._collect(waiting)
                    if waiting and not self._at_work and self._is_stuck():
                        break
                    time.sleep(_POLL_SECONDS)
            finally:
                self._stop_all(waiting)
        failed = [n for n, k in self._failures.items() if k >= _MOST_FAILURES]
        if failed:
            raise InputError(
                "failed again and again",
                where=", ".join(sorted(failed)),
                remedy=f"See the .out files in {self._place.runs / 'state'}",
            )
        if waiting:
            raise InterruptedRun(
                f"{len(waiting)} cells are left; the same command resumes them"
            )

    def _is_stuck(self) -> bool:
        """Whether failures, not other runners, keep cells from starting."""
        return any(k >= _MOST_FAILURES for k in self._failures.values())

    def _fill(self, waiting: list[Cell]) -> None:
        """Starts processes for free jobs."""
        if self._place.pause.exists():
            return
        for cell in list(waiting):
            if len(self._at_work) >= self._jobs:
                return
            if self._is_ready(cell):
                self._start(cell, waiting)

    def _is_ready(self, cell: Cell) -> bool:
        if self._failures.get(cell.run_name, 0) >= _MOST_FAILURES:
            return False
        return cell.source is None or self._place.is_trained(cell.source)

    def _start(self, cell: Cell, waiting: list[Cell]) -> None:
        lock = try_lock(cell, self._place)
        if lock is None:
            return
        waiting.remove(cell)
        if self._place.is_finished(cell):
            # By another cell of the same configuration, or another runner.
            lock.close()
            self._finish(cell, waiting)
            return
        taken = {process.cpu for process in self._at_work}
        free = [cpu for cpu in self._cpus if cpu not in taken]
        cpu = free[0] if free else None
        print(f"start  {cell.claim} {cell.name}", flush=True)
        self._at_work.append(Process(cell, self._place, lock, cpu))

    def _collect(self, waiting: list[Cell]) -> None:
        """Takes the results of processes that have ended."""
        for process in list(self._at_work):
            code = process.poll()
            if code is None:
                continue
            self._at_work.remove(process)
            cell = process.cell
            self._rate(process)
            if self._place.is_finished(cell):
                self._finish(cell, waiting)
                continue
            waiting.insert(0, cell)
            # A run that had begun and then exits with 2 has diverged: that is
            # the arm's result, and the other cells go their way.
            if code == EXIT_BAD_INPUT and not self._place.steps_done(cell):
                raise InputError(
                    f"the binary refused it: {process.last_words(1)}",
                    where=f"{cell.claim} {cell.name}",
                )
            if code != EXIT_INTERRUPTED:
                count = self._failures.get(cell.run_name, 0) + 1
                self._failures[cell.run_name] = count
                print(
                    f"failed {cell.claim} {cell.name} with code {code}:\n"
                    f"{process.last_words()}",
                    file=sys.stderr,
                    flush=True,
                )

    def _finish(self, cell: Cell, waiting: Sequence[Cell]) -> None:
        attempts = self._place.attempts(cell)
        path = cell_logs.write_log(
            cell, self._place.run(cell), attempts, self._logs
        )
        rest = [*waiting, *(process.cell for process in self._at_work)]
        print(f"done   {cell_logs.shown(path)}; {self.forecast(rest)}")
        sys.stdout.flush()

    def _rate(self, process: Process) -> None:
        """Learns the speed of this machine."""
        cell = process.cell
        steps = self._place.steps_done(cell) - process.first_step
        if cell.kind == "finetune" and self._place.is_finished(cell):
            steps = cell.steps
        if steps > 0:
            rates = self._rates.setdefault(cell.kind, [])
            rates.append(steps / process.seconds())

    def forecast(self, cells: Sequence[Cell]) -> str:
        """Says in words how much is left and when it will be done."""
        seconds = 0.0
        for cell in cells:
            rates = self._rates.get(cell.kind)
            rate = sum(rates) / len(rates) if rates else _GUESS[cell.kind]
            left = cell.steps - self._place.steps_done(cell)
            seconds += max(left, 0) / rate
        seconds /= self._jobs
        end = time.strftime("%a %H:%M", time.localtime(time.time() + seconds))
        return f"{len(cells)} cells left, {seconds / 3600:.1f} h, until {end}"

    def _stop_all(self, waiting: list[Cell]) -> None:
        """Lets the processes save their state and waits for them."""
        for process in self._at_work:
            process.stop()
        for process in self._at_work:
            while process.poll() is None:
                time.sleep(0.1)
            if self._place.is_finished(process.cell):
                self._finish(process.cell, waiting)
            else:
                waiting.append(process.cell)
        self._at_work.clear()


def main(argv: Sequence[str]) -> None:
    """Reads flags, prints what is left, works."""
    del argv
    check_flags(FLAGS, required=("runs_dir",), positive=("hours", "jobs"))
    runs = pathlib.Path(FLAGS.runs_dir).resolve()
    place = Place(runs, FLAGS.cache_dir)
    if FLAGS.pause or FLAGS.resume:
        runs.mkdir(parents=True, exist_ok=True)
        if FLAGS.pause:
            place.pause.touch()
        else:
            place.pause.unlink(missing_ok=True)
        print("runners follow within a second")
        return
    options = {}
    if FLAGS.claims_dir:
        options["folder"] = pathlib.Path(FLAGS.claims_dir)
    claims = load_claims(FLAGS.experiments, **options)
    cells = select_cells(claims, FLAGS.experiments, FLAGS.arms)
    logs = pathlib.Path(FLAGS.logs_dir or cell_logs.LOGS)
    runner = Runner(cells, place, logs, FLAGS.jobs, _cpus(FLAGS.cpus))
    left = runner.left()
    print(f"{len(cells) - len(left)} cells done; {runner.forecast(left)}")
    if FLAGS.dry_run:
        for cell in left:
            done = place.steps_done(cell)
            print(f"  {cell.claim} {cell.name}: {done}/{cell.steps} steps")
        return
    (runs / "state").mkdir(parents=True, exist_ok=True)
    runner.work(FLAGS.hours * 3600 if FLAGS.hours else None)


def _cpus(texts: Sequence[str]) -> list[int]:
    if all(text.isdigit() for text in texts):
        return [int(text) for text in texts]
    raise InputError(
        "are not CPU numbers",
        where="--cpus",
        got=",".join(texts),
        expected="as in --cpus=0,1",
    )


def run() -> None:
    """Entry point."""
    if "experiments" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
