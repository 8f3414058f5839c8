"""One optimizer step that is right under replicas and slices.

    weights   token counts of the loss terms, summed over replicas, known before
              any forward pass
    loss      sum of weight_of_term * total / global token count; a replica's
              share of it, so gradients just add up
    gradients of the slices of a replica's batch are added, densified, summed
              over replicas, and only then clipped by their global norm

Keras clips each replica before the sum, applies repeated rows of sparse
gradients wrongly, and cannot accumulate under replicas.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from spactor_tf.model.curriculum import Stage


def train_step(model: Any, batch: Any, stage: Stage) -> dict[str, Any]:
    """Computes gradients, applies them and returns metrics (float32)."""
    slices = model.config.accumulation_steps
    weights = sum_over_replicas(model.term_weights(batch, stage))
    scale = {
        name: share / tf.maximum(weights[name], 1.0)
        for name, share in model.objective_weights(stage).items()
    }
    variables = model.stage_variables(stage)
    gradients, sums = _accumulate(model, batch, stage, scale, variables, slices)
    gradients = _sum_gradients(gradients)
    norm = tf.linalg.global_norm(gradients)
    clip_norm = model.config.optimizer.clip_norm
    if clip_norm is not None:
        factor = clip_norm / tf.maximum(norm, clip_norm)
        gradients = [gradient * factor for gradient in gradients]
    metrics = metrics_from_sums(sum_over_replicas(sums), weights)
    metrics["gradient_norm"] = norm
    metrics["loss"] = tf.add_n(
        [
            share * metrics[f"{name}_loss"]
            for name, share in model.objective_weights(stage).items()
        ]
    )
    _apply(model.optimizer, gradients, variables)
    return _reducible(metrics)


def test_step(model: Any, batch: Any, stage: Stage) -> dict[str, Any]:
    """Returns sums over the batch, for `metrics_from_sums`.

    Span corruption is measured as stage 2 sees it, without replacements, so
    that its loss is comparable in all stages and to the plain T5 baseline;
    generator and detection are measured where the stage has them.
    """
    terms: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    if stage.has_generator:
        terms, counts = model.loss_terms(batch, Stage.REPLACED_TOKENS, False)
    if stage.has_decoder:
        plain, hits = model.loss_terms(batch, Stage.SPAN_CORRUPTION, False)
        terms, counts = {**terms, **plain}, {**counts, **hits}
    weights = {f"{name}_weight": term.weight for name, term in terms.items()}
    return _reducible(
        sum_over_replicas({**_totals(terms), **counts, **weights})
    )


def metrics_from_sums(sums: Any, weights: Any) -> dict[str, Any]:
    """Divides sums by their weights: losses, accuracies, precision, recall."""
    sums = dict(sums)
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


def sum_over_replicas(values: dict[str, Any]) -> dict[str, Any]:
    """Sums float32 scalars over replicas in one collective operation."""
    names = list(values)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1 or not names:
        return dict(values)
    stacked = tf.stack([tf.cast(values[name], tf.float32) for name in names])
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, stacked)
    return dict(zip(names, tf.unstack(total), strict=True))


def _reducible(values: dict[str, Any]) -> dict[str, Any]:
    """Gives scalars the axis that Keras averages over with several workers.

    All replicas hold the same values already; Keras reduces them once more.
    """
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return {name: value[tf.newaxis] for name, value in values.items()}
    return values


def _accumulate(
    model: Any,
    batch: Any,
    stage: Stage,
    scale: dict[str, Any],
    variables: list,
    slices: int,
) -> tuple[list, dict[str, Any]]:
    """Adds gradients and sums over the slices of a replica's batch."""
    if slices == 1:
        return _gradients(model, batch, stage, scale, variables)
    parts = {name: _split(value, slices) for name, value in batch.items()}

    def piece(index: Any) -> tuple[list, dict[str, Any]]:
        part = {name: value[index] for name, value in parts.items()}
        return _gradients(model, part, stage, scale, variables)

    # The first slice outside the loop gives the loop its structure.
    gradients, sums = piece(0)

    def body(index: Any, gradients: list, sums: dict) -> tuple:
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


def _split(value: Any, slices: int) -> Any:
    """[batch, ...] to [slices, batch / slices, ...]."""
    batch = value.shape[0]
    if batch is None or batch % slices:
        raise ValueError(
            f"a replica's batch of {batch} cannot be cut into {slices} slices"
        )
    return tf.reshape(value, [slices, batch // slices, *value.shape[1:]])


def _gradients(
    model: Any, batch: Any, stage: Stage, scale: dict[str, Any], variables: list
) -> tuple[list, dict[str, Any]]:
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
    return dense, {**_totals(terms), **counts}


def _totals(terms: dict) -> dict[str, Any]:
    return {name: term.total for name, term in terms.items()}


def _sum_gradients(gradients: list) -> list:
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return gradients
    return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)


def _apply(optimizer: Any, gradients: list, variables: list) -> None:
    if not getattr(optimizer, "takes_reduced_gradients", False):
        # A stock Keras optimizer will sum over replicas again.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        gradients = [gradient / replicas for gradient in gradients]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
