"""What is fixed when a model is exported: labels, lengths, decoding."""

from __future__ import annotations

import dataclasses

from runkit.checks import check_texts, require, require_positive
from runkit.errors import check_choice
from spactor_tf.config.search_options import SearchOptions

# Used if neither the caller nor the run names label words, so that `classify`
# always exists. How much its answers mean depends on the model's training.
DEFAULT_LABELS = ("negative", "positive")
# What weights can be stored and multiplied in.
SERVED_DTYPES = ("float32", "bfloat16", "float16")


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
        dtype: of the stored weights and of the matrix products. Sums, norms,
            softmax, and all outputs are float32.
    """

    labels: tuple[str, ...] = DEFAULT_LABELS
    prefix: str = ""
    input_length: int = 512
    unit_norm: bool = False
    request_options: bool = False
    dtype: str = "float32"

    def validate(self) -> None:
        """Raises InputError for options out of range."""
        super().validate()
        check_choice(self.dtype, SERVED_DTYPES, where="options.dtype")
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
        # A command line may hold bytes that are not UTF-8.
        check_texts(self.labels, "options.labels")
        check_texts((self.prefix,), "options.prefix")
