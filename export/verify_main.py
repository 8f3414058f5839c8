"""Verifies an exported version as a server would load it.

Example:
    python -m export.verify_main --model_dir=served/t5/1
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from absl import flags

from runkit import run_binary
from runkit.flag_values import Flag, check_table

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag("model_dir", "Directory of one exported version.", required=True),
)


def main(argv: Sequence[str]) -> None:
    """Reads flags, verifies, prints what was checked as JSON."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    from export.saved_model.verify import verify_saved_model

    checked = verify_saved_model(FLAGS.model_dir)
    print(json.dumps(dataclasses.asdict(checked), indent=2))


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
