"""Span corruption and masking: exact, reassembled, and as random as it says."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools

import numpy as np
import scipy.stats
import tensorflow as tf
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.config.model import CorruptionConfig
from spactor_tf.data.corruption import (
    corruption_lengths,
    random_noise_mask,
    span_corrupt,
)

EOS, PAD = 1, 0
SENTINELS = np.arange(1099, 999, -1)  # T5's descending order.
SPECIAL = np.array([PAD, EOS, 1100, *SENTINELS])
SEEDS = 200


def lengths_of(input_length, **fields):
    return corruption_lengths(
        CorruptionConfig(input_length=input_length, **fields)
    )


def t5_lengths(input_length, density, mean):
    """An independent reading of T5's solver: by looking at every raw length.

    Returns (raw, noise, spans, targets) of the longest raw length whose
    encoder input has `input_length` tokens, or None.
    """
    found = None
    for raw in range(2, 3 * input_length + 50):
        noise = min(max(int(np.round(raw * density)), 1), raw - 1)
        spans = max(int(np.round(noise / mean)), 1)
        if raw - noise + spans + 1 == input_length:
            found = raw, noise, spans, noise + spans + 1
    return found


@functools.cache
def noise_of_many_seeds(rows=32):
    """[seeds * rows, raw] noise and starts at the settings of `tiny`."""
    lengths = lengths_of(128)
    index = tf.range(rows, dtype=tf.int64)
    masks = [random_noise_mask(index, lengths, s) for s in range(SEEDS)]
    return [np.concatenate([m[i].numpy() for m in masks]) for i in (0, 1)]


def reassemble(inputs, targets):
    """Raw tokens of one corrupted row, read token by token."""
    spans, current = {}, None
    for token in targets.tolist():
        if token == EOS:
            break
        if token in SENTINELS:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    raw = []
    for token in inputs.tolist()[:-1]:
        raw += spans.pop(token) if token in SENTINELS else [token]
    assert inputs[-1] == EOS
    assert not spans
    return raw


class LengthsTest(parameterized.TestCase):
    @parameterized.parameters(
        # By hand: 568 * .15 = 85.2, 85 / 3 = 28.3; 568 - 85 + 28 + 1 = 512.
        (512, 568, 85, 28, 114),
        # 141 * .15 = 21.15, 21 / 3 = 7; 141 - 21 + 7 + 1 = 128.
        (128, 141, 21, 7, 29),
    )
    def test_hand_computed(self, inputs, raw, noise, spans, targets):
        lengths = lengths_of(inputs)
        self.assertEqual(lengths.raw_length, raw)
        self.assertEqual(lengths.noise_tokens, noise)
        self.assertEqual(lengths.noise_spans, spans)
        self.assertEqual(lengths.input_length, inputs)
        self.assertEqual(lengths.target_length, targets)
        # 15 % of the 483 and of the 120 tokens that are kept.
        self.assertEqual(lengths.mlm_tokens, {512: 72, 128: 18}[inputs])

    @parameterized.parameters((0.15, 3.0), (0.15, 10.0), (0.5, 3.0), (0.3, 1.5))
    def test_every_length_that_t5_can_fill(self, density, mean):
        for inputs in range(4, 180):
            expected = t5_lengths(inputs, density, mean)
            config = CorruptionConfig(
                inputs, noise_density=density, mean_noise_span_length=mean
            )
            if expected is None:
                with self.assertRaisesRegex(InputError, "filled exactly"):
                    corruption_lengths(config)
                continue
            got = corruption_lengths(config)
            self.assertEqual(
                (
                    got.raw_length,
                    got.noise_tokens,
                    got.noise_spans,
                    got.target_length,
                ),
                expected,
            )

    def test_longer_target_pads(self):
        self.assertEqual(lengths_of(128, target_length=40).target_length, 40)

    @parameterized.named_parameters(
        (
            "target_too_short",
            {"input_length": 512, "target_length": 113},
            "target_length: the targets do not fit; got 113; expected at least "
            "114",
        ),
        (
            "too_many_spans",
            {"input_length": 2048},
            "needs 114 sentinels.*2048.*"
            "at most 100 noise spans.*mean_noise_span_length",
        ),
        (
            "too_long",
            {"input_length": 4096, "mean_noise_span_length": 50.0},
            "input_length: is too long; got 4096",
        ),
        ("endless", {"input_length": 10**9}, "is too long; got 1000000000"),
        (
            "hardly_kept",
            {"input_length": 512, "noise_density": 0.999999},
            "is too long",
        ),
        ("nothing_fits", {"input_length": 2}, "cannot be filled.*above is 3"),
    )
    def test_refused(self, fields, pattern):
        with self.assertRaisesRegex(InputError, pattern):
            corruption_lengths(CorruptionConfig(**fields))

    def test_unreachable_length_names_one_that_can_be_filled(self):
        # Where a span is as likely as a kept token, both may come at once.
        fields = {"noise_density": 0.9}
        refused = 0
        for inputs in range(5, 40):
            try:
                lengths_of(inputs, **fields)
            except InputError as error:
                refused += 1
                near = int(str(error).rpartition("above is ")[2].rstrip("."))
                self.assertGreater(near, inputs)
                self.assertEqual(lengths_of(near, **fields).input_length, near)
        self.assertGreater(refused, 0)


class SpanCorruptTest(parameterized.TestCase):
    def corrupt(self, lengths, rows=16, seed=0, first=0):
        rng = np.random.default_rng(seed)
        tokens = rng.integers(2, 1000, [rows, lengths.raw_length], np.int32)
        batch = span_corrupt(
            tf.constant(tokens),
            tf.range(first, first + rows, dtype=tf.int64),
            lengths=lengths,
            sentinel_ids=SENTINELS,
            seed=seed,
        )
        return (tokens, *(t.numpy() for t in batch))

    @parameterized.parameters(
        {"input_length": 128},
        {"input_length": 512},
        {"input_length": 32},
        {"input_length": 3},
        {"input_length": 128, "target_length": 40},
        {"input_length": 64, "noise_density": 0.5},
        {
            "input_length": 64,
            "mean_noise_span_length": 1.0,
            "noise_density": 0.49,
        },
        {"input_length": 64, "mean_noise_span_length": 100.0},
        {"input_length": 21, "noise_density": 0.9},
    )
    def test_every_row_reassembles_its_raw_tokens(self, **fields):
        lengths = lengths_of(**fields)
        for seed in range(8):
            tokens, inputs, targets = self.corrupt(lengths, seed=seed)
            self.assertEqual(inputs.shape, (16, lengths.input_length))
            self.assertEqual(targets.shape, (16, lengths.target_length))
            for raw, i, t in zip(tokens, inputs, targets, strict=True):
                self.assertEqual(reassemble(i, t), raw.tolist())

    def test_every_row_of_many_seeds_reassembles(self):
        lengths = lengths_of(128)
        for seed in range(SEEDS):
            tokens, inputs, targets = self.corrupt(lengths, 4, seed)
            for raw, i, t in zip(tokens, inputs, targets, strict=True):
                self.assertEqual(reassemble(i, t), raw.tolist())

    def test_sentinels_come_in_order_eos_ends_and_padding_fills(self):
        lengths = lengths_of(128, target_length=33)
        _, inputs, targets = self.corrupt(lengths)
        order = SENTINELS[: lengths.noise_spans].tolist()
        for row in (*inputs, *targets):
            self.assertEqual([t for t in row if t in SENTINELS], order)
        np.testing.assert_array_equal(inputs[:, -1], EOS)
        np.testing.assert_array_equal(targets[:, 0], order[0])
        np.testing.assert_array_equal(targets[:, 28], EOS)
        np.testing.assert_array_equal(targets[:, 29:], PAD)

    def test_the_row_begins_kept_and_ends_with_noise(self):
        tokens, inputs, targets = self.corrupt(lengths_of(128))
        np.testing.assert_array_equal(inputs[:, 0], tokens[:, 0])
        np.testing.assert_array_equal(inputs[:, -2], SENTINELS[6])
        np.testing.assert_array_equal(targets[:, -2], tokens[:, -1])

    @parameterized.parameters(1, 3, 5, 16)
    def test_any_batch_size_gives_the_same_example(self, size):
        lengths = lengths_of(128)
        tokens, inputs, targets = self.corrupt(lengths)
        for start in range(0, 16, size):
            rows = slice(start, start + size)
            part = span_corrupt(
                tf.constant(tokens[rows]),
                tf.range(16, dtype=tf.int64)[rows],
                lengths=lengths,
                sentinel_ids=SENTINELS,
            )
            np.testing.assert_array_equal(part[0], inputs[rows])
            np.testing.assert_array_equal(part[1], targets[rows])

    def test_in_a_graph_shapes_are_static_and_numbers_the_same(self):
        lengths = lengths_of(128)
        tokens, inputs, targets = self.corrupt(lengths)

        @tf.function
        def corrupt(tokens, index):
            batch = span_corrupt(
                tokens, index, lengths=lengths, sentinel_ids=SENTINELS
            )
            assert batch[0].shape == [16, 128], batch[0].shape
            assert batch[1].shape == [16, 29], batch[1].shape
            return batch

        batch = corrupt(tf.constant(tokens), tf.range(16, dtype=tf.int64))
        np.testing.assert_array_equal(batch[0], inputs)
        np.testing.assert_array_equal(batch[1], targets)


class NoiseStatisticsTest(parameterized.TestCase):
    def test_exact_density_and_span_count_in_every_row(self):
        noise, starts = noise_of_many_seeds()
        self.assertGreaterEqual(len(noise), SEEDS * 32)
        np.testing.assert_array_equal(noise.sum(1), 21)
        np.testing.assert_array_equal(starts.sum(1), 7)
        # A start is a noise token that follows a kept one.
        before = np.pad(noise, [[0, 0], [1, 0]])[:, :-1]
        np.testing.assert_array_equal(starts, noise & ~before)
        self.assertFalse(noise[:, 0].any())
        self.assertTrue(noise[:, -1].all())

    @parameterized.parameters(
        (True, 21),  # noise tokens
        (False, 120),  # kept tokens
    )
    def test_span_lengths_follow_a_uniform_composition(self, kind, items):
        """Each of 7 pieces of n items has length l in C(n-1-l, 5) ways."""
        noise, _ = noise_of_many_seeds()
        spans = []
        for row in noise == kind:
            edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
            spans.append(edges[1::2] - edges[::2])
        spans = np.array(spans)
        self.assertEqual(spans.shape[1], 7)
        self.assertAlmostEqual(spans.mean(), items / 7)
        length = np.arange(1, items - 5)
        ways = scipy.special.comb(items - 1 - length, 5)
        for piece in range(7):
            counts = np.bincount(spans[:, piece], minlength=items - 5)[1:]
            expected = ways / ways.sum() * counts.sum()
            rare = expected < 20
            counts = [*counts[~rare], counts[rare].sum()]
            expected = [*expected[~rare], expected[rare].sum()]
            p = scipy.stats.chisquare(counts, expected).pvalue
            self.assertGreater(p, 1e-4, f"piece {piece}")

    def test_all_ways_to_cut_a_short_row_are_equally_likely(self):
        # 6 noise tokens in 2 spans: 5 ways; 6 kept tokens in 2: 5 ways.
        lengths = lengths_of(9, noise_density=0.5, mean_noise_span_length=3.0)
        self.assertEqual((lengths.noise_tokens, lengths.noise_spans), (6, 2))
        noise, _ = random_noise_mask(
            tf.range(20_000, dtype=tf.int64), lengths, seed=5
        )
        _, counts = np.unique(noise.numpy(), axis=0, return_counts=True)
        self.assertLen(counts, 25)
        self.assertGreater(scipy.stats.chisquare(counts).pvalue, 1e-3)

    def test_neighboring_examples_and_seeds_are_unrelated(self):
        noise, _ = noise_of_many_seeds()
        noise = noise.reshape(SEEDS, 32, -1).astype(float)
        centered = noise - noise.mean((0, 1))
        size = np.square(centered).mean()
        for other in (centered[:, 1:], centered[1:]):
            same = (
                centered[:, :-1] if other.shape[0] == SEEDS else centered[:-1]
            )
            correlation = (same * other).mean() / size
            self.assertLess(abs(correlation), 0.006)


if __name__ == "__main__":
    absltest.main()
