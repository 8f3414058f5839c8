"""FLOPs: by hand on a small case, and against TensorFlow's own count."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow.python.profiler import model_analyzer, option_builder

from spactor_tf.config.presets import get_preset
from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.data.pretraining import feature_specs
from spactor_tf.model import flops
from spactor_tf.model.curriculum import Stage
from spactor_tf.model.pretrainer import SpactorPretrainer
from spactor_tf.model.replica_step import train_step
from spactor_tf.training.optimizers import build_optimizer
from tests.support import testing

_PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}


def profiled_products(function, *specs):
    """FLOPs of the matrix products in the graph of a function."""
    graph = function.get_concrete_function(*specs).graph
    kinds = {op.name: op.type for op in graph.get_operations()}
    assert "Einsum" not in kinds.values(), "the profiler cannot count it"
    options = option_builder.ProfileOptionBuilder(
        option_builder.ProfileOptionBuilder.float_operation()
    )
    options.with_empty_output()
    report = model_analyzer.profile(graph, options=options.build())

    def total(node):
        own = node.float_ops if kinds.get(node.name) in _PRODUCTS else 0
        return own + sum(total(child) for child in node.children)

    return total(report)


class FlopsTest(parameterized.TestCase):
    def test_parts_of_a_small_model_by_hand(self):
        config = testing.tiny_config()
        lengths = corruption_lengths(config.corruption)
        n, m, k = (
            lengths.input_length,
            lengths.target_length,
            lengths.mlm_tokens,
        )
        parts = flops.forward_flops(config, Stage.HYBRID)
        # Width 32, feed-forward 64, vocabulary 512; generator 16 and 32.
        attention = 4 * 2 * n * 32 * 32 + 2 * 2 * n * n * 32
        self.assertEqual(parts["encoder"], attention + 2 * 2 * n * 32 * 64)
        self.assertEqual(parts["lm_head"], 2 * m * 32 * 512)
        self.assertEqual(
            parts["generator_head"], 2 * k * 16 * 32 + 2 * k * 32 * 512
        )
        self.assertEqual(parts["rtd_head"], 2 * n * 32 * 33)

    @parameterized.product(stage=list(Stage), v1_1=(False, True))
    def test_within_five_percent_of_the_profiler(self, stage, v1_1):
        name = {
            Stage.HYBRID: "hybrid",
            Stage.SPAN_CORRUPTION: "span_corruption",
            Stage.REPLACED_TOKENS: "rtd",
        }[stage]
        fields = {"objective.name": name, "model.num_layers": 2}
        if v1_1:
            fields["model.activation"] = "gated_gelu"
            fields["model.tie_embeddings"] = False
        config = testing.tiny_config(**fields)
        model = SpactorPretrainer(config, testing.vocabulary())
        model.compile(optimizer=build_optimizer(config.optimizer, 10))
        specs = feature_specs(
            corruption_lengths(config.corruption), config.batch_size
        )
        step = tf.function(lambda batch: train_step(model, batch, stage))
        counted = profiled_products(step, specs)
        computed = flops.step_flops(config, stage)
        np.testing.assert_allclose(computed, counted, rtol=0.05)

    def test_flops_of_a_run_add_up_over_the_transition(self):
        config = testing.tiny_config(
            **{"train_steps": 10, "objective.transition_step": 4}
        )
        hybrid = flops.step_flops(config, Stage.HYBRID)
        plain = flops.step_flops(config, Stage.SPAN_CORRUPTION)
        self.assertGreater(hybrid, plain)
        self.assertEqual(flops.flops_until(config, 3), 3 * hybrid)
        self.assertEqual(flops.flops_until(config, 10), 4 * hybrid + 6 * plain)

    def test_base_is_the_published_size_of_cost(self):
        """T5-base costs about 6 FLOPs per parameter and token it reads."""
        config = get_preset("base")
        parts = flops.forward_flops(config, Stage.SPAN_CORRUPTION)
        # 110 M encoder and 137 M decoder parameters, 512 and 114 tokens.
        encoder = 2 * 85e6 * 512
        self.assertBetween(parts["encoder"] / encoder, 1.0, 1.15)


if __name__ == "__main__":
    absltest.main()
