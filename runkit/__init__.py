"""What every binary of this project shares: doors, files, progress, pages.

`runkit` knows nothing of the methods. `errors` turns bad input into one clear
message and exit code 2; `files` writes whole files or none; `progress` prints
rates and remaining time; `report` makes self-contained HTML pages;
`averages` is the mean over runs and its standard error; `flag_values`,
`json_lines` and `prepared_data` (TFDS) check what comes from outside;
`minibatches` orders short trainings.
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
