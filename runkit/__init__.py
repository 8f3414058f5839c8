"""What every binary of this project shares; it knows nothing of the methods.

errors         bad input: one clear message and exit code 2
flag_values    flags of a binary, declared in one table
datasets       one way to name a dataset, one reader of it
files          whole files or none; locks on directories
signals        SIGTERM and SIGINT while a block runs
hashing        SplitMix64: random numbers that need no state
minibatches    example order and learning rate of short trainings
quality        accuracy and average precision
averages       mean over runs and its standard error
progress       rates and remaining time on standard error
report         self-contained HTML pages
"""

from runkit.errors import InputError, closest, run_binary
from runkit.files import atomic_directory, atomic_write, read_json, write_json
from runkit.progress import Progress
from runkit.version import __version__

__all__ = [
    "InputError",
    "Progress",
    "__version__",
    "atomic_directory",
    "atomic_write",
    "closest",
    "read_json",
    "run_binary",
    "write_json",
]
