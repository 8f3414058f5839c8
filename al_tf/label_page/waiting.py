"""Which examples wait for a person, and which tab shows which of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from al_tf.project.record.state import State
from al_tf.project.record.votes import decided
from al_tf.project.settings import Settings

# An example is kept for the tab that shows it, so long without a sign of it.
KEPT_SECONDS = 600.0


def waiting(
    state: State, annotator: str, settings: Settings
) -> list[list[Any]]:
    """Examples of each batch that wait for a person, in the batch's order.

    Those that this person has not answered, and whose label the answers of
    others do not decide.
    """
    answers = state.answers
    open_ones = [
        [i for i in batch.ids if annotator not in answers.get(i, {})]
        for batch in state.batches
    ]
    by_others = {
        i: answers[i] for ids in open_ones for i in ids if i in answers
    }
    done = decided(by_others, settings)
    return [[i for i in ids if i not in done] for ids in open_ones]


class Tabs:
    """The example that each tab of a browser shows.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._shown: dict[str, tuple[Any, float]] = {}

    def show(self, tab: str, example: Any) -> None:
        """Keeps an example for a tab."""
        self._shown[tab] = example, self._clock()

    def choose(self, tab: str, examples: Sequence[Any]) -> Any:
        """The tab's own example, else one that no other tab shows, else any.

        Args:
            tab: the tab that asks.
            examples: the examples that wait; None is returned if there are
                none.
        """
        oldest = self._clock() - KEPT_SECONDS
        self._shown = {
            other: (example, since)
            for other, (example, since) in self._shown.items()
            if since >= oldest
        }
        own, _ = self._shown.pop(tab, (None, 0.0))
        taken = {example for example, _ in self._shown.values()}
        free = [i for i in examples if i not in taken]
        chosen = own if own in examples else next(iter(free or examples), None)
        if chosen is not None:
            self.show(tab, chosen)
        return chosen
