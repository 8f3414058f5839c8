"""Distribution strategies: where the replicas of a step run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import tensorflow as tf

from runkit import InputError
from runkit.errors import check_choice
from spactor_tf.config.pretrain import STRATEGIES
from spactor_tf.data.step_pipeline import Batch, StepPipeline


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns the strategy of that name.

    "none" is one device; "mirrored" all GPUs of this host, or all logical CPUs
    if there is no GPU; "multi_worker" the workers of `TF_CONFIG`; "tpu" the TPU
    of `TPU_NAME`, or the local one. Call it before any other TensorFlow
    operation.

    Raises:
        InputError: an unknown name, or the devices are missing.
    """
    check_choice(name, STRATEGIES, where="--strategy")
    if name == "mirrored":
        gpus = tf.config.list_logical_devices("GPU")
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([d.name for d in devices])
    if name == "multi_worker":
        return _multi_worker_strategy()
    if name == "tpu":
        return _tpu_strategy()
    return tf.distribute.get_strategy()


def _multi_worker_strategy() -> tf.distribute.Strategy:
    text = os.environ.get("TF_CONFIG", "")
    try:
        workers = json.loads(text)["cluster"]["worker"]
        json.loads(text)["task"]["index"]
    except (ValueError, KeyError, TypeError):
        workers = None
    reason = "lists no workers"
    if workers and isinstance(workers, list):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except (ValueError, TypeError, tf.errors.OpError) as error:
            # A number beyond the workers, a port that is taken, ...
            said = (str(error).splitlines() or [""])[0]
            reason = f"names no cluster that can be joined ({said})"
    raise InputError(
        reason,
        where="TF_CONFIG",
        got=text,
        expected='{"cluster": {"worker": ["host:port", ...]}, '
        '"task": {"type": "worker", "index": 0}}',
    )


def _tpu_strategy() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError, RuntimeError) as error:
        raise InputError(
            f"no TPU responds ({str(error).splitlines()[0]})",
            where="--strategy=tpu",
            got=f"TPU_NAME={name}",
            remedy="Set TPU_NAME, or run on a TPU VM",
        ) from None
    return tf.distribute.TPUStrategy(resolver)


def check_batch(
    replicas: int, batch_size: int, accumulation_steps: int
) -> None:
    """Refuses a batch that cannot be divided among replicas and slices.

    Raises:
        InputError: with the number that it has to be a multiple of.
    """
    if batch_size % (replicas * accumulation_steps):
        raise InputError(
            "is not divisible by replicas times accumulation_steps",
            where="batch_size",
            got=batch_size,
            expected=f"a multiple of {replicas} x {accumulation_steps}",
        )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes checkpoints and logs."""
    resolver = strategy.cluster_resolver
    if resolver is None or not isinstance(
        strategy, tf.distribute.MultiWorkerMirroredStrategy
    ):
        return True
    return resolver.task_type in (None, "chief") or (
        resolver.task_type == "worker" and resolver.task_id == 0
    )


def distribute(
    pipeline: StepPipeline,
    strategy: tf.distribute.Strategy,
    start_step: int,
    end_step: int,
) -> Iterable[Batch]:
    """Returns the batches of these steps; each host makes its own rows.

    Args:
        pipeline: of the run.
        strategy: with its replicas.
        start_step: first step.
        end_step: the step after the last one.
    """
    if strategy.num_replicas_in_sync == 1:
        return pipeline.dataset(start_step, end_step)

    def host_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        local = replicas // context.num_input_pipelines
        return pipeline.dataset(
            start_step,
            end_step,
            replicas=replicas,
            first_replica=context.input_pipeline_id * local,
            local_replicas=local,
        )

    return strategy.distribute_datasets_from_function(host_dataset)
