"""Configurations: presets, single fields by name, JSON, what is refused."""

import dataclasses
import json

from absl.testing import absltest, parameterized

from runkit import InputError
from spactor_tf.config import presets
from spactor_tf.config.fields import diff, flatten, from_dict, override, to_dict
from spactor_tf.config.pretrain import SECTIONS, PretrainConfig
from spactor_tf.data.corruption import corruption_lengths
from tests.support import testing


class PresetsTest(parameterized.TestCase):
    @parameterized.parameters(*presets.PRESETS)
    def test_every_preset_is_valid_and_named_as_its_key(self, name):
        config = presets.get_preset(name)
        config.validate()
        corruption_lengths(config.corruption)
        self.assertEqual(config.preset, name)

    @parameterized.parameters(*presets.PRESETS)
    def test_json_round_trip_keeps_every_field(self, name):
        config = presets.get_preset(name)
        text = json.dumps(to_dict(config))
        self.assertEqual(from_dict(json.loads(text)), config)

    @parameterized.parameters(
        # Raffel et al. 2020, section 3.1.1 and 3.7; v1.1 as published later.
        ("small", 6, 8, 512, 2048, 64, "relu"),
        ("base", 12, 12, 768, 3072, 64, "relu"),
        ("large", 24, 16, 1024, 4096, 64, "relu"),
        ("small_v1_1", 8, 6, 512, 1024, 64, "gated_gelu"),
        ("base_v1_1", 12, 12, 768, 2048, 64, "gated_gelu"),
        ("large_v1_1", 24, 16, 1024, 2816, 64, "gated_gelu"),
    )
    def test_sizes_are_those_of_t5(self, name, layers, heads, hidden, ff, d, a):
        model = presets.get_preset(name).model
        self.assertEqual(
            (
                model.num_layers,
                model.num_heads,
                model.hidden_dim,
                model.intermediate_dim,
                model.head_dim,
                model.activation,
            ),
            (layers, heads, hidden, ff, d, a),
        )
        self.assertEqual(model.tie_embeddings, a == "relu")
        self.assertEqual(model.vocabulary_size, 32128)

    @parameterized.parameters("base", "large", "base_v1_1", "large_v1_1")
    def test_large_presets_carry_the_published_settings(self, name):
        config = presets.get_preset(name)
        self.assertEqual(config.objective.rtd_weight, 10)
        self.assertEqual(config.objective.span_corruption_weight, 10)
        self.assertEqual(config.transition_step, 120_000)
        self.assertEqual(config.train_steps, 1_000_000)
        self.assertEqual(config.batch_size, 2048)

    def test_unknown_preset_names_the_nearest(self):
        with self.assertRaisesRegex(InputError, "--preset.*'bsae'.*'base'"):
            presets.get_preset("bsae")


class OverrideTest(parameterized.TestCase):
    @parameterized.parameters(
        ("train_steps", "12", 12),
        ("train_steps", "1_000", 1000),
        ("objective.transition_step", "0.5", 0.5),
        ("objective.transition_step", "300", 300.0),
        ("objective.name", "rtd", "rtd"),
        ("optimizer.momentum", "0.9", 0.9),
        ("optimizer.momentum", "none", None),
        ("optimizer.clip_norm", "None", None),
        ("corruption.target_length", "114", 114),
        ("model.tie_embeddings", "false", False),
        ("runtime.jit_compile", "auto", "auto"),
        # What it was called when it was true or false.
        ("runtime.jit_compile", "True", "true"),
        ("runtime.jit_compile", False, "false"),
        ("seed", 7, 7),
        ("init_from", "none", "none"),  # A text field takes text as it is.
    )
    def test_text_is_read_as_the_type_of_the_field(self, name, text, value):
        config = override(testing.tiny_config(), {name: text})
        got = flatten(to_dict(config))[name]
        self.assertEqual(got, value)
        self.assertIs(type(got), type(value))

    def test_only_the_named_fields_change(self):
        old = testing.tiny_config()
        new = override(old, {"seed": "5", "model.dropout": "0.1"})
        self.assertCountEqual(
            diff(old, new), ["model.dropout: 0.0 -> 0.1", "seed: 0 -> 5"]
        )

    def test_runtime_is_no_difference(self):
        old = testing.tiny_config()
        new = override(old, {"runtime.log_every": "5"})
        self.assertNotEqual(old, new)
        self.assertEmpty(diff(old, new))

    @parameterized.parameters(
        ("train_stpes", "train_steps"),
        ("objective.nam", "objective.name"),
        ("optimiser.momentum", "optimizer.momentum"),
        ("model", "model."),
        ("preset.x", "preset"),
        ("objective.", "objective."),
        ("", "train_steps"),
    )
    def test_unknown_field_names_the_nearest(self, name, near):
        with self.assertRaises(InputError) as raised:
            override(testing.tiny_config(), {name: "1"})
        self.assertIn(repr(name), str(raised.exception))
        self.assertIn(near, str(raised.exception))

    @parameterized.parameters(
        ("train_steps", "many", "int"),
        ("train_steps", "1.5", "int"),
        ("train_steps", "", "int"),
        ("train_steps", "none", "int"),
        ("model.dropout", "low", "float"),
        ("model.tie_embeddings", "yes", "true or false"),
        ("optimizer.clip_norm", "x", "float"),
    )
    def test_value_of_another_type_is_refused(self, name, text, expected):
        with self.assertRaises(InputError) as raised:
            override(testing.tiny_config(), {name: text})
        self.assertIn(f"{name}: ", str(raised.exception))
        self.assertIn(repr(text), str(raised.exception))
        self.assertIn(expected, str(raised.exception))

    @parameterized.parameters(
        ({"train_steps": "12"}, "12"),  # Text is read; see above.
        ({"train_steps": [1]}, None),
        ({"train_steps": 1.5}, None),
        ({"train_steps": True}, None),
        ({"model": 3}, None),
        ({"model": {"dropout": {"x": 1}}}, None),
        ({"dtype": 3}, None),
        ({"model": {"tie_embeddings": 1}}, None),
        ([1, 2], None),
        (None, None),
    )
    def test_foreign_json_is_refused(self, values, good):
        if good:
            self.assertEqual(from_dict(values).train_steps, 12)
            return
        with self.assertRaises(InputError):
            from_dict(values)

    def test_json_written_by_other_tools_may_drop_a_decimal_point(self):
        config = from_dict({"objective": {"rtd_weight": 10}})
        self.assertEqual(config, PretrainConfig())
        self.assertIsInstance(config.objective.rtd_weight, float)


class ValidateTest(parameterized.TestCase):
    @parameterized.parameters(
        ("train_steps", 0),
        ("batch_size", -1),
        ("accumulation_steps", 3),  # 4 examples are not 3 equal slices.
        ("dtype", "float16"),
        ("seed", -1),
        ("seed", 2**31),
        ("model.num_layers", 0),
        ("model.vocabulary_size", 128),
        ("model.dropout", 1.0),
        ("model.dropout", float("nan")),
        ("model.activation", "gelu"),
        ("model.num_heads", 3),
        ("model.key_value_dim", -8),
        ("model.key_value_dim", 0),
        ("generator.num_layers", 0),
        ("generator.num_heads", 3),
        ("corruption.input_length", 0),
        ("corruption.target_length", 0),
        ("corruption.noise_density", 0.0),
        ("corruption.noise_density", 1.0),
        ("corruption.noise_density", float("nan")),
        ("corruption.mean_noise_span_length", 0.5),
        ("corruption.mean_noise_span_length", float("inf")),
        ("corruption.mlm_mask_rate", 1.5),
        ("objective.name", "mlm"),
        ("objective.mlm_weight", -1.0),
        ("objective.rtd_weight", float("inf")),
        ("objective.transition_step", -1.0),
        ("objective.transition_step", 2.5),
        ("objective.transition_step", float("nan")),
        ("optimizer.name", "adam"),
        ("optimizer.schedule", "exponential"),
        ("optimizer.learning_rate", 0.0),
        ("optimizer.learning_rate", float("inf")),
        ("optimizer.clip_norm", 0.0),
        ("optimizer.momentum", 1.0),
        ("optimizer.weight_decay", -0.1),
        ("optimizer.warmup_steps", -1),
        ("data.dataset", ""),
        ("data.vocabulary", ""),
        ("data.vocabulary_sample_characters", 0),
        ("data.holdout_fraction", 0.0),
        ("data.holdout_fraction", 1.0),
        ("data.max_documents", 0),
        ("data.invalid_utf8", "ignore"),
        ("runtime.strategy", "gpu"),
        ("runtime.checkpoint_every", 0),
        ("runtime.keep_last", 0),
    )
    def test_value_out_of_range_names_field_and_value(self, name, value):
        with self.assertRaises(InputError) as raised:
            testing.tiny_config(**{name: value})
        message = str(raised.exception)
        self.assertIn(repr(value), message)
        field = name.rpartition(".")[2]
        # The door may be another field of the pair that does not go together.
        self.assertTrue(
            field in message
            or (name, "hidden_dim" in message) == ("model.num_heads", True),
            message,
        )

    def test_transition_behind_the_last_step(self):
        with self.assertRaisesRegex(InputError, "transition_step.*9.*hybrid"):
            testing.tiny_config(
                **{"objective.transition_step": 9, "train_steps": 8}
            )

    @parameterized.parameters(
        # name, value, steps, first step of stage 2
        ("spactor", 0.25, 8, 2),
        ("spactor", 0.12, 1_000_000, 120_000),
        ("spactor", 0.0, 8, 0),
        ("spactor", 1.0, 8, 1),  # One step, not all: fractions are below 1.
        ("spactor", 8.0, 8, 8),
        ("hybrid", 0.25, 8, 8),
        ("rtd", 0.25, 8, 8),
        ("span_corruption", 0.25, 8, 0),
        # Only "spactor" reads it, so it cannot be wrong elsewhere.
        ("hybrid", 99.0, 8, 8),
        ("span_corruption", 99.0, 8, 0),
    )
    def test_transition_step(self, name, value, steps, expected):
        config = testing.tiny_config(
            **{
                "objective.name": name,
                "objective.transition_step": value,
                "train_steps": steps,
            }
        )
        self.assertEqual(config.transition_step, expected)

    def test_sections_are_the_fields_that_are_configurations(self):
        nested = {
            field.name: type(getattr(PretrainConfig(), field.name))
            for field in dataclasses.fields(PretrainConfig)
            if dataclasses.is_dataclass(getattr(PretrainConfig(), field.name))
        }
        self.assertEqual(nested, SECTIONS)

    def test_configurations_cannot_be_changed_in_place(self):
        config = testing.tiny_config()
        with self.assertRaises(dataclasses.FrozenInstanceError):
            config.seed = 3


if __name__ == "__main__":
    absltest.main()
