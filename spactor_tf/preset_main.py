r"""Makes a preset from any checkpoint of a run, finished or not.

Example:
    python -m spactor_tf.preset_main --run_dir=runs/imdb --step=4000 \
      --output_dir=presets/imdb-4000

The run goes on undisturbed. Without --step the newest checkpoint is taken; the
checkpoints that a run keeps are the newest ones (--set=runtime.keep_last) and
the best.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from runkit import run_binary
from runkit.flag_values import Flag, check_table, output_folder

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag("run_dir", "Run of pre-training or of fine-tuning.", required=True),
    Flag("output_dir", "Directory of the preset.", required=True),
    Flag("step", "Of the checkpoint; default: the newest.", int, least=0),
)


def main(argv: Sequence[str]) -> None:
    """Reads flags, writes the preset, says where it is."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    folder = output_folder(FLAGS)
    # TensorFlow takes seconds to load; bad flags are refused before that.
    from spactor_tf.training.checkpoint_preset import checkpoint_preset

    step = checkpoint_preset(FLAGS.run_dir, folder, FLAGS.step)
    print(f"step:  {step}")
    print(f"model: {folder}")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
