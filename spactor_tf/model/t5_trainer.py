"""T5 with its own objective: the cross-entropy of targets given inputs.

Fine-tuning trains this model as it is; `pretrainer` adds SpacTor's stage 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from spactor_tf.config.model import ModelConfig
from spactor_tf.data.step_pipeline import Batch
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.model import losses, replica_step, t5
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.losses import LossTerm
from spactor_tf.model.replica_step import Scalars, StepOptions


class T5Trainer(keras.Model):
    """T5 that trains with `replica_step`.

    `compile(optimizer=...)` and `fit(dataset)` work in a notebook, and the
    binaries run the same step. A batch is a
    `spactor_tf.data.step_pipeline.Batch`.

    Args:
        config: sizes.
        vocabulary: of the batches.
        backbone: an existing backbone of these sizes to train; None draws T5's
            initial weights.
        seed: of initial weights and dropout.
        dtype: "float32" or "mixed_bfloat16".
        step_options: how a step is computed.
        z_loss: weight of log(Z)^2 in the training loss.
        name: of the model.

    Attributes:
        backbone: encoder and decoder.
        encoder: the encoder of `backbone`.
        transition_step: first step of stage 2.
        step_options: how a step is computed.

    Raises:
        InputError: the sizes do not make a model, or the vocabulary does not
            fit into the embedding.
    """

    transition_step = 0

    def __init__(
        self,
        config: ModelConfig,
        vocabulary: Vocabulary,
        backbone: t5.Backbone | None = None,
        *,
        seed: int = 0,
        dtype: str = "float32",
        step_options: StepOptions | None = None,
        z_loss: float = 0.0,
        name: str = "t5_trainer",
    ):
        super().__init__(name=name)
        config.validate()
        vocabulary.check_rows(config.vocabulary_size, "model.vocabulary_size")
        self.step_options = step_options or StepOptions()
        self.z_loss = z_loss
        self.pad_id = vocabulary.pad_id
        policy = keras.dtype_policies.get(dtype)
        self.backbone = backbone or t5.build_backbone(config, policy)
        self.encoder = t5.build_encoder(self.backbone)
        if backbone is None:
            t5.reinitialize(
                self.backbone.trainable_variables,
                seed,
                head_dim=config.head_dim,
                hidden_dim=config.hidden_dim,
            )
        t5.seed_dropout(self.variables, seed)
        self.built = True

    @property
    def stage(self) -> Stage:
        """The stage of the next step; here there is only one."""
        return Stage.SPAN_CORRUPTION

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """`keras.Model.compile`; also builds the optimizer.

        Stage 2 updates a part of the variables of stage 1, so the optimizer
        must not learn of its variables from the first step that it applies.
        """
        super().compile(*args, **kwargs)
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.stage_variables(self.stage))

    # --- The objective ----------------------------------------------------

    def stage_variables(self, stage: Stage) -> list[keras.Variable]:
        """Returns the trainable variables that the stage updates."""
        del stage
        return self.backbone.trainable_variables

    def objective_weights(self, stage: Stage) -> dict[str, float]:
        """Returns the weights of the losses in the stage's sum."""
        del stage
        return {"sc": 1.0}

    def term_weights(self, batch: Batch, stage: Stage) -> Scalars:
        """Returns the number of tokens of each loss; needs no forward pass."""
        del stage
        return {"sc": ops.sum(self._target_weights(batch))}

    def loss_terms(
        self, batch: Batch, stage: Stage, training: bool
    ) -> tuple[dict[str, LossTerm], Scalars]:
        """Computes the losses of a batch; see `replica_step.StepModel`."""
        del stage
        _, decoded = self._run_t5(batch["encoder_tokens"], batch, training)
        return self._target_loss(decoded, batch, training)

    def _target_loss(
        self, decoded: tf.Tensor, batch: Batch, training: bool
    ) -> tuple[dict[str, LossTerm], Scalars]:
        """Returns the span corruption loss "sc" and its counts."""
        logits = t5.lm_logits(self.backbone, decoded)
        targets = batch["decoder_targets"]
        weights = self._target_weights(batch)
        z_loss = self.z_loss if training else 0.0
        term = losses.token_cross_entropy(logits, targets, weights, z_loss)
        if training:
            return {"sc": term}, {}
        return {"sc": term}, {
            "sc_correct": losses.correct_tokens(logits, targets, weights)
        }

    def _run_t5(
        self, tokens: tf.Tensor, batch: Batch, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the states of encoder and decoder for these inputs."""
        targets = batch["decoder_targets"]
        inputs = {
            "encoder_token_ids": tokens,
            "encoder_padding_mask": self._padding_mask(tokens),
            "decoder_token_ids": t5.decoder_inputs(targets, self.pad_id),
            # The first input is padding by convention, but not masked.
            "decoder_padding_mask": ops.ones_like(targets),
        }
        with t5.mask_warning_ignored():
            outputs = self.backbone(inputs, training=training)
        return (
            outputs["encoder_sequence_output"],
            outputs["decoder_sequence_output"],
        )

    def _padding_mask(self, tokens: tf.Tensor) -> tf.Tensor:
        return ops.cast(tokens != self.pad_id, "int32")

    def _target_weights(self, batch: Batch) -> tf.Tensor:
        return ops.cast(batch["decoder_targets"] != self.pad_id, "float32")

    # --- Several steps a call ---------------------------------------------

    def make_steps_function(
        self,
    ) -> Callable[[tf.data.Iterator, tf.Tensor], Scalars]:
        """Returns a function that runs steps of the current stage in one call.

        It is traced once, whatever the number of steps, so that a step computes
        the same bits whichever call it belongs to.

        Returns:
            Maps an iterator over batches, which may be distributed, and a
            number of steps (int32 scalar) to the metrics of each of them,
            {name: [steps] float32}.
        """
        strategy, stage = self.distribute_strategy, self.stage
        names: list[str] = []

        @tf.autograph.experimental.do_not_convert
        def one_step(batch: Batch) -> tf.Tensor:
            metrics = strategy.run(
                replica_step.train_step, args=(self, batch, stage)
            )
            names[:] = metrics
            # All replicas have the same figures.
            figures = (
                strategy.experimental_local_results(value)[0]
                for value in metrics.values()
            )
            return tf.stack([tf.reshape(figure, []) for figure in figures])

        compiled_step = tf.function(one_step, jit_compile=self.jit_compile)

        @tf.function
        @tf.autograph.experimental.do_not_convert
        def run_steps(batches: tf.data.Iterator, steps: tf.Tensor) -> Scalars:
            def body(
                index: tf.Tensor, table: tf.TensorArray
            ) -> tuple[tf.Tensor, tf.TensorArray]:
                figures = compiled_step(batches.get_next())
                return index + 1, table.write(index, figures)

            _, table = tf.while_loop(
                lambda index, _: index < steps,
                body,
                [tf.constant(0), tf.TensorArray(tf.float32, size=steps)],
                parallel_iterations=1,
            )
            columns = tf.unstack(table.stack(), num=len(names), axis=1)
            return dict(zip(names, columns, strict=True))

        return run_steps

    # --- Keras ------------------------------------------------------------

    def call(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """Returns float32 logits [batch, target_length, vocabulary_size]."""
        _, decoded = self._run_t5(inputs["encoder_tokens"], inputs, training)
        return t5.lm_logits(self.backbone, decoded)

    def train_step(self, batch: Batch) -> Scalars:
        """Runs one optimizer step and returns its metrics."""
        return replica_step.train_step(self, batch, self.stage)

    def test_step(self, batch: Batch) -> Scalars:
        """Returns sums of losses and counts over a batch."""
        return replica_step.test_step(self, batch, self.stage)
