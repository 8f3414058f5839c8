"""report.html of a pre-training run: curves, throughput, examples."""

from __future__ import annotations

import dataclasses
import html
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from runkit.report import Report, finish_curves, new_figure
from spactor_tf.config.fields import flatten, to_dict
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.pretraining import Pipeline
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.model import flops
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.pretrainer import SpactorPretrainer
from spactor_tf.training.metrics_log import read_metrics

_EXAMPLES = 4
_EXAMPLE_STYLE = """<style>
.tokens{font:15px/1.9 system-ui,sans-serif;background:#f5f6f8;padding:.7rem}
.s{background:#cfe3ff;border-radius:3px;padding:0 .2rem}
.r{background:#ffd9b8;border-radius:3px;padding:0 .2rem}
.k{background:#d7efd0;border-radius:3px;padding:0 .2rem}
</style>"""


def write_report(
    folder: str | os.PathLike,
    config: PretrainConfig,
    model: SpactorPretrainer,
    pipeline: Pipeline,
) -> pathlib.Path:
    """Writes report.html and its plots from metrics.jsonl.

    Args:
        folder: of the run.
        config: of the run.
        model: the trained model, for the examples.
        pipeline: held-out batches, for the examples.

    Returns:
        The path of the page.
    """
    folder = pathlib.Path(folder)
    records = read_metrics(folder / "metrics.jsonl")
    report = Report(f"Pre-training run ({config.preset})", folder)
    _summary(report, config, records)
    report.heading("Losses")
    for name, title in (
        ("loss", "Training loss, the weighted sum of the stage"),
        ("sc_loss", "Span corruption, nats per target token"),
        ("mlm_loss", "Generator (masked language model), nats per token"),
        ("rtd_loss", "Replaced token detection, nats per token"),
    ):
        _curve(report, records, config, title, [name, f"heldout_{name}"])
    report.heading("Accuracy")
    _curve(
        report,
        records,
        config,
        "Held-out accuracy of the next target token",
        ["heldout_sc_accuracy"],
    )
    _curve(
        report,
        records,
        config,
        "Generator: accuracy on masked tokens",
        ["heldout_mlm_accuracy"],
    )
    _curve(
        report,
        records,
        config,
        "Replaced token detection: precision and recall at probability 0.5",
        ["heldout_rtd_precision", "heldout_rtd_recall"],
    )
    report.heading("Optimization")
    _curve(report, records, config, "Learning rate", ["learning_rate"])
    _curve(
        report,
        records,
        config,
        "Norm of the gradient before clipping",
        ["gradient_norm"],
    )
    report.heading("Cost")
    _curve(report, records, config, "Tokens per second", ["tokens_per_second"])
    _curve(report, records, config, "FLOPs so far", ["flops"])
    _flops_table(report, config)
    _examples(report, model, pipeline)
    report.heading("Configuration")
    flat = flatten(to_dict(config))
    rows = [(k, "-" if v is None else str(v)) for k, v in flat.items()]
    report.table(["field", "value"], rows)
    return report.write()


def _summary(report: Report, config: PretrainConfig, records: list) -> None:
    heldout = [r for r in records if "heldout_sc_loss" in r]
    rows: list[tuple[str, Any]] = [
        ("objective", config.objective.name),
        ("steps", config.train_steps),
        ("transition step", config.transition_step),
        ("FLOPs", float(flops.flops_until(config, config.train_steps))),
    ]
    if heldout:
        last = heldout[-1]
        rows.append(("held-out span corruption loss", last["heldout_sc_loss"]))
        rows.append(("held-out accuracy", last["heldout_sc_accuracy"]))
    report.table(["", "value"], rows)


def _curve(
    report: Report,
    records: list[dict[str, Any]],
    config: PretrainConfig,
    title: str,
    names: Sequence[str],
) -> None:
    series = {
        name: [(r["step"], r[name]) for r in records if name in r]
        for name in names
    }
    series = {name: points for name, points in series.items() if points}
    if not series:
        return
    figure, axes = new_figure()
    for name, points in series.items():
        steps, values = zip(*points, strict=True)
        held = name.startswith("heldout")
        axes.plot(
            steps,
            values,
            "o-" if held or len(points) < 9 else "-",
            label="held out" if name == f"heldout_{names[0]}" else name,
            linewidth=2 if held else 1,
            markersize=4,
        )
    if 0 < config.transition_step < config.train_steps:
        axes.axvline(config.transition_step, color="0.4", linestyle="--")
        axes.annotate(
            "transition",
            (config.transition_step, 1),
            (3, -12),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color="0.4",
            fontsize=9,
        )
    finish_curves(axes, title, legend=len(series) > 1)
    report.figure(figure, names[0], alt=title)


def _flops_table(report: Report, config: PretrainConfig) -> None:
    stages = [Stage.SPAN_CORRUPTION]
    if config.transition_step:
        hybrid = config.objective.name != "rtd"
        stages.append(Stage.HYBRID if hybrid else Stage.REPLACED_TOKENS)
    parts = [flops.forward_flops(config, stage) for stage in stages]
    names = list(parts[-1])
    report.text("FLOPs of a training step by part (forward and backward):")
    rows: list[list[Any]] = [
        [name, *(float(3 * config.batch_size * p.get(name, 0)) for p in parts)]
        for name in names
    ]
    rows.append(["all", *(float(flops.step_flops(config, s)) for s in stages)])
    report.table(["part", *(stage.value for stage in stages)], rows)


def _examples(
    report: Report, model: SpactorPretrainer, pipeline: Pipeline
) -> None:
    """Corrupted held-out text with sentinels and replaced tokens marked."""
    report.heading("Corrupted examples")
    few = dataclasses.replace(pipeline, batch_size=_EXAMPLES)
    batch = next(iter(few.dataset(0, 1)))
    has_generator = model.generator is not None
    replaced = tokens = batch["encoder_tokens"]
    if has_generator:
        replaced = model.replace_tokens(batch).tokens
    report.raw(
        _EXAMPLE_STYLE + "<p>Held-out windows as the encoder reads them: "
        '<span class="s">sentinel of a noise span</span>, '
        '<span class="r">replaced by the generator</span> (the original in '
        'brackets), <span class="k">masked and guessed right</span>. Below '
        "each, the target that the decoder must produce.</p>"
    )
    for row in range(_EXAMPLES):
        masked = np.asarray(batch["mlm_positions"][row]).tolist()
        report.raw(
            _example_html(
                pipeline.vocabulary,
                np.asarray(tokens[row]),
                np.asarray(replaced[row]),
                set(masked if has_generator else ()),
                np.asarray(batch["decoder_targets"][row]),
            )
        )


def _example_html(
    vocabulary: Vocabulary,
    original: np.ndarray,
    replaced: np.ndarray,
    masked: set[int],
    targets: np.ndarray,
) -> str:
    """HTML of one example: the encoder's tokens, then the targets."""
    sentinels = set(vocabulary.sentinel_ids.tolist())
    before, after = vocabulary.pieces(original), vocabulary.pieces(replaced)
    parts = []
    for place, token in enumerate(original.tolist()):
        text = html.escape(after[place])
        if token in sentinels:
            text = f'<span class="s">{text}</span>'
        elif before[place] != after[place]:
            was = html.escape(before[place])
            text = f'<span class="r">{text} [{was}]</span>'
        elif place in masked:
            text = f'<span class="k">{text}</span>'
        parts.append(text)
    pieces = [
        f'<span class="s">{html.escape(piece)}</span>'
        if token in sentinels
        else html.escape(piece)
        for token, piece in zip(
            targets.tolist(), vocabulary.pieces(targets), strict=True
        )
    ]
    return (
        f'<p class="tokens">{"".join(parts)}</p>'
        f'<p class="tokens muted">{"".join(pieces)}</p>'
    )
