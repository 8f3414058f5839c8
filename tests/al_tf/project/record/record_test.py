"""Events of other versions, and what they add up to."""

from absl.testing import absltest, parameterized

from al_tf.project.record.state import Part, Replay
from runkit import InputError

PART = Part("npz:x", 9, "0123abcd")
BATCH = {
    "name": "p-000",
    "ids": [3, 4],
    "suggested": [],
    "confidence": [],
    "strategy": "random",
    "result": None,
}


def event(number, kind, **fields):
    return {"number": number, "kind": kind, **fields}


def answers(number, *rows):
    return event(number, "answers", source="test", answers=[*rows])


class ReplayTest(parameterized.TestCase):
    def test_batches_of_before_there_were_margins(self):
        replay = Replay(["a", "b"], PART)
        state = replay.of([event(1, "batch", **BATCH)])
        self.assertEqual(state.batches[0].margins, ())
        events = [event(1, "batch", **BATCH, margins=[0.5, 0.25])]
        state = Replay(["a", "b"], PART).of(events)
        self.assertEqual(state.batches[0].margins, [0.5, 0.25])

    @parameterized.parameters(
        [event(2, "future")],
        [event(2, "batch", name="p-001")],
        [answers(2, [3, "eve", "later", []])],
        [answers(2, [4, "bob", "withdrawn", []])],
        [answers(2, [4, "bob", "label", ["a"]], [5, "bob", "later", []])],
    )
    def test_an_event_that_cannot_be_read_changes_nothing(self, bad):
        replay = Replay(["a", "b"], PART)
        good = answers(1, [3, "eve", "label", ["a"]])
        before = replay.of([good])
        for _ in range(2):
            with self.assertRaisesRegex(InputError, "event 2 cannot be read"):
                replay.of([good, bad])
        self.assertEqual(replay.of([good]), before)

    def test_each_event_counts_once(self):
        replay = Replay(["a", "b"], PART)
        events = [
            answers(1, [3, "eve", "label", ["a"]]),
            answers(2, [3, "eve", "withdrawn", []]),
            answers(3, [3, "eve", "skip", []]),
        ]
        for count in (1, 1, 2, 3):
            state = replay.of(events[:count])
            self.assertEqual(state.changes, {(3, "eve"): count})
        self.assertEqual(state.counts(), {"skip": 1})
        self.assertLen(state.amendments, 1)


if __name__ == "__main__":
    absltest.main()
