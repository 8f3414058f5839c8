r"""Measures how much a run's decoder takes from its encoder.

    python -m experiments.encoder_use --run_dir=runs/experiments/pretrain-... \
        --title="span corruption, 4,000 steps" --output=FILE.jsonl

For every checkpoint of the run, on the held-out batches of its evaluations: the
span corruption loss, the same loss where each decoder sees the encoder's states
of another example, and the share of the gradient's norm that reaches the
cross-attention. A decoder that only models the language of the targets loses
nothing by the exchange: that is the plateau.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from experiments import cell_logs
from experiments.sections import Section
from runkit import InputError, atomic_write, run_binary

FLAGS = flags.FLAGS
LOGS = cell_logs.LOGS / "encoder_use"
_CROSS_ATTENTION = "cross_attention"
_COLUMNS = ("sc_loss", "other_loss", "encoder_use", "cross_attention_share")
_HEADER = (
    "run",
    "step",
    "held-out loss",
    "with another example's states",
    "taken from the encoder",
    "gradient through cross-attention",
)
_WORDS = (
    "How much does the decoder take from the encoder? The loss on held-out "
    "text, and the same where each decoder sees the encoder's states of "
    "another example (nats per target token); the share of the gradient's "
    "norm that reaches the cross-attention. `python -m experiments.encoder_use`"
    "."
)


def _define_flags() -> None:
    flags.DEFINE_string("run_dir", None, "Of a pre-training run.")
    flags.DEFINE_string("title", "", "What the run is called; its folder.")
    flags.DEFINE_string("output", None, "JSON lines to write.")
    flags.DEFINE_string("cache_dir", None, "Folder of prepared corpora.")
    flags.DEFINE_integer(
        "batches", None, "Held-out batches; the run's own.", lower_bound=1
    )


def encoder_use(
    run_dir: str, cache_dir: str | None = None, batches: int | None = None
) -> Iterator[dict[str, float]]:
    """Yields the figures of each checkpoint that is left, the oldest first.

    Args:
        run_dir: of a pre-training run whose decoder is trained.
        cache_dir: where prepared corpora are kept.
        batches: of held-out text; None takes as many as the run's evaluations.

    Yields:
        "step"; "sc_loss" and "other_loss", nats per target token, with the
        states of the own and of another example; "encoder_use", the second
        minus the first; "cross_attention_share" of the gradient's norm, 0 to 1.

    Raises:
        InputError: there is no run, it has no checkpoint, or no decoder.
    """
    import tensorflow as tf

    from spactor_tf.config.continuation import read_config
    from spactor_tf.config.pretrain import PretrainConfig
    from spactor_tf.model import Stage
    from spactor_tf.training.checkpointing import CheckpointStore
    from spactor_tf.training.pretrain_run import Run
    from spactor_tf.training.scaled_optimizers import evaluation_weights

    folder = pathlib.Path(run_dir)
    config, _ = read_config(folder / "config.json", PretrainConfig)
    steps = CheckpointStore(folder).steps()
    if not steps or config.objective.name == "rtd":
        raise InputError(
            "has nothing to measure",
            where="--run_dir",
            got=run_dir,
            expected="checkpoints of an objective with span corruption",
        )
    run = Run(config, folder, cache_dir)
    model = run.model
    plain = Stage.SPAN_CORRUPTION  # Of every arm, so that they compare.
    variables = model.backbone.trainable_variables
    crossing = [_CROSS_ATTENTION in variable.path for variable in variables]

    @tf.function
    def figures(batch: Any) -> Any:
        with tf.GradientTape() as tape:
            own = model.loss_terms(batch, plain, training=False)[0]["sc"]
        gradients = tape.gradient(own.total, [v.value for v in variables])
        squares = [
            tf.reduce_sum(tf.square(tf.convert_to_tensor(gradient)))
            for gradient in gradients
        ]
        mixed: Any = dict(batch)
        mixed["encoder_tokens"] = tf.roll(batch["encoder_tokens"], 1, axis=0)
        other = model.loss_terms(mixed, plain, training=False)[0]["sc"]
        through = [s for s, c in zip(squares, crossing, strict=True) if c]
        share = tf.sqrt(tf.add_n(through) / tf.add_n(squares))
        return own.total, other.total, own.weight, share

    held_out = run.heldout_examples.dataset(
        0, batches or config.runtime.eval_batches
    )
    for step in steps:
        run.checkpoints.restore(
            {"model": model.variables, "optimizer": model.optimizer.variables},
            step,
        )
        with evaluation_weights(model.optimizer):
            rows = [[float(x) for x in figures(batch)] for batch in held_out]
        own, other, tokens, share = (
            sum(column) for column in zip(*rows, strict=True)
        )
        yield {
            "step": step,
            "sc_loss": own / tokens,
            "other_loss": other / tokens,
            "encoder_use": (other - own) / tokens,
            "cross_attention_share": share / len(rows),
        }


def section(folder: pathlib.Path = LOGS) -> Section | None:
    """Returns the report's part on the logs of a folder; None without any.

    Raises:
        InputError: a log is damaged or cut short; the message names it.
    """
    logs = [cell_logs.read_log(path) for path in sorted(folder.glob("*.jsonl"))]
    rows = [
        [
            log["title"],
            f"{row['step']:,}",
            *(f"{row[name]:.3f}" for name in _COLUMNS),
        ]
        for log in logs
        for row in log["lines"]
    ]
    if not rows:
        return None
    return Section("What the plateau is", (_WORDS,), ((_HEADER, rows),))


def main(argv: Sequence[str]) -> None:
    """Prints a line per checkpoint and writes the log."""
    del argv
    if not FLAGS.run_dir:
        raise InputError("is required", where="--run_dir")
    output = pathlib.Path(FLAGS.output) if FLAGS.output else None
    if output is not None and not output.parent.is_dir():
        raise InputError(
            "no such directory", where="--output", got=str(output.parent)
        )
    title = FLAGS.title or pathlib.Path(FLAGS.run_dir).name
    lines: list[dict[str, Any]] = [
        {
            "format": cell_logs.FORMAT,
            "title": title,
            "run": pathlib.Path(FLAGS.run_dir).name,
            "commit": cell_logs.commit(),
        }
    ]
    for row in encoder_use(FLAGS.run_dir, FLAGS.cache_dir, FLAGS.batches):
        lines.append({name: round(value, 6) for name, value in row.items()})
        print(json.dumps(lines[-1]), flush=True)
    lines.append({"end": True})
    if output is not None:
        with atomic_write(output) as handle:
            handle.writelines(json.dumps(line) + "\n" for line in lines)


def run() -> None:
    """Entry point."""
    if "run_dir" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
