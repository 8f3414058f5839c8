"""The model: T5 with SpacTor's objective. The paper's idea on this page.

    X                 packed text
    X_c, X_t          span corruption: encoder tokens and decoder targets
    X_c with masks    what the generator reads
    X_hat_c           X_c with the generator's samples at the masked positions
    stage 1           L = w_mlm L_mlm(generator) + w_rtd L_rtd(encoder(X_hat_c))
                          + w_sc L_sc(decoder(encoder(X_hat_c)), X_t)
    stage 2           L = L_sc(decoder(encoder(X_c)), X_t)

(SpacTor, arXiv 2401.13160, section 2.) Stage 2 and L_sc are plain T5 and come
from `t5_trainer`. The gradient work around the objective, which sums over
replicas and slices, is in `replica_step`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from spactor_tf.config.model import GeneratorConfig, ModelConfig
from spactor_tf.config.pretrain import ObjectiveConfig, OptimizerConfig
from spactor_tf.data.corruption import eligible_tokens
from spactor_tf.data.step_pipeline import Batch
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.model import losses, replica_step, t5
from spactor_tf.model.curriculum import Stage, loss_weights, stage_at
from spactor_tf.model.generator import (
    Generator,
    ReplacedTokenHead,
    put_positions,
    sample_replacements,
    take_positions,
)
from spactor_tf.model.losses import LossTerm
from spactor_tf.model.replica_step import Scalars, StepOptions
from spactor_tf.model.t5_trainer import T5Trainer


class SpactorConfig(Protocol):
    """What the model reads of a configuration; `PretrainConfig` has it all."""

    @property
    def model(self) -> ModelConfig:
        """Sizes of T5."""

    @property
    def generator(self) -> GeneratorConfig:
        """Sizes of the generator."""

    @property
    def objective(self) -> ObjectiveConfig:
        """Losses and their weights."""

    @property
    def transition_step(self) -> int:
        """First step of stage 2."""

    @property
    def optimizer(self) -> OptimizerConfig:
        """Only `clip_norm` is read."""

    @property
    def accumulation_steps(self) -> int:
        """Slices that a replica's batch is processed in."""

    @property
    def seed(self) -> int:
        """Of initial weights and dropout."""

    @property
    def dtype(self) -> str:
        """Either "float32" or "mixed_bfloat16"."""

    def validate(self) -> None:
        """Raises InputError if the configuration cannot work."""


class Replacement(NamedTuple):
    """Tokens after the generator's replacements.

    Attributes:
        tokens: [batch, input_length] int32, X_hat_c.
        term: L_mlm, the generator's loss.
        counts: "mlm_correct" outside training: correct predictions, a sum.
    """

    tokens: tf.Tensor
    term: LossTerm
    counts: Scalars


class SpactorPretrainer(T5Trainer):
    """T5 encoder-decoder, generator and replaced token head.

    Args:
        config: sizes, objective, seed; a `PretrainConfig`, or any object with
            the fields of `SpactorConfig`.
        vocabulary: tells special tokens from text.
        backbone: an existing backbone to continue from; None draws T5's
            initial weights.

    Attributes:
        config: as given.
        generator: proposes replacements; None if no stage uses it.
        head: detects replacements; None if no stage uses it.

    Raises:
        InputError: the configuration or the vocabulary does not fit.
    """

    def __init__(
        self,
        config: SpactorConfig,
        vocabulary: Vocabulary,
        backbone: t5.Backbone | None = None,
    ):
        config.validate()
        super().__init__(
            config.model,
            vocabulary,
            backbone,
            seed=config.seed,
            dtype=config.dtype,
            step_options=StepOptions(
                config.accumulation_steps, config.optimizer.clip_norm
            ),
            z_loss=config.objective.z_loss,
            name="spactor_pretrainer",
        )
        self.config = config
        self.transition_step = config.transition_step
        self.eos_id, self.mask_id = vocabulary.eos_id, vocabulary.mask_id
        self._special_ids = vocabulary.special_ids
        # Tokens that are never sampled; spare rows of the embedding are not
        # text either.
        self._forbidden = np.ones(config.model.vocabulary_size, bool)
        self._forbidden[: vocabulary.size] = False
        self._forbidden[vocabulary.special_ids] = True
        self.generator: Generator | None = None
        self.head: ReplacedTokenHead | None = None
        first = stage_at(0, config.objective, config.transition_step)
        if first.has_generator:
            self._build_generator(config)

    def _build_generator(self, config: SpactorConfig) -> None:
        """Adds the generator and the head, with initial weights."""
        policy = keras.dtype_policies.get(config.dtype)
        model, sizes = config.model, config.generator
        self.generator = Generator(
            sizes,
            model.hidden_dim,
            model.vocabulary_size,
            model.dropout,
            dtype=policy,
            name="generator",
        )
        self.head = ReplacedTokenHead(
            model.hidden_dim, dtype=policy, name="replaced_token_head"
        )
        for part in (self.generator, self.head):
            part.build((None, None, model.hidden_dim))
        t5.reinitialize(
            [*self.generator.variables, *self.head.variables],
            config.seed + 1,
            head_dim=sizes.hidden_dim // sizes.num_heads,
            hidden_dim=sizes.hidden_dim,
        )
        bias = self.generator.output_bias
        bias.assign(np.zeros(bias.shape, np.float32))
        t5.seed_dropout(self.variables, config.seed)

    @property
    def stage(self) -> Stage:
        """The stage of the next step, from the optimizer's step counter."""
        step = int(self.optimizer.iterations.numpy()) if self.optimizer else 0
        return stage_at(step, self.config.objective, self.transition_step)

    # --- The objective ----------------------------------------------------

    def stage_variables(self, stage: Stage) -> list[keras.Variable]:
        """Returns the trainable variables that the stage updates."""
        if not stage.has_generator:
            return super().stage_variables(stage)
        body = self.backbone if stage.has_decoder else self.encoder
        parts = (body, *self._stage_one_parts())
        return [v for part in parts for v in part.trainable_variables]

    def _stage_one_parts(self) -> tuple[Generator, ReplacedTokenHead]:
        if self.generator is None or self.head is None:
            raise ValueError("this objective has no generator")
        return self.generator, self.head

    def objective_weights(self, stage: Stage) -> dict[str, float]:
        """Returns the weights of the losses in the stage's sum."""
        return loss_weights(stage, self.config.objective)

    def term_weights(self, batch: Batch, stage: Stage) -> Scalars:
        """Returns the number of tokens of each loss; needs no forward pass."""
        weights: Scalars = {}
        if stage.has_decoder:
            weights |= super().term_weights(batch, stage)
        if stage.has_generator:
            weights["mlm"] = ops.sum(self._mlm_weights(batch))
            weights["rtd"] = ops.sum(self._rtd_weights(batch))
        return weights

    def loss_terms(
        self, batch: Batch, stage: Stage, training: bool
    ) -> tuple[dict[str, LossTerm], Scalars]:
        """Computes the losses "mlm", "rtd" and "sc" that the stage has."""
        if not stage.has_generator:
            return super().loss_terms(batch, stage, training)
        replaced = self.replace_tokens(batch, training)
        terms, counts = {"mlm": replaced.term}, dict(replaced.counts)
        decoded = None
        if stage.has_decoder:
            encoded, decoded = self._run_t5(replaced.tokens, batch, training)
        else:
            inputs = {
                "encoder_token_ids": replaced.tokens,
                "encoder_padding_mask": self._padding_mask(replaced.tokens),
            }
            encoded = self.encoder(inputs, training=training)
        changed = ops.cast(
            replaced.tokens != batch["encoder_tokens"], "float32"
        )
        _, head = self._stage_one_parts()
        logits = head(encoded)
        weights = self._rtd_weights(batch)
        terms["rtd"] = losses.replaced_token_detection(logits, changed, weights)
        counts |= losses.detection_counts(logits, changed, weights)
        if decoded is not None:
            more, more_counts = self._target_loss(decoded, batch, training)
            terms, counts = terms | more, counts | more_counts
        return terms, counts

    def replace_tokens(
        self, batch: Batch, training: bool = False
    ) -> Replacement:
        """Puts samples of the generator at the masked positions.

        Args:
            batch: of stage 1.
            training: whether dropout acts.

        Raises:
            ValueError: the objective has no stage 1.
        """
        generator, _ = self._stage_one_parts()
        tokens, positions = batch["encoder_tokens"], batch["mlm_positions"]
        original = take_positions(tokens, positions)
        weights = self._mlm_weights(batch)
        masks = ops.where(weights > 0, self.mask_id, original)
        masked = put_positions(tokens, positions, masks)
        embedding = self.backbone.token_embedding
        logits = generator(
            embedding(masked),
            self._padding_mask(masked),
            positions,
            embedding.embeddings,
            training=training,
        )
        samples = sample_replacements(
            logits, batch["mlm_uniforms"], self._forbidden
        )
        samples = ops.where(weights > 0, samples, original)
        counts: Scalars = {}
        if not training:
            counts["mlm_correct"] = losses.correct_tokens(
                logits, original, weights
            )
        return Replacement(
            put_positions(tokens, positions, samples),
            losses.token_cross_entropy(logits, original, weights),
            counts,
        )

    def _mlm_weights(self, batch: Batch) -> tf.Tensor:
        """[batch, mlm_tokens] float32, 1 where a position is text."""
        tokens = take_positions(batch["encoder_tokens"], batch["mlm_positions"])
        return ops.cast(eligible_tokens(tokens, self._special_ids), "float32")

    def _rtd_weights(self, batch: Batch) -> tf.Tensor:
        """1 at every token but sentinels and padding (SpacTor, section 2)."""
        tokens = batch["encoder_tokens"]
        is_text = eligible_tokens(tokens, self._special_ids)
        return ops.cast(
            ops.logical_or(is_text, tokens == self.eos_id), "float32"
        )

    # --- Keras ------------------------------------------------------------

    def train_step(self, batch: Batch) -> Scalars:
        """Runs one step of the current stage; traced once per stage."""
        return replica_step.train_step(self, batch, self._traced_stage)

    def test_step(self, batch: Batch) -> Scalars:
        """Returns sums of losses and counts over a batch."""
        return replica_step.test_step(self, batch, self._tested_stage)

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
            force: rebuild it in any case.
            stage: to evaluate; None is that of the next step.
        """
        stage = stage or self.stage
        force = force or stage is not getattr(self, "_tested_stage", None)
        self._tested_stage = stage
        super().make_test_function(force)
        return self.test_function

    def fit(
        self,
        *args: Any,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """`keras.Model.fit`; the stage switches at the transition step."""
        callbacks = [*(callbacks or []), _SwitchStage()]
        return super().fit(*args, callbacks=callbacks, **kwargs)


class _SwitchStage(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.make_train_function()
