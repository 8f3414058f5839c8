"""Mixed precision builds no [heads, queries, keys] tensor in float32."""

import tensorflow as tf
from absl.testing import absltest, parameterized

from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.data.pretraining import feature_specs
from spactor_tf.model import replica_step
from spactor_tf.model.pretrainer import SpactorPretrainer
from spactor_tf.training.optimizers import build_optimizer
from tests.support import testing


class AttentionMemoryTest(parameterized.TestCase):
    @parameterized.parameters(("float32", True), ("mixed_bfloat16", False))
    def test_scores_of_a_step_have_the_type_of_the_computation(
        self, dtype, expected
    ):
        # Lengths that no other dimension has.
        config = testing.tiny_config(
            **{"dtype": dtype, "corruption.input_length": 48}
        )
        lengths = corruption_lengths(config.corruption)
        n, m = lengths.input_length, lengths.target_length
        model = SpactorPretrainer(config, testing.vocabulary())
        model.compile(build_optimizer(config.optimizer, config.train_steps))
        stage = model.stage
        step = tf.function(
            lambda batch: replica_step.train_step(model, batch, stage)
        )
        graph = step.get_concrete_function(feature_specs(lengths, 4)).graph
        scores = [
            output.name
            for operation in graph.get_operations()
            for output in operation.outputs
            if output.dtype == tf.float32
            and output.shape.rank in (3, 4)
            and tuple(output.shape[-2:]) in {(n, n), (m, n), (m, m)}
        ]
        self.assertEqual(bool(scores), expected, scores[:5])


if __name__ == "__main__":
    absltest.main()
