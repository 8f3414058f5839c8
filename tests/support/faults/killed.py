"""A run that is killed by SIGKILL at a chosen moment of its own work.

Moments are counted, not timed: in calls of Python functions, which are spread
over the whole work, and in changes of files below one folder, which lie in the
saving. So they are the same on a busy machine and on an idle one.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
_SCRIPT = """
import importlib, json, os, signal, sys

target, folder, moments, counts, *arguments = sys.argv[1:]
module, function = target.split(":")
work = getattr(importlib.import_module(module), function)
moments, seen = json.loads(moments), {"calls": 0, "files": 0}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link"}

def count(kind):
    seen[kind] += 1
    if seen[kind] == moments.get(kind):
        os.kill(os.getpid(), signal.SIGKILL)

def audit(event, values):
    is_change = event in CHANGES or (event == "open" and values[2] & 3)
    if is_change and folder in str(values[0]):
        count("files")

def profile(frame, event, value):
    if event == "call":
        count("calls")

sys.argv = [module, *arguments]
sys.addaudithook(audit)
sys.setprofile(profile)
try:
    work()
finally:
    sys.setprofile(None)
    with open(counts, "w") as handle:
        json.dump(seen, handle)
"""


def run(target, folder, arguments, counts, **moment):
    """Runs "module:function" in a process of its own.

    Args:
        target: called without arguments.
        folder: whose files are counted.
        arguments: its command line.
        counts: file that gets what was counted, if the run ends.
        **moment: `calls=n` or `files=n`, at which it is killed.

    Returns:
        The finished process.
    """
    return subprocess.run(
        [
            *(sys.executable, "-c", _SCRIPT, target, str(folder)),
            *(json.dumps(moment), str(counts), *map(str, arguments)),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def moments(case, target, folder, arguments, counts, number=10):
    """Yields `number` moments of either kind, each after its kill.

    The first run is undisturbed and counts.

    Args:
        case: the test.
        target: see `run`.
        folder: see `run`; the caller empties it after each moment.
        arguments: see `run`.
        counts: see `run`.
        number: of moments of each kind, spread evenly.
    """
    done = run(target, folder, arguments, counts)
    case.assertEqual(done.returncode, 0, done.stderr[-2000:])
    total = json.loads(pathlib.Path(counts).read_text())
    yield None
    for kind, count in total.items():
        case.assertGreaterEqual(count, number, kind)
        for index in range(number):
            moment = {kind: 1 + int((index + 0.5) * count / number)}
            done = run(target, folder, arguments, counts, **moment)
            case.assertEqual(
                done.returncode, -signal.SIGKILL, (moment, done.stderr[-2000:])
            )
            yield moment
