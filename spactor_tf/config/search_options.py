"""How text is generated: greedy, sampled or beam search."""

from __future__ import annotations

import dataclasses

from runkit.checks import require, require_positive
from runkit.errors import check_choice

DECODINGS = ("greedy", "temperature", "beam")


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """Greedy, sampled or beam search.

    Attributes:
        max_output_length: largest number of generated tokens, EOS included.
        decoding: "greedy", "temperature" or "beam".
        temperature: divides the logits for "temperature".
        seed: of "temperature". A sample is a pure function of (seed, text):
            it does not depend on the rest of the batch.
        num_beams: hypotheses kept by "beam".
        length_penalty: "beam" returns the hypothesis with the highest
            log-likelihood / length ** length_penalty; 0 ranks by likelihood.
    """

    max_output_length: int = 64
    decoding: str = "greedy"
    temperature: float = 1.0
    seed: int = 0
    num_beams: int = 4
    length_penalty: float = 0.6

    def validate(self) -> None:
        """Raises InputError for unknown names and values out of range."""
        check_choice(self.decoding, DECODINGS, where="options.decoding")
        require_positive(
            self, "options", "max_output_length", "temperature", "num_beams"
        )
        require(
            self.length_penalty >= 0,
            "is negative",
            "options.length_penalty",
            self.length_penalty,
            expected=">= 0",
        )
