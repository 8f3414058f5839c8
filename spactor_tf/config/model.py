"""Shapes of the model and of its examples: fields that fix every tensor.

`PretrainConfig` combines them with objective, optimizer and data.
"""

from __future__ import annotations

import dataclasses
import math

from runkit.checks import require, require_fraction, require_positive
from runkit.errors import check_choice

ACTIVATIONS = ("relu", "gated_gelu")
# Rows of the embedding that are not pieces: 100 sentinels, the mask and spare
# rows up to a multiple of 128, as in T5's 32,000 pieces and 32,128 rows.
NUM_SENTINELS = 100
NUM_RESERVED_ROWS = 128


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The T5 body (Raffel et al. 2020, section 2.1; v1.1 with `gated_gelu`).

    Attributes:
        vocabulary_size: rows of the token embedding.
        num_layers: layers of the encoder and of the decoder.
        num_heads: attention heads.
        hidden_dim: width of the residual stream.
        intermediate_dim: width of the feed-forward layer.
        key_value_dim: width of one head; None means hidden_dim / num_heads.
        activation: "relu" (v1.0) or "gated_gelu" (v1.1, tanh approximation).
        tie_embeddings: output projection is the token embedding (v1.0).
        dropout: rate in the whole model; T5 pre-trains v1.1 with 0.
        layer_norm_epsilon: epsilon of the RMS norms.
    """

    vocabulary_size: int = 32128
    num_layers: int = 6
    num_heads: int = 8
    hidden_dim: int = 512
    intermediate_dim: int = 2048
    key_value_dim: int | None = None
    activation: str = "relu"
    tie_embeddings: bool = True
    dropout: float = 0.0
    layer_norm_epsilon: float = 1e-6

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.key_value_dim or self.hidden_dim // self.num_heads

    def validate(self) -> None:
        """Raises InputError if the fields do not make a model."""
        require_positive(
            self,
            "model",
            "num_layers",
            "num_heads",
            "hidden_dim",
            "intermediate_dim",
            "key_value_dim",
            "layer_norm_epsilon",
        )
        require(
            self.vocabulary_size > NUM_RESERVED_ROWS,
            "leaves no room for pieces beside the reserved rows",
            "model.vocabulary_size",
            self.vocabulary_size,
            expected=f"> {NUM_RESERVED_ROWS}",
        )
        require_fraction(self, "model", "dropout")
        check_choice(self.activation, ACTIVATIONS, where="model.activation")
        require(
            self.key_value_dim is not None
            or self.hidden_dim % self.num_heads == 0,
            "is not divisible by model.num_heads",
            "model.hidden_dim",
            self.hidden_dim,
            expected=f"a multiple of {self.num_heads}",
            remedy="Or set model.key_value_dim",
        )


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """The small masked language model that proposes replacements.

    Attributes:
        num_layers: encoder layers.
        hidden_dim: width; where it differs from the model's, a projection
            joins it to the shared token embedding (ELECTRA, section 3.2).
        num_heads: attention heads.
        intermediate_dim: width of the feed-forward layer.
    """

    num_layers: int = 6
    hidden_dim: int = 128
    num_heads: int = 2
    intermediate_dim: int = 512

    def validate(self) -> None:
        """Raises InputError if the fields do not make a generator."""
        require_positive(
            self,
            "generator",
            "num_layers",
            "hidden_dim",
            "num_heads",
            "intermediate_dim",
        )
        require(
            self.hidden_dim % self.num_heads == 0,
            "is not divisible by generator.num_heads",
            "generator.hidden_dim",
            self.hidden_dim,
            expected=f"a multiple of {self.num_heads}",
        )


@dataclasses.dataclass(frozen=True)
class CorruptionConfig:
    """Span corruption (T5, section 3.1.4) and masking for the generator.

    Attributes:
        input_length: encoder tokens after corruption, EOS included.
        target_length: decoder tokens; None is the length that corruption
            gives, a larger value pads.
        noise_density: share of raw tokens that are noise.
        mean_noise_span_length: tokens per noise span, on average.
        mlm_mask_rate: share of the remaining input tokens that the generator
            must predict.
    """

    input_length: int = 512
    target_length: int | None = None
    noise_density: float = 0.15
    mean_noise_span_length: float = 3.0
    mlm_mask_rate: float = 0.15

    def validate(self) -> None:
        """Raises InputError for rates and lengths out of range."""
        require_positive(self, "corruption", "input_length", "target_length")
        for name in ("noise_density", "mlm_mask_rate"):
            value = getattr(self, name)
            require(
                0 < value < 1,
                "is not a rate",
                f"corruption.{name}",
                value,
                expected="0 < value < 1",
            )
        require(
            1 <= self.mean_noise_span_length < math.inf,
            "is shorter than one token or not finite",
            "corruption.mean_noise_span_length",
            self.mean_noise_span_length,
            expected=">= 1",
        )


def least_weights(
    vocabulary_size: int,
    hidden_dim: int,
    num_layers: int,
    intermediate_dim: int,
    inner_dim: int,
) -> int:
    """Returns fewer weights than any T5 of these sizes has.

    What a configuration from outside says is compared with the weights beside
    it before memory is taken for it.

    Args:
        vocabulary_size: rows of the embedding.
        hidden_dim: width of the model.
        num_layers: of the encoder.
        intermediate_dim: width of the feed-forward layers.
        inner_dim: width of all attention heads together.
    """
    per_layer = 2 * intermediate_dim + 4 * inner_dim
    return hidden_dim * (vocabulary_size + num_layers * per_layer)
