"""One optimizer step that is correct under replicas and accumulation.

    weights    token counts of the loss terms, summed over replicas, known
               before any forward pass
    loss       sum of share * total / global token count over the loss terms; a
               replica computes its part of it, so gradients just add up
    gradients  of the slices of a replica's batch are added, made dense, summed
               over replicas, and only then clipped by their global norm

Keras clips on each replica before the sum, applies repeated rows of sparse
gradients wrongly, and cannot accumulate under replicas.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar, cast

import keras
import tensorflow as tf

from spactor_tf.data.step_pipeline import Batch
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.losses import LossTerm

# Float32 scalars by name: sums over tokens, or metrics.
Scalars = dict[str, tf.Tensor]
_Value = TypeVar("_Value")


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """How a step is computed.

    Attributes:
        accumulation_steps: slices that a replica's batch is processed in.
        clip_norm: largest global norm of the gradient; None does not clip.
    """

    accumulation_steps: int = 1
    clip_norm: float | None = None


class StepModel(Protocol):
    """What a step asks of a model.

    Attributes:
        optimizer: a compiled optimizer; if it has a true attribute
            `takes_reduced_gradients`, it does not sum over replicas itself.
        step_options: how a step is computed.
    """

    optimizer: keras.optimizers.Optimizer
    step_options: StepOptions

    def stage_variables(self, stage: Stage) -> list[keras.Variable]:
        """Returns the variables that the stage updates."""

    def objective_weights(self, stage: Stage) -> dict[str, float]:
        """Returns {loss: its weight in the sum that the stage minimizes}."""

    def term_weights(self, batch: Batch, stage: Stage) -> Scalars:
        """Returns {loss: its number of tokens}; runs no forward pass."""

    def loss_terms(
        self, batch: Batch, stage: Stage, training: bool
    ) -> tuple[dict[str, LossTerm], Scalars]:
        """Computes the losses of a batch.

        Returns:
            (terms, counts): losses by name, and sums that metrics are made
            from, see `metrics_from_sums`.
        """


def train_step(model: StepModel, batch: Batch, stage: Stage) -> Scalars:
    """Computes gradients, applies them and returns metrics (float32)."""
    options = model.step_options
    shares = model.objective_weights(stage)
    weights = sum_over_replicas(model.term_weights(batch, stage))
    scale = {
        name: share / tf.maximum(weights[name], 1.0)
        for name, share in shares.items()
    }
    variables = model.stage_variables(stage)
    gradients, sums = _accumulate(
        model, batch, stage, scale, variables, options.accumulation_steps
    )
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    norm = tf.linalg.global_norm(gradients)
    if options.clip_norm is not None:
        factor = options.clip_norm / tf.maximum(norm, options.clip_norm)
        gradients = [gradient * factor for gradient in gradients]
    metrics = metrics_from_sums(sum_over_replicas(sums), weights)
    metrics["gradient_norm"] = norm
    metrics["loss"] = tf.add_n(
        [share * metrics[f"{name}_loss"] for name, share in shares.items()]
    )
    if not getattr(model.optimizer, "takes_reduced_gradients", False):
        # A stock Keras optimizer sums over replicas again.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        gradients = [gradient / replicas for gradient in gradients]
    model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return _reducible(metrics)


def test_step(model: StepModel, batch: Batch, stage: Stage) -> Scalars:
    """Returns sums over the batch, for `metrics_from_sums`.

    Span corruption is measured as stage 2 sees it, without replacements, so
    that its loss is comparable across stages and with the plain T5 baseline.
    Generator and detection are measured if the stage has them; they need no
    decoder.
    """
    terms: dict[str, LossTerm] = {}
    sums: Scalars = {}
    parts = {
        Stage.REPLACED_TOKENS: stage.has_generator,
        Stage.SPAN_CORRUPTION: stage.has_decoder,
    }
    for part, is_measured in parts.items():
        if is_measured:
            more, counts = model.loss_terms(batch, part, training=False)
            terms |= more
            sums |= counts
    for name, term in terms.items():
        sums |= {name: term.total, f"{name}_weight": term.weight}
    return _reducible(sum_over_replicas(sums))


def metrics_from_sums(
    sums: Mapping[str, _Value], weights: Mapping[str, _Value]
) -> dict[str, _Value]:
    """Divides sums by their weights.

    Args:
        sums: totals of the losses by name, and the counts of `loss_terms`;
            tensors or numbers.
        weights: {loss: its number of tokens}.

    Returns:
        Losses, accuracies, and precision and recall of the detection, as far
        as there are sums for them.
    """
    metrics = {
        f"{name}_loss": sums[name] / tf.maximum(weight, 1.0)
        for name, weight in weights.items()
        if name in sums
    }
    for name in ("sc", "mlm"):
        if f"{name}_correct" in sums:
            weight = tf.maximum(weights[name], 1.0)
            metrics[f"{name}_accuracy"] = sums[f"{name}_correct"] / weight
    if "rtd_predicted" in sums:
        hits = sums["rtd_true_positives"]
        replaced = sums["rtd_replaced"]
        metrics["rtd_precision"] = hits / tf.maximum(sums["rtd_predicted"], 1.0)
        metrics["rtd_recall"] = hits / tf.maximum(replaced, 1.0)
        metrics["replaced_fraction"] = replaced / tf.maximum(
            weights["rtd"], 1.0
        )
    return metrics


def sum_over_replicas(values: Scalars) -> Scalars:
    """Sums float32 scalars over replicas in one collective operation."""
    names = list(values)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1 or not names:
        return dict(values)
    stacked = tf.stack([tf.cast(values[name], tf.float32) for name in names])
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, stacked)
    return dict(zip(names, tf.unstack(total), strict=True))


def _reducible(values: Scalars) -> Scalars:
    """Gives scalars the axis that Keras averages over with several workers.

    All replicas have the same values already; Keras reduces them once more.
    """
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return {name: value[tf.newaxis] for name, value in values.items()}
    return values


def _accumulate(
    model: StepModel,
    batch: Batch,
    stage: Stage,
    scale: Scalars,
    variables: Sequence[keras.Variable],
    slices: int,
) -> tuple[list[tf.Tensor], Scalars]:
    """Adds gradients and sums over the slices of a replica's batch."""
    if slices == 1:
        return _gradients(model, batch, stage, scale, variables)
    tensors = cast(dict[str, tf.Tensor], batch)
    rows = batch["encoder_tokens"].shape[0]
    if rows is None or rows % slices:
        raise ValueError(
            f"a replica's batch of {rows} cannot be cut into {slices} slices"
        )
    # [batch, ...] to [slices, batch / slices, ...].
    parts = {
        name: tf.reshape(value, [slices, rows // slices, *value.shape[1:]])
        for name, value in tensors.items()
    }

    def piece(index: int | tf.Tensor) -> tuple[list[tf.Tensor], Scalars]:
        part = {name: value[index] for name, value in parts.items()}
        return _gradients(model, cast(Batch, part), stage, scale, variables)

    # The first slice, outside the loop, gives the loop its structure.
    gradients, sums = piece(0)

    def body(index: tf.Tensor, gradients: list, sums: Scalars) -> tuple:
        more, more_sums = piece(index)
        added = [a + b for a, b in zip(gradients, more, strict=True)]
        return index + 1, added, {k: sums[k] + more_sums[k] for k in sums}

    _, gradients, sums = tf.while_loop(
        lambda index, *_: index < slices,
        body,
        [tf.constant(1), gradients, sums],
        maximum_iterations=slices - 1,
        parallel_iterations=1,
    )
    return gradients, sums


def _gradients(
    model: StepModel,
    batch: Batch,
    stage: Stage,
    scale: Scalars,
    variables: Sequence[keras.Variable],
) -> tuple[list[tf.Tensor], Scalars]:
    """Returns dense gradients of the replica's loss, and its sums."""
    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        terms, counts = model.loss_terms(batch, stage, training=True)
        loss = tf.add_n([scale[name] * terms[name].total for name in scale])
    gradients = tape.gradient(
        loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    # Dense, because optimizers apply repeated rows of a sparse one wrongly.
    dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
    return dense, {name: term.total for name, term in terms.items()} | counts
