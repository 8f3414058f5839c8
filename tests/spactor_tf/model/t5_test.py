"""The T5 body against Hugging Face's outputs, and its initial weights."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from spactor_tf.config.pretrain import ModelConfig
from spactor_tf.model import t5
from tests.testdata import golden_weights

TESTDATA = pathlib.Path(__file__).resolve().parents[2] / "testdata"
TOLERANCE = 1e-5


def model_config(name):
    return ModelConfig(
        vocabulary_size=golden_weights.VOCABULARY_SIZE,
        num_layers=golden_weights.NUM_LAYERS,
        num_heads=golden_weights.NUM_HEADS,
        hidden_dim=golden_weights.HIDDEN_DIM,
        intermediate_dim=golden_weights.INTERMEDIATE_DIM,
        **golden_weights.MODELS[name],
    )


def attention_variables(attention, name):
    for ours, theirs in (
        ("query_projector", "q"),
        ("key_projector", "k"),
        ("value_projector", "v"),
        ("output_projector", "o"),
    ):
        kernel = getattr(attention, ours).kernel
        yield f"{name}.{theirs}.weight", kernel, True


def layer_variables(layer, prefix, is_decoder, is_gated):
    yield from attention_variables(
        layer.self_attention, f"{prefix}.0.SelfAttention"
    )
    norm = layer.self_attention_layer_norm.weight
    yield f"{prefix}.0.layer_norm.weight", norm, False
    feed_forward = f"{prefix}.1"
    if is_decoder:
        yield from attention_variables(
            layer.cross_attention, f"{prefix}.1.EncDecAttention"
        )
        norm = layer.cross_attention_layer_norm.weight
        yield f"{prefix}.1.layer_norm.weight", norm, False
        feed_forward = f"{prefix}.2"
    dense = f"{feed_forward}.DenseReluDense"
    first = "wi_0" if is_gated else "wi"
    yield f"{feed_forward}.layer_norm.weight", layer.layer_norm.weight, False
    yield f"{dense}.{first}.weight", layer.input_projector.kernel, True
    if is_gated:
        yield f"{dense}.wi_1.weight", layer.gate_projector.kernel, True
    yield f"{dense}.wo.weight", layer.output_projector.kernel, True


def variables(backbone, config):
    """Yields (Hugging Face's name, variable, whether ours is transposed)."""
    yield "shared.weight", backbone.token_embedding.embeddings, False
    if not config.tie_embeddings:
        head = backbone.token_embedding.reverse_embeddings
        yield "lm_head.weight", head, True
    for side in ("encoder", "decoder"):
        layers = getattr(backbone, f"{side}_transformer_layers")
        for index, layer in enumerate(layers):
            yield from layer_variables(
                layer,
                f"{side}.block.{index}.layer",
                side == "decoder",
                config.activation == "gated_gelu",
            )
        bias = layers[0].self_attention.relative_attention_bias
        name = f"{side}.block.0.layer.0.SelfAttention"
        yield f"{name}.relative_attention_bias.weight", bias, False
        norm = getattr(backbone, f"{side}_layer_norm").weight
        yield f"{side}.final_layer_norm.weight", norm, False


@functools.cache
def golden_backbone(name):
    config = model_config(name)
    backbone = t5.build_backbone(config)
    for theirs, variable, transposed in variables(backbone, config):
        shape = variable.shape[::-1] if transposed else variable.shape
        array = golden_weights.weight(theirs, tuple(shape))
        variable.assign(array.T if transposed else array)
    return backbone


def forward(backbone, golden):
    """States, logits and the mean cross-entropy over labeled positions."""
    fields = (
        "encoder_token_ids",
        "encoder_padding_mask",
        "decoder_token_ids",
        "decoder_padding_mask",
    )
    states = backbone({name: golden[name] for name in fields}, training=False)
    decoder = states["decoder_sequence_output"]
    logits = t5.lm_logits(backbone, decoder)
    labels = golden["labels"]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        np.maximum(labels, 0), logits
    )
    loss = tf.reduce_mean(tf.boolean_mask(losses, labels >= 0))
    return states["encoder_sequence_output"], decoder, logits, loss


def golden_outputs(name, case):
    with np.load(TESTDATA / f"t5_{name}.npz") as arrays:
        return {
            key.split("/")[1]: arrays[key]
            for key in arrays
            if key.startswith(f"{case}/")
        }


class HuggingFaceParityTest(parameterized.TestCase):
    @parameterized.product(
        name=tuple(golden_weights.MODELS), case=("short", "long")
    )
    def test_states_logits_loss_and_gradients(self, name, case):
        golden = golden_outputs(name, case)
        backbone = golden_backbone(name)
        embedding = backbone.token_embedding.embeddings.value
        decoder_layer = backbone.decoder_transformer_layers[0]
        bias = decoder_layer.self_attention.relative_attention_bias.value
        with tf.GradientTape() as tape:
            encoder, decoder, logits, loss = forward(backbone, golden)
        gradients = tape.gradient(loss, [embedding, bias])

        rows = golden["encoder_padding_mask"] > 0
        self.assert_close(encoder[rows], golden["encoder"][rows])
        rows = golden["decoder_padding_mask"] > 0
        self.assert_close(decoder[rows], golden["decoder"][rows])
        positions = golden["logits_positions"]
        rows = rows[:, positions]
        logits = tf.gather(logits, positions, axis=1)
        self.assert_close(logits[rows], golden["logits"][rows])
        self.assert_close(loss, golden["loss"])
        for ours, field in zip(
            gradients,
            ("embedding_gradient", "relative_bias_gradient"),
            strict=True,
        ):
            largest = np.abs(golden[field]).max()
            ours = tf.convert_to_tensor(ours)
            self.assert_close(ours / largest, golden[field] / largest)

    def assert_close(self, ours, golden):
        ours = keras.ops.convert_to_numpy(ours)
        self.assertEqual(ours.shape, golden.shape)
        self.assertLessEqual(np.abs(ours - golden).max(), TOLERANCE)

    def test_padding_does_not_change_what_is_before_it(self):
        golden = golden_outputs("v1_0", "short")
        backbone = golden_backbone("v1_0")
        _, padded, _, _ = forward(backbone, golden)
        last = slice(-1, None)
        kept = {name: golden[name][last].copy() for name in golden_fields()}
        encoder_length = int(kept["encoder_padding_mask"].sum())
        decoder_length = int(kept["decoder_padding_mask"].sum())
        for name in kept:
            length = encoder_length if "encoder" in name else decoder_length
            kept[name] = kept[name][:, :length]
        _, bare, _, _ = forward(backbone, kept)
        np.testing.assert_allclose(
            bare, padded[last, :decoder_length], atol=TOLERANCE
        )


def golden_fields():
    sides = ("encoder", "decoder")
    fields = ("token_ids", "padding_mask")
    names = [f"{side}_{field}" for side in sides for field in fields]
    return [*names, "labels"]


def initial_backbone(config, seed):
    backbone = t5.build_backbone(config)
    t5.reinitialize(
        backbone.variables,
        seed,
        head_dim=config.head_dim,
        hidden_dim=config.hidden_dim,
    )
    return backbone


class InitialWeightsTest(parameterized.TestCase):
    """T5's initialization: normal, deviations by fan-in, q with the scale."""

    def deviation(self, name, config):
        width = config.hidden_dim
        if name == "shared.weight":
            return 1.0
        if name.endswith(".q.weight"):
            return (width * config.head_dim) ** -0.5
        if name.endswith(".o.weight"):
            return (config.num_heads * config.head_dim) ** -0.5
        if name.endswith(".wo.weight"):
            return config.intermediate_dim**-0.5
        return width**-0.5

    @parameterized.parameters(*golden_weights.MODELS)
    def test_statistics(self, name):
        # The wide model, so that heads * key_value_dim, intermediate_dim and
        # hidden_dim are told apart by the statistics.
        config = dataclasses.replace(
            model_config(name), num_layers=1, intermediate_dim=160
        )
        backbone = initial_backbone(config, seed=3)
        for theirs, variable, _ in variables(backbone, config):
            with self.subTest(theirs):
                values = keras.ops.convert_to_numpy(variable)
                if values.ndim == 1:
                    np.testing.assert_array_equal(values, 1)
                else:
                    self.assert_normal(values, self.deviation(theirs, config))

    def assert_normal(self, values, deviation):
        """Mean and deviation within five standard errors."""
        count = values.size
        error = deviation * count**-0.5
        self.assertLess(abs(values.mean()), 5 * error)
        self.assertLess(abs(values.std() - deviation), 5 * error * 0.5**0.5)

    def test_seed_fixes_every_weight(self):
        config = dataclasses.replace(model_config("v1_1"), num_layers=1)
        backbones = (initial_backbone(config, seed) for seed in (5, 5, 6))
        triples = zip(*(variables(b, config) for b in backbones), strict=True)
        for (name, a, _), (_, b, _), (_, c, _) in triples:
            np.testing.assert_array_equal(a, b, name)
            if len(a.shape) > 1:
                self.assertFalse(np.array_equal(a, c), name)

    def test_no_two_weights_share_their_draws(self):
        config = model_config("v1_0")
        backbone = initial_backbone(config, seed=0)
        seen = {}
        for name, variable, _ in variables(backbone, config):
            if len(variable.shape) > 1:
                first = np.array(variable).ravel()[:16]
                # Equal draws stay parallel whatever their deviation.
                key = np.round(first / np.linalg.norm(first), 4).tobytes()
                self.assertNotIn(key, seen, f"{name} and {seen.get(key)}")
                seen[key] = name


class MeanPoolTest(parameterized.TestCase):
    STATES = np.array(
        [
            [[1, 2], [3, 6], [99, 99]],
            [[5, 7], [99, 99], [99, 99]],
            [[99, 99], [99, 99], [99, 99]],
        ],
        np.float32,
    )
    MASK = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], np.int32)
    EXPECTED = ((2, 4), (5, 7), (0, 0))

    @parameterized.parameters("float32", "bfloat16")
    def test_by_hand_and_zeros_for_padding(self, dtype):
        states = tf.cast(self.STATES, dtype)
        for pool in (t5.mean_pool, tf.function(t5.mean_pool)):
            found = pool(states, tf.constant(self.MASK))
            self.assertEqual(found.dtype, tf.float32)
            np.testing.assert_array_equal(found, self.EXPECTED)

    def test_arrays(self):
        found = np.asarray(t5.mean_pool(self.STATES, self.MASK))
        np.testing.assert_array_equal(found, self.EXPECTED)


if __name__ == "__main__":
    absltest.main()
