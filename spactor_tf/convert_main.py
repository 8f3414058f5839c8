r"""Converts a T5 between KerasHub and Hugging Face transformers.

Example:
    python -m spactor_tf.convert_main --from=runs/imdb --to=hugging_face \
      --output_dir=converted/imdb
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags

from runkit import run_binary
from runkit.flag_values import Flag, check_table, new_output_folder

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag(
        "from",
        "Finished run, or T5 of KerasHub or Hugging Face.",
        required=True,
    ),
    Flag(
        "to",
        "Format to write.",
        required=True,
        choices=("hugging_face", "keras_hub"),
    ),
    Flag("output_dir", "Directory to write; a new one.", required=True),
    Flag(
        "encoder_only",
        "For Hugging Face: write T5EncoderModel. For KerasHub: read a folder "
        "with an encoder alone; the decoder gets initial values.",
        bool,
        False,
    ),
)


def convert(
    source: str, form: str, output: pathlib.Path, encoder_only: bool = False
) -> None:
    """Reads a model and writes it in the other format.

    Args:
        source: what `spactor_tf.load_pretrained` opens.
        form: "hugging_face" or "keras_hub".
        output: a new directory.
        encoder_only: see the flag.

    Raises:
        InputError: `output` exists, or what `load_pretrained` raises.
    """
    from spactor_tf.inference.pretrained import (
        load_pretrained,
        save_hugging_face,
        save_pretrained,
    )

    model = load_pretrained(source, needs_decoder=not encoder_only)
    if form == "hugging_face":
        save_hugging_face(output, model, encoder_only)
    else:
        save_pretrained(
            output,
            model.backbone,
            model.vocabulary,
            model.config,
            model.task_length,
        )


def main(argv: Sequence[str]) -> None:
    """Converts what the flags name."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    output = new_output_folder(FLAGS)
    source = getattr(FLAGS, "from")  # A word of Python.
    convert(source, FLAGS.to, output, FLAGS.encoder_only)
    print(f"wrote {output}")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
