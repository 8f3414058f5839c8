"""The input pipeline: batch i is a function of (seed, i) alone."""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.data.permutation import shuffled
from spactor_tf.data.pretraining import (
    Pipeline,
    evaluation_pipeline,
    feature_specs,
    train_pipeline,
)
from tests.support import testing


def batches(dataset):
    """Batches as dictionaries of NumPy arrays."""
    return [
        {name: value.numpy() for name, value in batch.items()}
        for batch in dataset
    ]


class PipelineTest(parameterized.TestCase):
    BATCH = 8

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        config = testing.tiny_config(batch_size=cls.BATCH, seed=3)
        cls.config = config
        # Both splits live on in the class; the folder may go before them.
        folder = absltest.get_default_test_tmpdir()
        cls.stores = testing.token_stores(f"{folder}/dataset_test")
        cls.pipeline = train_pipeline(
            config, cls.stores["train"], testing.vocabulary(), masking=True
        )
        cls.first = batches(cls.pipeline.dataset(0, 6))

    def assert_same(self, got, expected):
        self.assertEqual(len(got), len(expected))
        for one, other in zip(got, expected, strict=True):
            self.assertEqual(one.keys(), other.keys())
            for name in one:
                np.testing.assert_array_equal(one[name], other[name], name)

    def test_a_second_run_sees_the_same(self):
        again = dataclasses.replace(self.pipeline)
        self.assert_same(batches(again.dataset(0, 6)), self.first)

    @parameterized.parameters(1, 3, 5)
    def test_it_starts_at_any_step(self, start):
        got = batches(self.pipeline.dataset(start, 6))
        self.assert_same(got, self.first[start:])

    def test_an_end_that_is_reached(self):
        self.assertEmpty(batches(self.pipeline.dataset(6, 6)))

    @parameterized.parameters(
        # replicas, hosts
        (1, 1),
        (2, 1),
        (4, 1),
        (2, 2),
        (4, 2),
        (8, 2),
    )
    def test_replicas_and_hosts_share_the_same_global_batch(self, n, hosts):
        local = n // hosts
        parts = [
            batches(
                self.pipeline.dataset(
                    1,
                    4,
                    replicas=n,
                    first_replica=host * local,
                    local_replicas=local,
                )
            )
            for host in range(hosts)
        ]
        for step in range(3):
            rows = [
                part[step * local + replica]
                for part in parts
                for replica in range(local)
            ]
            self.assertLen(rows[0]["encoder_tokens"], self.BATCH // n)
            whole = {k: np.concatenate([r[k] for r in rows]) for k in rows[0]}
            self.assert_same([whole], [self.first[1 + step]])

    def test_batch_that_replicas_cannot_share(self):
        with self.assertRaisesRegex(
            InputError, "batch_size: .* 3 replicas; got 8; .*multiple of 3"
        ):
            self.pipeline.dataset(0, 1, replicas=3)

    @parameterized.parameters(True, False)
    def test_features_are_as_specified(self, masking):
        pipeline = dataclasses.replace(self.pipeline, masking=masking)
        specs = feature_specs(self.pipeline.lengths, self.BATCH)
        if not masking:
            specs = {k: s for k, s in specs.items() if "mlm" not in k}
        self.assertEqual(pipeline.dataset(0, 1).element_spec, specs)
        for name, value in batches(pipeline.dataset(0, 1))[0].items():
            self.assertEqual(value.shape, tuple(specs[name].shape))

    def test_both_stages_see_the_same_text_and_noise(self):
        pipeline = dataclasses.replace(self.pipeline, masking=False)
        for plain, masked in zip(
            batches(pipeline.dataset(0, 3)), self.first, strict=False
        ):
            for name in plain:
                np.testing.assert_array_equal(plain[name], masked[name])

    def test_masked_positions_are_plain_text(self):
        special = testing.vocabulary().special_ids
        for batch in self.first:
            tokens = np.take_along_axis(
                batch["encoder_tokens"], batch["mlm_positions"], axis=1
            )
            self.assertFalse(np.isin(tokens, special).any())

    def test_one_pass_reads_every_token_of_the_corpus(self):
        store = self.stores["train"]
        vocabulary, lengths = testing.vocabulary(), self.pipeline.lengths
        windows = store.num_windows(lengths.raw_length)
        steps = -(-windows // self.BATCH)
        seen = set()
        for batch in batches(self.pipeline.dataset(0, steps)):
            for inputs, targets in zip(
                batch["encoder_tokens"], batch["decoder_targets"], strict=True
            ):
                seen.add(tuple(raw_window(inputs, targets, vocabulary)))
        expected = testing.windows_of(store, lengths.raw_length)
        self.assertEqual(seen, set(map(tuple, expected.tolist())))

    def test_a_short_corpus_repeats_with_new_noise(self):
        length = self.pipeline.lengths.raw_length
        windows = self.stores["train"].num_windows(length)
        order = shuffled(np.arange(3 * windows), windows, self.config.seed)
        same = [
            p * windows
            + int(
                np.flatnonzero(
                    order[p * windows : (p + 1) * windows] == order[0]
                )[0]
            )
            for p in range(3)
        ]
        single = dataclasses.replace(self.pipeline, batch_size=1)
        found = [batches(single.dataset(e, e + 1))[0] for e in same]
        inputs, targets = (
            np.concatenate([batch[name] for batch in found])
            for name in ("encoder_tokens", "decoder_targets")
        )
        raw = {
            tuple(raw_window(i, t, testing.vocabulary()))
            for i, t in zip(inputs, targets, strict=True)
        }
        self.assertLen(raw, 1)
        self.assertLen(np.unique(inputs, axis=0), 3)

    def test_another_seed_gives_other_batches(self):
        other = dataclasses.replace(self.pipeline, seed=4)
        (batch,) = batches(other.dataset(0, 1))
        for name, value in self.first[0].items():
            self.assertFalse(np.array_equal(batch[name], value), name)

    def test_evaluation_is_equal_for_all_seeds(self):
        runs = [
            evaluation_pipeline(
                dataclasses.replace(self.config, seed=seed),
                self.stores["heldout"],
                testing.vocabulary(),
            )
            for seed in (0, 99)
        ]
        first, second = (batches(run.dataset(0, 2)) for run in runs)
        self.assert_same(first, second)

    def test_padded_targets(self):
        lengths = corruption_lengths(
            dataclasses.replace(self.config.corruption, target_length=12)
        )
        pipeline = dataclasses.replace(self.pipeline, lengths=lengths)
        (batch,) = batches(pipeline.dataset(0, 1))
        self.assertEqual(batch["decoder_targets"].shape, (self.BATCH, 12))
        self.assertTrue((batch["decoder_targets"][:, -1] == 0).all())

    def test_corpus_shorter_than_a_window_is_refused_at_once(self):
        lengths = dataclasses.replace(self.pipeline.lengths, raw_length=10**6)
        with self.assertRaisesRegex(InputError, "shorter than one window"):
            Pipeline(self.stores["train"], testing.vocabulary(), lengths, 8, 0)


def raw_window(inputs, targets, vocabulary):
    """Raw tokens of one example, put together again."""
    sentinels = set(vocabulary.sentinel_ids.tolist())
    spans, current = {}, None
    for token in targets.tolist():
        if token in sentinels:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    current.pop()  # The EOS of the target.
    raw = []
    for token in inputs.tolist()[:-1]:
        raw += spans[token] if token in sentinels else [token]
    return raw


if __name__ == "__main__":
    absltest.main()
