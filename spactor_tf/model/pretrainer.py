"""The model: T5 with SpacTor's objective. The paper's idea on this page.

    X                 packed text
    X_c, X_t          span corruption: encoder tokens and decoder targets
    X_c with masks    what the generator reads
    X_hat_c           X_c with the generator's samples at the masked places
    stage 1           L = w_mlm L_mlm(generator) + w_rtd L_rtd(encoder(X_hat_c))
                          + w_sc L_sc(decoder(encoder(X_hat_c)), X_t)
    stage 2           L = L_sc(decoder(encoder(X_c)), X_t)

(SpacTor, arXiv 2401.13160, section 2.) `SpactorPretrainer` is a `keras.Model`:
`compile(optimizer=...)` and `fit(dataset)` work in a notebook, and the binary
runs the same step. The gradient work around the objective, which sums over
replicas and slices, is in `spactor_tf.model.replica_step`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.corruption import eligible_tokens
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.model import losses, t5
from spactor_tf.model import replica_step as train_step
from spactor_tf.model.curriculum import Stage, loss_weights, stage_at
from spactor_tf.model.generator import (
    Generator,
    ReplacedTokenHead,
    put_positions,
    sample_replacements,
    take_positions,
)
from spactor_tf.model.losses import LossTerm

Batch = dict[str, Any]


class SpactorPretrainer(keras.Model):
    """T5 encoder-decoder, generator and replaced token head.

    A batch is a dictionary (see `spactor_tf.data.dataset.FEATURES`):

        encoder_tokens    [batch, input_length] int32, X_c
        decoder_targets   [batch, target_length] int32, X_t
        mlm_positions     [batch, mlm_tokens] int32, stage 1 only
        mlm_uniforms      [batch, mlm_tokens] float32 in [0, 1), stage 1 only

    Args:
        config: sizes, objective, seed.
        vocabulary: tells special tokens from text.
        backbone: an existing `T5Backbone` to go on from; None draws T5's
            initial weights.

    Raises:
        InputError: the configuration or the vocabulary does not fit.
    """

    def __init__(
        self,
        config: PretrainConfig,
        vocabulary: Vocabulary,
        backbone: Any = None,
    ):
        super().__init__(name="spactor_pretrainer")
        config.validate()
        rows = config.model.vocabulary_size
        vocabulary.check_rows(rows, "model.vocabulary_size")
        self.config = config
        self.pad_id, self.mask_id = vocabulary.pad_id, vocabulary.mask_id
        self._ineligible = vocabulary.special_ids
        # Spare rows of the embedding are no text either.
        forbidden = np.arange(rows) >= vocabulary.size
        forbidden[vocabulary.special_ids] = True
        self._forbidden = forbidden
        policy = keras.dtype_policies.get(config.dtype)
        self._build_parts(config, policy, backbone)
        t5.seed_dropout(self.variables, config.seed)
        self.built = True

    def _build_parts(
        self, config: PretrainConfig, policy: Any, backbone: Any
    ) -> None:
        model = config.model
        self.backbone = backbone or t5.build_backbone(model, policy)
        self.encoder = t5.build_encoder(self.backbone)
        sizes = {"head_dim": model.head_dim, "hidden_dim": model.hidden_dim}
        if backbone is None:
            t5.reinitialize(
                self.backbone.trainable_variables, config.seed, **sizes
            )
        self.generator: Any = None
        if not self._needs_generator():
            return
        self.generator = Generator(
            config.generator,
            model.hidden_dim,
            model.vocabulary_size,
            model.dropout,
            dtype=policy,
            name="generator",
        )
        self.generator.build((None, None, model.hidden_dim))
        self.head = ReplacedTokenHead(
            model.hidden_dim, dtype=policy, name="replaced_token_head"
        )
        self.head.build((None, None, model.hidden_dim))
        width = config.generator.hidden_dim
        t5.reinitialize(
            [*self.generator.variables, *self.head.variables],
            config.seed + 1,
            head_dim=width // config.generator.num_heads,
            hidden_dim=width,
        )
        bias = self.generator.output_bias
        bias.assign(ops.zeros_like(bias))

    def _needs_generator(self) -> bool:
        first = stage_at(0, self.config.objective, self.config.transition_step)
        return first.has_generator

    @property
    def stage(self) -> Stage:
        """The stage of the next step, from the optimizer's step counter."""
        step = int(self.optimizer.iterations.numpy()) if self.optimizer else 0
        return stage_at(
            step, self.config.objective, self.config.transition_step
        )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """`keras.Model.compile`; the optimizer learns of all variables.

        Stage 2 updates fewer than stage 1, so it cannot learn from the first
        step.
        """
        super().compile(*args, **kwargs)
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.stage_variables(self.stage))

    def stage_variables(self, stage: Stage) -> list:
        """Trainable variables that the stage updates."""
        if stage is Stage.SPAN_CORRUPTION:
            return self.backbone.trainable_variables
        body = self.encoder if stage is Stage.REPLACED_TOKENS else self.backbone
        return [
            *body.trainable_variables,
            *self.generator.trainable_variables,
            *self.head.trainable_variables,
        ]

    # --- The objective ----------------------------------------------------

    def term_weights(self, batch: Batch, stage: Stage) -> dict[str, Any]:
        """Weight (number of tokens) of each loss; needs no forward pass."""
        weights = {}
        if stage.has_decoder:
            weights["sc"] = ops.sum(self._target_weights(batch))
        if stage.has_generator:
            weights["mlm"] = ops.sum(self._mlm_weights(batch))
            weights["rtd"] = ops.sum(self._rtd_weights(batch))
        return weights

    def loss_terms(
        self, batch: Batch, stage: Stage, training: bool
    ) -> tuple[dict[str, LossTerm], dict[str, Any]]:
        """Computes the losses of a batch.

        Returns:
            (terms, counts): losses by name ("sc", "mlm", "rtd") and sums from
            which metrics are made, float32 scalars.
        """
        tokens = batch["encoder_tokens"]
        terms: dict[str, LossTerm] = {}
        counts: dict[str, Any] = {}
        if stage.has_generator:
            replaced, terms["mlm"], counts = self._replace(batch, training)
            encoded, decoded = self._run_t5(replaced, batch, stage, training)
            changed = ops.cast(replaced != tokens, "float32")
            logits = self.head(encoded)
            weights = self._rtd_weights(batch)
            terms["rtd"] = losses.replaced_token_detection(
                logits, changed, weights
            )
            counts |= _detection_counts(logits, changed, weights)
        else:
            _, decoded = self._run_t5(tokens, batch, stage, training)
        if stage.has_decoder:
            logits = t5.lm_logits(self.backbone, decoded)
            targets = batch["decoder_targets"]
            weights = self._target_weights(batch)
            z_loss = self.config.objective.z_loss if training else 0.0
            terms["sc"] = losses.token_cross_entropy(
                logits, targets, weights, z_loss
            )
            if not training:
                counts["sc_correct"] = _correct(logits, targets, weights)
        return terms, counts

    def _replace(
        self, batch: Batch, training: bool
    ) -> tuple[Any, LossTerm, dict[str, Any]]:
        """Returns X_hat_c [batch, input_length], L_mlm and counts."""
        tokens, positions = batch["encoder_tokens"], batch["mlm_positions"]
        original = take_positions(tokens, positions)
        weights = self._mlm_weights(batch)
        masks = ops.where(weights > 0, self.mask_id, original)
        logits = self.generator_logits(
            put_positions(tokens, positions, masks), positions, training
        )
        samples = sample_replacements(
            logits, batch["mlm_uniforms"], self._forbidden
        )
        samples = ops.where(weights > 0, samples, original)
        term = losses.token_cross_entropy(logits, original, weights)
        counts: dict[str, Any] = {}
        if not training:
            counts["mlm_correct"] = _correct(logits, original, weights)
        return put_positions(tokens, positions, samples), term, counts

    def generator_logits(
        self, masked_tokens: Any, positions: Any, training: bool = False
    ) -> Any:
        """Predicts [batch, masked, vocabulary_size] at the given positions."""
        embedding = self.backbone.token_embedding
        return self.generator(
            embedding(masked_tokens),
            self._padding_mask(masked_tokens),
            positions,
            embedding.embeddings,
            training=training,
        )

    def _run_t5(
        self, tokens: Any, batch: Batch, stage: Stage, training: bool
    ) -> tuple[Any, Any]:
        """Returns encoder and decoder states; no decoder where none trains."""
        inputs = {
            "encoder_token_ids": tokens,
            "encoder_padding_mask": self._padding_mask(tokens),
        }
        if not stage.has_decoder:
            return self.encoder(inputs, training=training), None
        targets = batch["decoder_targets"]
        inputs["decoder_token_ids"] = t5.decoder_inputs(targets, self.pad_id)
        # The first input is padding by convention and yet a real place.
        inputs["decoder_padding_mask"] = ops.ones_like(targets)
        outputs = self.backbone(inputs, training=training)
        return (
            outputs["encoder_sequence_output"],
            outputs["decoder_sequence_output"],
        )

    def _padding_mask(self, tokens: Any) -> Any:
        return ops.cast(tokens != self.pad_id, "int32")

    def _target_weights(self, batch: Batch) -> Any:
        return ops.cast(batch["decoder_targets"] != self.pad_id, "float32")

    def _mlm_weights(self, batch: Batch) -> Any:
        tokens = take_positions(batch["encoder_tokens"], batch["mlm_positions"])
        return ops.cast(self._is_text(tokens), "float32")

    def _rtd_weights(self, batch: Batch) -> Any:
        """1 at every token but sentinels and padding (SpacTor, section 2)."""
        tokens = batch["encoder_tokens"]
        is_eos = tokens == Vocabulary.eos_id
        return ops.cast(
            ops.logical_or(self._is_text(tokens), is_eos), "float32"
        )

    def _is_text(self, tokens: Any) -> Any:
        return eligible_tokens(tokens, self._ineligible)

    # --- Keras ------------------------------------------------------------

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns float32 logits [batch, target_length, vocabulary_size]."""
        _, decoded = self._run_t5(
            inputs["encoder_tokens"], inputs, Stage.SPAN_CORRUPTION, training
        )
        return t5.lm_logits(self.backbone, decoded)

    def train_step(self, batch: Batch) -> dict[str, Any]:
        """One optimizer step of the current stage; traced once per stage."""
        return train_step.train_step(self, batch, self._traced_stage)

    def test_step(self, batch: Batch) -> dict[str, Any]:
        """Losses and counts of a batch without any update, summed."""
        return train_step.test_step(self, batch, self._tested_stage)

    def make_train_function(self, force: bool = False) -> Any:
        """Rebuilds the step when the stage has changed (one trace)."""
        force = force or self.stage is not getattr(self, "_traced_stage", None)
        self._traced_stage = self.stage
        super().make_train_function(force)
        return self.train_function

    def make_test_function(
        self, force: bool = False, stage: Stage | None = None
    ) -> Any:
        """Rebuilds the evaluation when the stage has changed.

        Args:
            force: rebuild it anyhow.
            stage: to evaluate in; None is that of the next step.
        """
        stage = stage or self.stage
        force = force or stage is not getattr(self, "_tested_stage", None)
        self._tested_stage = stage
        super().make_test_function(force)
        return self.test_function

    def fit(self, *args: Any, callbacks: Any = None, **kwargs: Any) -> Any:
        """`keras.Model.fit`; the stage switches at the transition step."""
        callbacks = [*(callbacks or []), _SwitchStage()]
        return super().fit(*args, callbacks=callbacks, **kwargs)

    def objective_weights(self, stage: Stage) -> dict[str, float]:
        """Weights of the losses in the stage's sum."""
        return loss_weights(stage, self.config.objective)


class _SwitchStage(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.make_train_function()


def _correct(logits: Any, targets: Any, weights: Any) -> Any:
    hits = ops.cast(ops.argmax(logits, axis=-1), "int32") == targets
    return ops.sum(ops.cast(hits, "float32") * weights)


def _detection_counts(
    logits: Any, changed: Any, weights: Any
) -> dict[str, Any]:
    """Sums for precision and recall of the detection at probability 0.5."""
    said = ops.cast(logits > 0, "float32")
    return {
        "rtd_true_positives": ops.sum(said * changed * weights),
        "rtd_predicted": ops.sum(said * weights),
        "rtd_replaced": ops.sum(changed * weights),
    }
