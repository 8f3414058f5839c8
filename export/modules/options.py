"""What is fixed when a model is exported: labels, lengths, decoding."""

from __future__ import annotations

import dataclasses

from spactor_tf.config.model import require, require_positive
from spactor_tf.config.search_options import SearchOptions

# Used where neither the caller nor the run names label words: the signature
# then exists, and its answers mean as much as the model knows of these words.
DEFAULT_LABELS = ("negative", "positive")


@dataclasses.dataclass(frozen=True)
class ServingOptions(SearchOptions):
    """Fixed at export; a server cannot change them.

    How `generate` searches is inherited from `SearchOptions`.

    Attributes:
        labels: label words of `classify`, ranked by their log-likelihood.
        prefix: put before every text of `classify` ("sst2 sentence: ").
        input_length: tokens read of a text, EOS included; the rest is cut off
            and the output `truncated` says so.
        unit_norm: embeddings have Euclidean norm 1.
    """

    labels: tuple[str, ...] = DEFAULT_LABELS
    prefix: str = ""
    input_length: int = 512
    unit_norm: bool = False

    def validate(self) -> None:
        """Raises InputError for options that cannot be served."""
        super().validate()
        require_positive(self, "options", "input_length")
        require(
            len(self.labels) >= 2,
            "are fewer than two",
            "options.labels",
            self.labels,
            remedy="A margin needs a first and a second label",
        )
        require(
            len(set(self.labels)) == len(self.labels)
            and all(label.strip() for label in self.labels),
            "holds an empty or a repeated label word",
            "options.labels",
            self.labels,
        )
