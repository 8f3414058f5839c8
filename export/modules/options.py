"""What is fixed when a model is exported: labels, lengths, decoding."""

from __future__ import annotations

import dataclasses

from runkit.checks import require, require_positive
from spactor_tf.config.search_options import SearchOptions

# Used if neither the caller nor the run names label words, so that `classify`
# always exists. How much its answers mean depends on the model's training.
DEFAULT_LABELS = ("negative", "positive")


@dataclasses.dataclass(frozen=True)
class ServingOptions(SearchOptions):
    """Options that are fixed at export; a server cannot change them.

    The search of `generate` is described by the fields of `SearchOptions`.

    Attributes:
        labels: label words of `classify`, ranked by their log-likelihood.
        prefix: put before every text of `classify` ("sst2 sentence: ").
        input_length: most tokens read of a text, EOS included; the rest is cut
            off and the output `truncated` says so.
        unit_norm: whether embeddings are scaled to Euclidean norm 1.
        request_options: whether there is a signature `generate_with_options`,
            whose requests choose length, temperature, seed and beams, up to
            `max_output_length` and `num_beams`.
    """

    labels: tuple[str, ...] = DEFAULT_LABELS
    prefix: str = ""
    input_length: int = 512
    unit_norm: bool = False
    request_options: bool = False

    def validate(self) -> None:
        """Raises InputError for options out of range."""
        super().validate()
        require_positive(self, "options", "input_length")
        require(
            len(self.labels) >= 2,
            "are fewer than two",
            "options.labels",
            self.labels,
            remedy="A margin needs two labels",
        )
        require(
            len(set(self.labels)) == len(self.labels)
            and all(label.strip() for label in self.labels),
            "contains an empty or repeated label word",
            "options.labels",
            self.labels,
        )
