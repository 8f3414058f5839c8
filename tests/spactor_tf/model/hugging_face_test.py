"""T5 of Hugging Face, both ways: against the outputs of transformers."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
import shutil

import keras
import numpy as np
from absl.testing import absltest, parameterized
from safetensors.numpy import load_file, save_file

from runkit import InputError
from spactor_tf.model import t5
from spactor_tf.model.hugging_face import read_backbone, tensors_of
from spactor_tf.model.hugging_face_config import config_content, read_config
from spactor_tf.model.tensor_files import TensorFolder, write_tensors

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "testdata/hugging_face"
WHOLE = ("v1_0", "v1_1", "mt5", "gated_tied", "relu_untied")
ALL = (*WHOLE, "encoder_only")
TOLERANCE = 1e-5


def golden(name):
    with np.load(GOLDEN / name / "golden.npz") as arrays:
        return dict(arrays)


def states(backbone, arrays, decoder_ids):
    return backbone(
        {
            "encoder_token_ids": arrays["ids"],
            "encoder_padding_mask": arrays["mask"],
            "decoder_token_ids": decoder_ids,
            "decoder_padding_mask": np.ones_like(decoder_ids),
        },
        training=False,
    )


def logits(backbone, arrays, decoder_ids):
    hidden = states(backbone, arrays, decoder_ids)["decoder_sequence_output"]
    return np.asarray(t5.lm_logits(backbone, hidden))


def stored(folder):
    """Every tensor of a folder, by name."""
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


class FolderCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def copy(self, name, **fields):
        """A copy of a golden folder; fields of its config.json replaced."""
        folder = self.folder / name
        shutil.copytree(GOLDEN / name, folder)
        path = folder / "config.json"
        content = json.loads(path.read_text()) | fields
        path.write_text(json.dumps(content))
        return folder

    def change(self, folder, change):
        """Rewrites the tensors of a folder."""
        path = folder / "model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)


class ParityTest(FolderCase):
    @parameterized.parameters(*ALL)
    def test_encoder_states(self, name):
        arrays = golden(name)
        backbone = read_backbone(GOLDEN / name)
        start = np.zeros((len(arrays["ids"]), 1), np.int32)
        found = states(backbone, arrays, start)["encoder_sequence_output"]
        kept = arrays["mask"] > 0  # States of padding are nobody's.
        np.testing.assert_allclose(
            np.asarray(found)[kept], arrays["encoder"][kept], atol=TOLERANCE
        )

    @parameterized.parameters(*WHOLE)
    def test_logits_and_greedy_ids(self, name):
        arrays = golden(name)
        backbone = read_backbone(GOLDEN / name)
        found = logits(backbone, arrays, arrays["decoder_ids"])
        np.testing.assert_allclose(found, arrays["logits"], atol=TOLERANCE)
        self.assertGreater(np.abs(found).max(), 0.5)
        ids = np.zeros((len(arrays["ids"]), 1), np.int32)
        for _ in range(arrays["greedy"].shape[1]):
            best = logits(backbone, arrays, ids)[:, -1:].argmax(-1)
            ids = np.concatenate([ids, best.astype(np.int32)], 1)
        np.testing.assert_array_equal(ids[:, 1:], arrays["greedy"])


class WrittenTest(FolderCase):
    @parameterized.parameters(*ALL)
    def test_tensors_are_those_of_transformers(self, name):
        """What transformers reads from our file are its own numbers."""
        backbone = read_backbone(GOLDEN / name)
        write_tensors(self.folder, tensors_of(backbone, name == "encoder_only"))
        expected, found = stored(GOLDEN / name), stored(self.folder)
        self.assertEqual(set(found), set(expected))
        for key, array in expected.items():
            np.testing.assert_array_equal(found[key], array, strict=True)

    @parameterized.parameters(*ALL)
    def test_configuration_says_the_same(self, name):
        theirs = json.loads((GOLDEN / name / "config.json").read_text())
        read = read_config(GOLDEN / name)
        ours = config_content(read.model, read.encoder_only)
        for key in ours.keys() & theirs.keys() - {"architectures"}:
            if key not in ("model_type", "use_cache"):
                self.assertEqual(ours[key], theirs[key], key)
        self.assertEqual(
            ours["architectures"][0], theirs["architectures"][0].strip("M")
        )

    @parameterized.parameters(*ALL)
    def test_keras_weights_survive_the_way_there_and_back(self, name):
        first = read_backbone(GOLDEN / name)
        alone = name == "encoder_only"
        write_tensors(self.folder, tensors_of(first, alone))
        content = config_content(t5.backbone_config(first), alone)
        (self.folder / "config.json").write_text(json.dumps(content))
        second = read_backbone(self.folder)
        for before, after in zip(
            first.get_weights(), second.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(before, after, strict=True)


class HeadTest(FolderCase):
    def test_transformers_5_says_untied_in_its_own_word(self):
        fields = {"tie_word_embeddings": True, "scale_decoder_outputs": False}
        folder = self.copy("v1_1", **fields)
        self.assertFalse(read_config(folder).model.tie_embeddings)
        for name, array in tensors_of(read_backbone(folder)).items():
            np.testing.assert_array_equal(array, stored(folder)[name])

    @parameterized.parameters(
        ("5.24.0", True, False),
        (None, True, False),
        ("4.57.1", True, True),
        ("4.57.1", False, False),
    )
    def test_a_tied_mt5_is_scaled_by_old_versions_alone(
        self, version, tied, scaled
    ):
        folder = self.copy(
            "mt5", transformers_version=version, tie_word_embeddings=tied
        )
        self.assertEqual(read_config(folder).model.tie_embeddings, scaled)

    def test_an_unscaled_head_may_be_the_embedding(self):
        fields = {"tie_word_embeddings": True, "scale_decoder_outputs": False}
        folder = self.copy("v1_0", **fields)
        found = tensors_of(read_backbone(folder))
        np.testing.assert_array_equal(
            found["lm_head.weight"], found["shared.weight"]
        )

    def test_copies_of_the_embedding_are_joined(self):
        folder = self.copy("v1_0")

        def add_copies(tensors):
            for side in ("encoder", "decoder"):
                copy = tensors["shared.weight"].copy()
                tensors[f"{side}.embed_tokens.weight"] = copy
            tensors["lm_head.weight"] = tensors.pop("shared.weight")

        self.change(folder, add_copies)
        found = tensors_of(read_backbone(folder))
        np.testing.assert_array_equal(
            found["shared.weight"], stored(GOLDEN / "v1_0")["shared.weight"]
        )

    @parameterized.parameters("lm_head.weight", "decoder.embed_tokens.weight")
    def test_a_copy_that_differs_is_refused(self, name):
        folder = self.copy("v1_0")
        self.change(folder, lambda t: t.update({name: t["shared.weight"] + 1}))
        with self.assertRaisesRegex(InputError, f"{name}: differs"):
            read_backbone(folder)

    def test_narrow_types_widen_exactly(self):
        folder = self.copy("v1_0")
        halves = {}

        def halve(tensors):
            halves.update({k: v.astype(np.float16) for k, v in tensors.items()})
            tensors.update(halves)

        self.change(folder, halve)
        for name, array in tensors_of(read_backbone(folder)).items():
            self.assertEqual(array.dtype, np.float32)
            np.testing.assert_array_equal(array, halves[name])


class RefusedTest(FolderCase):
    @parameterized.parameters(
        ({"model_type": "bert"}, "model_type: is another.*'bert'"),
        ({"model_type": "umt5"}, "model_type: is another.*'umt5'"),
        ({"architectures": ["T5ForTokenClassification"]}, "architectures: is"),
        ({"feed_forward_proj": "gated-silu"}, "feed_forward_proj: unknown"),
        ({"feed_forward_proj": "gelu"}, "feed_forward_proj: unknown"),
        ({"relative_attention_num_buckets": 64}, "num_buckets: cannot"),
        ({"relative_attention_max_distance": 64}, "max_distance: cannot"),
        ({"num_decoder_layers": 3}, "num_decoder_layers: differs"),
        ({"d_model": "24"}, "d_model: is not a size"),
        ({"d_model": None}, "d_model: is missing"),
        ({"num_heads": True}, "num_heads: is not a size"),
        # More than any memory: refused before anything is built.
        ({"num_heads": 2**31}, "weights are too few for the sizes"),
        ({"vocab_size": 2**40}, "weights are too few for the sizes"),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon: is not"),
        ({"pad_token_id": 3}, "pad_token_id: cannot"),
        ({"dense_act_fn": "silu"}, "dense_act_fn: is not.*'silu'.*relu"),
        ({"is_gated_act": True}, "is_gated_act: is not"),
        ({"tie_word_embeddings": "false"}, "neither true nor false"),
        ({"num_layers": None}, "num_layers: is missing"),
        ({"d_ff": 33}, r"wi\.weight: has another shape.*\(32, 24\)"),
        ({"num_layers": 3, "num_decoder_layers": 3}, "weights are missing"),
        ({"tie_word_embeddings": False}, "scale_decoder_outputs: cannot"),
        (
            {"tie_word_embeddings": False, "scale_decoder_outputs": False},
            "missing.*lm_head.weight",
        ),
    )
    def test_configuration(self, fields, message):
        folder = self.copy("v1_0", **fields)
        with self.assertRaisesRegex(InputError, message):
            read_backbone(folder)

    @parameterized.parameters("[]", "{", "")
    def test_malformed_configuration(self, text):
        folder = self.copy("v1_0")
        (folder / "config.json").write_text(text)
        with self.assertRaisesRegex(InputError, "config.json: is not"):
            read_backbone(folder)

    @parameterized.parameters(
        (lambda t: t.pop("encoder.final_layer_norm.weight"), "are missing"),
        (lambda t: t.update(extra=np.ones(2, np.float32)), "does not have"),
        (
            lambda t: t["shared.weight"].__setitem__((3, 4), np.nan),
            "not finite; got '1 of 3,840 numbers of shared.weight",
        ),
        (
            lambda t: t.update(
                {"shared.weight": t["shared.weight"].astype(np.int32)}
            ),
            "floating-point.*'I32'",
        ),
    )
    def test_weights(self, change, message):
        folder = self.copy("v1_0")
        self.change(folder, change)
        with self.assertRaisesRegex(InputError, message):
            read_backbone(folder)

    @parameterized.parameters(0, 4, 100, 20_000, -1)
    def test_a_file_cut_short(self, size):
        path = self.copy("v1_0") / "model.safetensors"
        path.write_bytes(path.read_bytes()[:size])
        with self.assertRaisesRegex(InputError, "not a whole safetensors"):
            read_backbone(path.parent)

    def test_shards(self):
        folder = self.copy("mt5")
        index = folder / "model.safetensors.index.json"
        content = json.loads(index.read_text())
        shards = sorted(folder.glob("*.safetensors"))
        shards[0].rename(folder / "moved")
        with self.assertRaisesRegex(InputError, "00001.*not a whole"):
            TensorFolder(folder)
        (folder / "moved").rename(shards[0])
        content["weight_map"]["shared.weight"] = "../elsewhere.safetensors"
        index.write_text(json.dumps(content))
        with self.assertRaisesRegex(InputError, "is not an index"):
            TensorFolder(folder)
        content["weight_map"].pop("shared.weight")
        index.write_text(json.dumps(content))
        with self.assertRaisesRegex(InputError, "that the index names"):
            TensorFolder(folder)


class ActivationTest(parameterized.TestCase):
    @parameterized.parameters(
        ("relu", False, True),
        ("keras_hub>gelu_approximate", True, True),
        ("relu", True, False),
        ("gelu", True, False),
        ("keras_hub>gelu_approximate", False, False),
    )
    def test_only_what_the_configuration_can_say(self, name, gated, passes):
        import keras_hub

        activation = keras.saving.get_registered_object(name) or name
        backbone = keras_hub.models.T5Backbone(
            vocabulary_size=130,
            num_layers=1,
            num_heads=2,
            hidden_dim=8,
            intermediate_dim=8,
            activation=activation,
            use_gated_activation=gated,
        )
        if passes:
            t5.check_activation(backbone, "there")
            return
        with self.assertRaisesRegex(InputError, "there: has an activation"):
            t5.check_activation(backbone, "there")


if __name__ == "__main__":
    absltest.main()
