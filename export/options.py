"""What is fixed when a model is exported: labels, lengths, decoding."""

from __future__ import annotations

import dataclasses

from runkit.errors import check_choice
from spactor_tf.model_config import require, require_positive

DECODINGS = ("greedy", "temperature", "beam")
# Used where neither the caller nor the run names label words: the signature
# then exists, and its answers mean as much as the model knows of these words.
DEFAULT_LABELS = ("negative", "positive")


@dataclasses.dataclass(frozen=True)
class ServingOptions:
    """Fixed at export; a server cannot change them.

    Attributes:
        labels: label words of `classify`, ranked by their log-likelihood.
        prefix: put before every text of `classify` ("sst2 sentence: ").
        input_length: tokens read of a text, EOS included; the rest is cut off
            and the output `truncated` says so.
        max_output_length: tokens generated at most, EOS included.
        decoding: "greedy", "temperature" or "beam".
        temperature: divides the logits for "temperature".
        seed: of "temperature". A sample is a pure function of (seed, text),
            so that it does not hang on what else is in a server's batch.
        num_beams: hypotheses kept by "beam".
        length_penalty: "beam" returns the hypothesis with the highest
            log-likelihood / length ** length_penalty; 0 is the likeliest.
        unit_norm: embeddings have Euclidean norm 1.
    """

    labels: tuple[str, ...] = DEFAULT_LABELS
    prefix: str = ""
    input_length: int = 512
    max_output_length: int = 64
    decoding: str = "greedy"
    temperature: float = 1.0
    seed: int = 0
    num_beams: int = 4
    length_penalty: float = 0.6
    unit_norm: bool = False

    def validate(self) -> None:
        """Raises InputError for options that cannot be served."""
        check_choice(self.decoding, DECODINGS, where="options.decoding")
        require_positive(
            self, "options", "input_length", "max_output_length",
            "temperature", "num_beams",
        )  # fmt: skip
        require(
            self.length_penalty >= 0, "is negative",
            "options.length_penalty", self.length_penalty, expected=">= 0",
        )  # fmt: skip
        require(
            len(self.labels) >= 2, "are fewer than two",
            "options.labels", self.labels,
            remedy="A margin needs a first and a second label",
        )  # fmt: skip
        require(
            len(set(self.labels)) == len(self.labels)
            and all(label.strip() for label in self.labels),
            "holds an empty or a repeated label word",
            "options.labels", self.labels,
        )  # fmt: skip
