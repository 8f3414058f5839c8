r"""Fills gaps in text with a pre-trained T5.

Example:
    python -m spactor_tf.fill_main --run_dir=runs/imdb \
      --text="This film was <extra_id_0> than the first."
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from absl import flags

from runkit import InputError, run_binary
from runkit.flag_values import Flag, check_table

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag(
        "run_dir",
        "Finished run, or T5 of KerasHub or Hugging Face.",
        required=True,
    ),
    Flag(
        "text",
        "Text with <extra_id_0>, <extra_id_1>, ... where words are missing; "
        "repeatable. Required.",
        repeated=True,
    ),
)
_SENTINEL = re.compile(r"<extra_id_\d+>")


def fill_in(text: str, target: str) -> str:
    """Puts the spans of a generated target into the gaps of a text.

    Args:
        text: with sentinels `<extra_id_0>`, `<extra_id_1>`, ...
        target: generated, "<extra_id_0> span <extra_id_1> span ...".

    Returns:
        The text with each sentinel replaced by "[span]"; a gap that the target
        does not name is left as it is.
    """
    names = _SENTINEL.findall(target)
    spans = _SENTINEL.split(target)[1:]
    # The first span of a name counts: an early model may repeat itself.
    found = dict(reversed(list(zip(names, spans, strict=True))))
    return _SENTINEL.sub(
        lambda gap: f"[{found[gap[0]].strip()}]" if gap[0] in found else gap[0],
        text,
    )


def main(argv: Sequence[str]) -> None:
    """Loads the model and prints each text with its gaps filled."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    if not FLAGS.text:
        raise InputError(
            "is missing",
            where="--text",
            expected="text with <extra_id_0> at the gap",
        )
    for text in FLAGS.text:
        if not _SENTINEL.search(text):
            raise InputError(
                "has no gap",
                where="--text",
                got=text,
                expected="<extra_id_0> where text is missing",
            )
    from spactor_tf.inference.pretrained import load_pretrained

    targets = load_pretrained(FLAGS.run_dir).fill(FLAGS.text)
    for text, target in zip(FLAGS.text, targets, strict=True):
        print(f"text:      {text}")
        print(f"generated: {target}")
        print(f"filled:    {fill_in(text, target)}")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
