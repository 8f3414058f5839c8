"""Plans against real models and optimizers, and by hand."""

import math

from absl.testing import absltest, parameterized

from spactor_tf.config.fields import override
from spactor_tf.config.presets import get_preset
from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.model import flops
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.pretrainer import SpactorPretrainer
from spactor_tf.planning.memory import stage_memory
from spactor_tf.planning.parameters import (
    first_stage,
    num_parameters,
    parameter_shapes,
    slot_elements,
    stage_parts,
)
from spactor_tf.planning.plan import Hardware, make_plan
from spactor_tf.training.optimizers import build_optimizer
from tests.support import testing

V1_1 = {
    "model.activation": "gated_gelu",
    "model.tie_embeddings": False,
    "model.key_value_dim": 24,
}


def model_of(config):
    model = SpactorPretrainer(config, testing.vocabulary())
    model.compile(build_optimizer(config.optimizer, config.train_steps))
    return model


class ParametersTest(parameterized.TestCase):
    @parameterized.product(
        objective=("spactor", "span_corruption", "rtd"), v1_1=(False, True)
    )
    def test_shapes_are_those_of_the_model(self, objective, v1_1):
        config = testing.tiny_config(
            **{"objective.name": objective, **(V1_1 if v1_1 else {})}
        )
        model = SpactorPretrainer(config, testing.vocabulary())
        parts = parameter_shapes(config)
        planned = [shape for shapes in parts.values() for shape in shapes]
        real = [tuple(v.shape) for v in model.trainable_variables]
        self.assertCountEqual(planned, real)
        stage = first_stage(config)
        updated = [s for part in stage_parts(stage) for s in parts[part]]
        self.assertCountEqual(
            updated, [tuple(v.shape) for v in model.stage_variables(stage)]
        )

    @parameterized.parameters(
        ("adafactor", None),
        ("adafactor", 0.9),
        ("adamw", None),
        ("adamw_scaled", None),
        ("muon", None),
        ("schedule_free", None),
    )
    def test_slots_are_those_of_the_optimizer(self, name, momentum):
        config = testing.tiny_config(
            **{"optimizer.name": name, "optimizer.momentum": momentum}
        )
        model = model_of(config)
        real = sum(math.prod(v.shape) for v in model.optimizer.variables)
        # Counters are not slots; Muon leaves three position biases to AdamW.
        others = 8 + 3 * 32 * 2 * (name == "muon")
        self.assertBetween(real - slot_elements(config), 0, others)

    @parameterized.parameters(("small", 60.5e6), ("base_v1_1", 247.6e6))
    def test_published_sizes(self, preset, expected):
        config = override(
            get_preset(preset), {"objective.name": "span_corruption"}
        )
        total = sum(map(num_parameters, parameter_shapes(config).values()))
        self.assertAlmostEqual(total / expected, 1.0, delta=0.002)


class MemoryTest(parameterized.TestCase):
    def test_parts_by_hand(self):
        """One layer of width 32, two heads, feed-forward 64; 2 rows."""
        config = testing.tiny_config(
            **{"objective.name": "span_corruption", "batch_size": 2}
        )
        lengths = corruption_lengths(config.corruption)
        n, m = lengths.input_length, lengths.target_length
        memory = stage_memory(config, Stage.SPAN_CORRUPTION)
        encoder = 6 * n * 32 + 4 * n * 32 + 2 * n * n + n * 64 + 3 * n * 32
        decoder = 9 * m * 32 + 4 * m * 32 + 2 * m * m
        decoder += 2 * (m + n) * 32 + 2 * m * n + m * 64 + 3 * m * 32
        self.assertEqual(
            memory.activations,
            {
                "encoder": 4 * 2 * encoder,
                "decoder": 4 * 2 * decoder,
                "logits": 4 * (2 * 2 * m * 512 + 512 * 32),
            },
        )
        self.assertEqual(memory.gradients, memory.weights)
        self.assertEqual(memory.accumulated, 0)

    def test_devices_and_slices_divide_activations_alone(self):
        config = testing.tiny_config(**{"batch_size": 64})
        one = stage_memory(config, Stage.HYBRID)
        for changed in (
            stage_memory(config, Stage.HYBRID, devices=4),
            stage_memory(
                override(config, {"accumulation_steps": 4}), Stage.HYBRID
            ),
        ):
            for part in ("encoder", "decoder", "replaced_token_head"):
                self.assertEqual(
                    4 * changed.activations[part], one.activations[part]
                )
            self.assertEqual(changed.weights, one.weights)
            self.assertEqual(changed.slots, one.slots)
            self.assertEqual(changed.gradients, one.gradients)
        self.assertEqual(changed.accumulated, one.gradients)

    @parameterized.parameters(
        ({"model.dropout": 0.1}, 1),
        ({"dtype": "mixed_bfloat16"}, -1),
        ({"model.activation": "gated_gelu"}, 1),
        ({"corruption.input_length": 64}, 1),
    )
    def test_what_makes_activations_larger(self, fields, sign):
        config = testing.tiny_config(**{"batch_size": 64})
        other = override(config, fields)
        before, after = (
            stage_memory(c, Stage.HYBRID).activations["encoder"]
            for c in (config, other)
        )
        self.assertGreater(sign * after, sign * before)


class PlanTest(absltest.TestCase):
    def test_a_run_by_hand(self):
        config = testing.tiny_config(
            **{"train_steps": 8, "objective.transition_step": 3}
        )
        hardware = Hardware(2, peak_tflops=1e-6, utilization=0.5)
        plan = make_plan(config, hardware)
        self.assertEqual([s.steps for s in plan.stages], [3, 5])
        self.assertEqual(
            [s.stage for s in plan.stages],
            [Stage.HYBRID, Stage.SPAN_CORRUPTION],
        )
        total = 3 * flops.step_flops(config, Stage.HYBRID)
        total += 5 * flops.step_flops(config, Stage.SPAN_CORRUPTION)
        self.assertEqual(plan.total_flops, total)
        # Two devices of a million FLOPs a second, half of it used.
        self.assertAlmostEqual(plan.hours, total / 1e6 / 3600)
        lengths = corruption_lengths(config.corruption)
        tokens = 4 * (lengths.input_length + lengths.target_length)
        self.assertEqual(plan.step_tokens, tokens)
        self.assertEqual(plan.total_tokens, 8 * tokens)
        peaks = [s["memory"]["peak"] for s in plan.to_dict()["stages"]]
        self.assertEqual(plan.peak_memory, max(peaks))
        self.assertIsNone(plan.fits)

    def test_stages_of_the_other_objectives(self):
        for name, stage in (
            ("span_corruption", Stage.SPAN_CORRUPTION),
            ("hybrid", Stage.HYBRID),
            ("rtd", Stage.REPLACED_TOKENS),
        ):
            config = testing.tiny_config(**{"objective.name": name})
            (only,) = make_plan(config, Hardware()).stages
            self.assertEqual((only.stage, only.steps), (stage, 8))


if __name__ == "__main__":
    absltest.main()
