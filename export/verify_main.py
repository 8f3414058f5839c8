"""Verifies an exported version as a server would load it.

Example:
    python -m export.verify_main --model_dir=served/t5/1
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from absl import flags

from runkit import InputError, run_binary

FLAGS = flags.FLAGS


def main(argv: Sequence[str]) -> None:
    """Reads flags, verifies, prints what was checked as JSON."""
    del argv
    if not FLAGS.model_dir:
        raise InputError("is missing", where="--model_dir")
    from export.saved_model.verify import verify_saved_model

    checked = verify_saved_model(FLAGS.model_dir)
    print(json.dumps(dataclasses.asdict(checked), indent=2))


def run() -> None:
    """Entry point of the console script."""
    if "model_dir" not in FLAGS:
        flags.DEFINE_string("model_dir", None, "One version. Required.")
    run_binary(main)


if __name__ == "__main__":
    run()
