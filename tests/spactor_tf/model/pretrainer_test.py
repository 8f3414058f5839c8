"""The model: what each stage computes, updates and leaves alone."""

import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.data.pretraining import train_pipeline
from spactor_tf.model import replica_step
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.pretrainer import SpactorPretrainer
from spactor_tf.training.optimizers import build_optimizer
from tests.support import testing


def build(optimizer=None, jit_compile=False, **fields):
    config = testing.tiny_config(**fields)
    model = SpactorPretrainer(config, testing.vocabulary())
    optimizer = optimizer or build_optimizer(
        config.optimizer, config.train_steps
    )
    model.compile(optimizer=optimizer, jit_compile=jit_compile)
    return model


def values(variables):
    return [np.asarray(variable.value) for variable in variables]


class PretrainerTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.stores = testing.token_stores(folder.name)

    def dataset(self, config, start=0, end=1000):
        pipeline = train_pipeline(
            config, self.stores["train"], testing.vocabulary(), masking=True
        )
        return pipeline.dataset(start, end)

    def batch(self, config):
        return next(iter(self.dataset(config)))

    def test_stage_two_is_span_corruption_without_replacements(self):
        model = build()
        batch = self.batch(model.config)
        terms, _ = model.loss_terms(batch, Stage.SPAN_CORRUPTION, False)
        logits = np.asarray(model(batch), np.float64)
        targets = batch["decoder_targets"].numpy()
        shifted = logits - logits.max(-1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        expected = -np.take_along_axis(log_p, targets[..., None], -1).sum()
        np.testing.assert_allclose(terms["sc"].total, expected, rtol=1e-5)
        self.assertEqual(float(terms["sc"].weight), targets.size)
        self.assertEqual(set(terms), {"sc"})

    def test_encoder_reads_replacements_in_stage_one(self):
        model = build()
        batch = self.batch(model.config)
        replaced = np.asarray(model.replace_tokens(batch).tokens)
        tokens = batch["encoder_tokens"].numpy()
        rows, places = np.nonzero(replaced != tokens)
        self.assertGreater(len(rows), 0)
        masked = batch["mlm_positions"].numpy()
        for row, place in zip(rows, places, strict=True):
            self.assertIn(place, masked[row])
        special = testing.vocabulary().special_ids
        self.assertFalse(np.isin(replaced[rows, places], special).any())
        self.assertLess(replaced.max(), testing.vocabulary().size)

    def test_only_text_is_masked_and_replaced(self):
        model = build()
        batch = self.batch(model.config)
        # A row with too few text tokens has other positions among the masked.
        tokens = batch["encoder_tokens"].numpy()
        tokens[0, :-2] = testing.vocabulary().sentinel_ids[0]
        batch["encoder_tokens"] = tf.constant(tokens)
        places = np.arange(batch["mlm_positions"].shape[1])
        batch["mlm_positions"] = tf.constant([places] * len(tokens), tf.int32)
        replaced = model.replace_tokens(batch)
        np.testing.assert_array_equal(replaced.tokens[0], tokens[0])
        weights = ~np.isin(
            tokens[:, : len(places)], testing.vocabulary().special_ids
        )
        self.assertEqual(float(replaced.term.weight), weights.sum())

    def test_an_objective_without_generator_replaces_nothing(self):
        model = build(**{"objective.name": "span_corruption"})
        with self.assertRaisesRegex(ValueError, "no generator"):
            model.replace_tokens(self.batch(model.config))

    @parameterized.parameters("hybrid", "rtd", "span_corruption")
    def test_evaluation_measures_each_loss_on_its_own_input(self, name):
        model = build(**{"objective.name": name})
        batch = self.batch(model.config)
        stage = model.stage
        sums = replica_step.test_step(model, batch, stage)
        expected = {}
        if stage.has_decoder:
            # Without replacements, whatever the stage trains on.
            plain = model.loss_terms(batch, Stage.SPAN_CORRUPTION, False)
            expected["sc"] = plain[0]["sc"]
            self.assertEqual(sums["sc_correct"], plain[1]["sc_correct"])
        if stage.has_generator:
            terms, counts = model.loss_terms(batch, stage, False)
            expected |= {name: terms[name] for name in ("mlm", "rtd")}
            self.assertEqual(sums["rtd_replaced"], counts["rtd_replaced"])
            self.assertEqual(sums["mlm_correct"], counts["mlm_correct"])
        for name, term in expected.items():
            np.testing.assert_allclose(sums[name], term.total, rtol=1e-6)
            self.assertEqual(sums[f"{name}_weight"], term.weight)
        losses = {key for key in sums if f"{key}_weight" in sums}
        self.assertEqual(losses, set(expected))

    def test_labels_are_replaced_only_where_the_sample_differs(self):
        model = build()
        batch = self.batch(model.config)
        replaced = model.replace_tokens(batch, training=True).tokens
        tokens = batch["encoder_tokens"]
        _, counts = model.loss_terms(batch, Stage.HYBRID, training=True)
        differ = int((np.asarray(replaced) != tokens.numpy()).sum())
        self.assertEqual(float(counts["rtd_replaced"]), differ)

    def test_weights_count_the_tokens_of_each_loss(self):
        model = build()
        batch = self.batch(model.config)
        lengths = corruption_lengths(model.config.corruption)
        weights = model.term_weights(batch, Stage.HYBRID)
        rows = model.config.batch_size
        self.assertEqual(float(weights["mlm"]), rows * lengths.mlm_tokens)
        # Every input token but the sentinels.
        expected = rows * (lengths.input_length - lengths.noise_spans)
        self.assertEqual(float(weights["rtd"]), expected)

    def test_no_gradient_reaches_the_generator_through_the_samples(self):
        model = build(**{"objective.mlm_weight": 0.0})
        before = values(model.generator.trainable_variables)
        model.fit(self.dataset(model.config), steps_per_epoch=1, verbose=0)
        for old, new in zip(
            before, values(model.generator.trainable_variables), strict=True
        ):
            np.testing.assert_array_equal(old, new)

    @parameterized.parameters("adafactor", "adamw")
    def test_transition_keeps_weights_and_slots_and_stops_the_rest(self, name):
        model = build(
            **{"objective.transition_step": 2, "optimizer.name": name}
        )
        dataset = self.dataset(model.config)
        model.fit(dataset, steps_per_epoch=2, verbose=0)
        self.assertIs(model.stage, Stage.SPAN_CORRUPTION)
        extra = [*model.generator.variables, *model.head.variables]
        slots = [v.path for v in model.optimizer.variables]
        before = values(extra)
        body = values(model.backbone.trainable_variables)
        model.fit(self.dataset(model.config, 2), steps_per_epoch=1, verbose=0)
        for old, new in zip(before, values(extra), strict=True):
            np.testing.assert_array_equal(old, new)
        moved = [
            np.abs(old - new).max()
            for old, new in zip(
                body, values(model.backbone.trainable_variables), strict=True
            )
        ]
        self.assertGreater(min(moved), 0.0)
        # The same optimizer with the same variables has done one more step.
        self.assertEqual(int(model.optimizer.iterations), 3)
        self.assertEqual([v.path for v in model.optimizer.variables], slots)

    def test_one_fit_crosses_the_transition(self):
        model = build(**{"objective.transition_step": 2})
        history = model.fit(
            self.dataset(model.config), steps_per_epoch=1, epochs=4, verbose=0
        )
        self.assertLen(history.history["loss"], 4)
        self.assertLen(history.history["mlm_loss"], 2)

    def test_stage_two_equals_plain_t5_from_the_same_state(self):
        """After the transition a step is bit for bit a T5 step."""
        ours = build(**{"objective.transition_step": 1, "train_steps": 8})
        ours.fit(self.dataset(ours.config), steps_per_epoch=1, verbose=0)
        plain = build(**{"objective.name": "span_corruption", "train_steps": 8})
        self.assertIsNone(plain.generator)
        plain.backbone.set_weights(ours.backbone.get_weights())
        # The body's slots come first in both optimizers.
        mine = ours.optimizer.variables[: len(plain.optimizer.variables)]
        pairs = zip(plain.optimizer.variables, mine, strict=True)
        for variable, ours_too in pairs:
            self.assertEqual(variable.path, ours_too.path)
            variable.assign(ours_too)
        data = self.dataset(ours.config, 1)
        ours.fit(data, steps_per_epoch=1, verbose=0)
        plain.fit(data, steps_per_epoch=1, verbose=0)
        for a, b in zip(
            values(ours.backbone.variables),
            values(plain.backbone.variables),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)

    def test_learns_one_batch_by_heart(self):
        model = build(
            **{
                "objective.transition_step": 30,
                "train_steps": 150,
                "optimizer.learning_rate": 0.05,
                "optimizer.schedule": "constant",
            }
        )
        one = self.dataset(model.config, 0, 1).cache().repeat()
        history = model.fit(one, steps_per_epoch=30, epochs=5, verbose=0)
        losses = history.history["loss"]
        self.assertLess(losses[-1], 0.5 * losses[1])
        self.assertLess(history.history["mlm_loss"][0], 6.3)

    def test_rtd_objective_trains_no_decoder(self):
        model = build(**{"objective.name": "rtd"})
        names = {v.path for v in model.stage_variables(model.stage)}
        self.assertFalse(any("decoder" in name for name in names))
        history = model.fit(
            self.dataset(model.config), steps_per_epoch=1, verbose=0
        )
        self.assertNotIn("sc_loss", history.history)

    def test_padding_of_targets_carries_no_loss(self):
        lengths = corruption_lengths(testing.tiny_config().corruption)
        longer = {"corruption.target_length": lengths.target_length + 9}
        model, padded = build(), build(**longer)
        padded.set_weights(model.get_weights())
        batch, more = self.batch(model.config), self.batch(padded.config)
        a, _ = model.loss_terms(batch, Stage.SPAN_CORRUPTION, False)
        b, _ = padded.loss_terms(more, Stage.SPAN_CORRUPTION, False)
        np.testing.assert_allclose(a["sc"].total, b["sc"].total, rtol=1e-5)
        self.assertEqual(float(a["sc"].weight), float(b["sc"].weight))

    def test_accumulation_changes_nothing_but_rounding(self):
        fields = {"optimizer.clip_norm": 0.5}
        whole = build(**fields)
        sliced = build(**fields, accumulation_steps=2)
        batch = self.batch(whole.config)
        # Unequal slices: half of the rows lose most of their targets.
        targets = batch["decoder_targets"].numpy()
        targets[2:, 4:] = 0
        batch["decoder_targets"] = tf.constant(targets)
        one = tf.data.Dataset.from_tensors(batch)
        a = whole.fit(one, steps_per_epoch=1, verbose=0).history
        b = sliced.fit(one, steps_per_epoch=1, verbose=0).history
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5)
        for x, y in zip(
            values(whole.variables), values(sliced.variables), strict=True
        ):
            np.testing.assert_allclose(x, y, atol=2e-5)

    def test_clips_the_global_norm(self):
        rate = keras.optimizers.SGD(1.0)
        model = build(rate, **{"optimizer.clip_norm": 0.01})
        before = values(model.trainable_variables)
        model.fit(self.dataset(model.config), steps_per_epoch=1, verbose=0)
        after = values(model.trainable_variables)
        moved = sum(
            ((old - new).astype(np.float64) ** 2).sum()
            for old, new in zip(before, after, strict=True)
        )
        self.assertAlmostEqual(moved**0.5, 0.01, places=5)

    def test_both_stages_compile_under_xla_with_static_shapes(self):
        fields = {"objective.transition_step": 1}
        model, graph = build(jit_compile=True, **fields), build(**fields)
        data = self.dataset(model.config)
        more = {"steps_per_epoch": 1, "epochs": 2, "verbose": 0}
        a, b = (m.fit(data, **more).history["loss"] for m in (model, graph))
        np.testing.assert_allclose(a, b, rtol=1e-5)
        # No callback to the host and no unknown size in the step.
        spec = data.element_spec
        for stage in (Stage.HYBRID, Stage.SPAN_CORRUPTION):
            step = tf.function(
                lambda batch, stage=stage: replica_step.train_step(
                    model, batch, stage
                )
            ).get_concrete_function(spec)
            kinds = operations(step.graph)
            self.assertFalse(
                kinds & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}
            )
            for name, shape in ((k, s.shape) for k, s in spec.items()):
                self.assertTrue(shape.is_fully_defined(), name)

    def test_bfloat16_trains(self):
        model = build(dtype="mixed_bfloat16")
        history = model.fit(
            self.dataset(model.config), steps_per_epoch=3, verbose=0
        ).history
        self.assertTrue(np.isfinite(history["loss"]).all())
        dtypes = {v.dtype for v in model.trainable_variables}
        self.assertEqual(dtypes, {"float32"})

    def test_v1_1_trains(self):
        model = build(
            **{"model.activation": "gated_gelu", "model.tie_embeddings": False}
        )
        history = model.fit(
            self.dataset(model.config), steps_per_epoch=2, verbose=0
        ).history
        self.assertTrue(np.isfinite(history["loss"]).all())


def operations(graph):
    """Kinds of all operations, those in bodies of loops and calls too."""
    definition = graph.as_graph_def()
    bodies = [function.node_def for function in definition.library.function]
    return {node.op for nodes in (definition.node, *bodies) for node in nodes}


if __name__ == "__main__":
    absltest.main()
