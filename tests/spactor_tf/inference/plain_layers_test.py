"""T5 in plain ops: KerasHub's numbers in float32, near them in half."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from spactor_tf.inference import plain_layers
from spactor_tf.inference.decoding import CachedDecoder
from spactor_tf.model import t5
from tests.support import serving_models

# Three rows of 7, 1 and 4 tokens.
LENGTHS = np.array([7, 1, 4])
TARGETS = np.array([[5, 9, 1], [7, 1, 0]], np.int32)
# Relative to the largest number: a few roundings to 8 or 11 bits.
COARSE = {"bfloat16": 2e-2, "float16": 3e-3}


@functools.cache
def backbone(dtype: str = "float32", gated: bool = False) -> t5.Backbone:
    exact = serving_models.pretrained(gated).backbone
    if dtype == "float32":
        return exact
    return t5.copy_backbone(exact, t5.backbone_config(exact), dtype)


def inputs() -> tuple[tf.Tensor, tf.Tensor]:
    """Token ids and mask, both [3, 7] int32."""
    mask = (np.arange(7) < LENGTHS[:, np.newaxis]).astype(np.int32)
    tokens = np.random.default_rng(0).integers(3, 200, mask.shape) * mask
    return tf.constant(tokens, tf.int32), tf.constant(mask)


def by_keras(model: t5.Backbone) -> np.ndarray:
    tokens, mask = inputs()
    return t5.build_encoder(model)(
        {"encoder_token_ids": tokens, "encoder_padding_mask": mask}
    ).numpy()


def assert_near(found, expected, tolerance) -> None:
    atol = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


class EncodeTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_float32_is_keras_hub_s(self, gated):
        model = backbone(gated=gated)
        found = plain_layers.encode(model, *inputs()).numpy()
        assert_near(found, by_keras(model), 1e-5)

    @parameterized.product(dtype=["bfloat16", "float16"], gated=[False, True])
    def test_half_precision_is_near(self, dtype, gated):
        found = plain_layers.encode(backbone(dtype, gated), *inputs())
        self.assertEqual(found.dtype, tf.float32)
        expected = by_keras(backbone(gated=gated))
        kept = inputs()[1].numpy() == 1
        assert_near(found.numpy()[kept], expected[kept], COARSE[dtype])
        # It is not float32 after all.
        self.assertGreater(np.abs(found.numpy() - expected)[kept].max(), 1e-5)

    @parameterized.parameters("bfloat16", "float16")
    def test_padding_changes_nothing(self, dtype):
        tokens, mask = inputs()
        found = plain_layers.encode(backbone(dtype), tokens, mask)
        alone = plain_layers.encode(
            backbone(dtype), tokens[2:, :4], mask[2:, :4]
        )
        assert_near(found[2, :4].numpy(), alone[0].numpy(), COARSE[dtype])

    def test_the_stream_is_not_rounded(self):
        # 1 is lost beside 512 in bfloat16, whose numbers there are 4 apart.
        model = t5.copy_backbone(
            backbone(), t5.backbone_config(backbone()), "bfloat16"
        )
        table = np.zeros(model.token_embedding.embeddings.shape, np.float32)
        table[5, :2] = 512, 1
        model.token_embedding.embeddings.assign(table)
        for layer in model.encoder_transformer_layers:
            for projector in (
                layer.self_attention.output_projector,
                layer.output_projector,
            ):
                kernel = np.zeros(projector.kernel.shape, np.float32)
                projector.kernel.assign(kernel)
        # The first layer adds 1 to the first place: 513.
        first = model.encoder_transformer_layers[0]
        inner = np.zeros(first.input_projector.kernel.shape, np.float32)
        inner[1, 0] = 1
        first.input_projector.kernel.assign(inner)
        outer = np.zeros(first.output_projector.kernel.shape, np.float32)
        # The norm of (512, 1, 0, ...) over 32 places is about 90.5, so the
        # inner state is 1 / 90.5.
        outer[0, 0] = 90.5
        first.output_projector.kernel.assign(outer)
        states = plain_layers.encode(
            model, tf.constant([[5]]), tf.constant([[1]])
        )[0, 0].numpy()
        self.assertAlmostEqual(states[0] / states[1], 513.0, delta=0.05)


class DecodeTest(parameterized.TestCase):
    @parameterized.product(
        dtype=["float32", "bfloat16", "float16"],
        gated=[False, True],
        length=[4, 20],
    )
    def test_states_are_the_whole_model_s(self, dtype, gated, length):
        """Few queries are projected themselves, many see projected keys."""
        tokens, mask = inputs()
        shifted = t5.decoder_inputs(tf.tile(tokens, [1, 3])[:, :length])
        exact = backbone(gated=gated)
        expected = exact(
            {
                "encoder_token_ids": tokens,
                "encoder_padding_mask": mask,
                "decoder_token_ids": shifted,
                "decoder_padding_mask": tf.ones_like(shifted),
            }
        )["decoder_sequence_output"].numpy()
        model = backbone(dtype, gated)
        attention = model.decoder_transformer_layers[0].self_attention
        few = attention.num_heads * 4
        self.assertBetween(attention.inner_dim, few + 1, 5 * few)
        place = tf.range(length)
        bias = tf.where(
            place[:, tf.newaxis] >= place,
            tf.cast(attention.compute_bias(length, length), tf.float32),
            plain_layers.MASKED,
        )
        states = plain_layers.encode(model, tokens, mask)
        found = plain_layers.decode(model, shifted, bias, states, mask)
        assert_near(found.numpy(), expected, COARSE.get(dtype, 1e-5))

    @parameterized.product(dtype=["bfloat16", "float16"], gated=[False, True])
    def test_targets_are_scored_and_steps_taken_alike(self, dtype, gated):
        """In half precision by other layers; both near those of float32."""
        tokens, mask = inputs()
        exact = backbone(gated=gated)
        states = plain_layers.encode(exact, tokens, mask)
        expected = CachedDecoder(exact).score_targets(TARGETS, states, mask)
        decoder = CachedDecoder(backbone(dtype, gated))
        half = plain_layers.encode(backbone(dtype, gated), tokens, mask)
        found = decoder.score_targets(TARGETS, half, mask)
        self.assertEqual(found.dtype, tf.float32)
        assert_near(found.numpy(), expected.numpy(), COARSE[dtype])
        steps = decoder.steps(half, mask, 3)
        caches = steps.grow(steps.no_caches())
        self.assertEqual(caches[0].dtype, tf.as_dtype(dtype))
        total = np.zeros(3)
        before = np.zeros(3, np.int32)
        for index, token in enumerate(TARGETS[0]):
            logits, caches = steps.step(
                tf.constant(before), tf.constant(index), caches
            )
            total += tf.nn.log_softmax(logits)[:, token].numpy()
            before[:] = token
        assert_near(total, expected[:, 0].numpy(), COARSE[dtype])


if __name__ == "__main__":
    absltest.main()
