"""Folders for transformers: one door, tokenizer files, card, converter."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
import shutil

import numpy as np
import sentencepiece
import tokenizers
from absl.testing import absltest, parameterized
from safetensors.numpy import load_file

from runkit import InputError
from spactor_tf import convert_main
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.inference import load_pretrained, save_hugging_face
from spactor_tf.inference.added_tokens import check_added_tokens
from spactor_tf.inference.hugging_face import tokenizer_json
from spactor_tf.inference.pretrained import preset_dir, save_pretrained
from tests.support import serving_models, testing


def same_weights(first, second):
    for before, after in zip(
        first.backbone.get_weights(),
        second.backbone.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after, strict=True)


class FolderTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def convert(self, source, form, name, encoder_only=False):
        output = self.folder / name
        with testing.main_flags(
            convert_main,
            **{
                "from": str(source),
                "to": form,
                "output_dir": str(output),
                "encoder_only": encoder_only,
            },
        ):
            convert_main.main([])
        return output

    @parameterized.parameters(False, True)
    def test_there_and_back_by_the_converter(self, gated):
        model = serving_models.pretrained(gated)
        preset = self.folder / "preset"
        save_pretrained(
            preset, model.backbone, model.vocabulary, model.config, 17
        )
        there = self.convert(preset, "hugging_face", "there")
        back = self.convert(there, "keras_hub", "back")
        again = self.convert(back, "hugging_face", "again")
        found = load_pretrained(back)
        same_weights(found, load_pretrained(preset))
        same_weights(load_pretrained(there), found)
        self.assertEqual(found.config, model.config)
        self.assertEqual(found.task_length, 17)
        for path in there.iterdir():
            self.assertEqual(
                path.read_bytes(), (again / path.name).read_bytes(), path.name
            )

    def test_an_encoder_alone(self):
        model = serving_models.pretrained(True)
        folder = self.folder / "encoder"
        save_hugging_face(folder, model, encoder_only=True)
        names = load_file(folder / "model.safetensors")
        self.assertFalse([n for n in names if n.startswith(("dec", "lm_"))])
        with self.assertRaisesRegex(InputError, "holds an encoder alone"):
            load_pretrained(folder)
        texts = testing.documents(3)
        np.testing.assert_array_equal(
            load_pretrained(folder, needs_decoder=False).embed(texts),
            model.embed(texts),
        )

    def test_what_the_door_refuses(self):
        folder = self.folder / "t5"
        save_hugging_face(folder, serving_models.pretrained())
        config = folder / "config.json"
        content = json.loads(config.read_text())
        with self.subTest("another architecture"):
            config.write_text(json.dumps({**content, "model_type": "bert"}))
            with self.assertRaisesRegex(InputError, "another.*'bert'"):
                preset_dir(folder)
        with self.subTest("malformed"):
            config.write_text("{")
            with self.assertRaisesRegex(InputError, "is not JSON"):
                preset_dir(folder)
        config.write_text(json.dumps(content))
        with self.subTest("another vocabulary with as many pieces"):
            path = folder / "spiece.model"
            other = Vocabulary.load(path).model_proto.__class__()
            other.ParseFromString(path.read_bytes())
            other.pieces[300].piece += "x"
            kept = path.read_bytes()
            path.write_bytes(other.SerializeToString())
            with self.assertRaisesRegex(InputError, "not the vocabulary that"):
                load_pretrained(folder)
            path.write_bytes(kept)
        with self.subTest("no vocabulary"):
            path.rename(folder / "other")
            with self.assertRaisesRegex(InputError, "no SentencePiece model"):
                preset_dir(folder)
            (folder / "other").rename(path)
        with self.subTest("weights of PyTorch"):
            (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
            with self.assertRaisesRegex(InputError, "holds no weights that"):
                preset_dir(folder)

    def test_fewer_rows_than_pieces(self):
        golden = pathlib.Path(__file__).resolve().parents[2]
        golden = golden / "testdata/hugging_face/v1_0"
        folder = self.folder / "few"
        shutil.copytree(golden, folder)
        testing.vocabulary().save(folder / "spiece.model")
        with self.assertRaisesRegex(InputError, "fewer rows.*got 160"):
            load_pretrained(folder)

    @parameterized.parameters(
        ("added_tokens.json", {"<sep>": 3}),
        ("added_tokens.json", {"<extra_id_0>": testing.ROWS - 1}),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"500": {"content": "<sep>"}}},
        ),
        ("tokenizer.json", {"added_tokens": [{"id": 2, "content": "<sep>"}]}),
    )
    def test_added_tokens_that_the_vocabulary_lacks(self, name, content):
        """They would be read as other ids than the model was trained with."""
        vocabulary, path = testing.vocabulary(), self.folder / name

        def check(text):
            path.write_text(text)
            check_added_tokens(self.folder, vocabulary, testing.ROWS)

        with self.assertRaisesRegex(InputError, f"{name}: has a token that"):
            check(json.dumps(content))
        with self.assertRaisesRegex(InputError, "does not list added tokens"):
            check('{"added_tokens_decoder": [3]}')
        check(json.dumps({"<far>": testing.ROWS}))
        check(json.dumps({"<extra_id_0>": int(vocabulary.sentinel_ids[0])}))

    def test_added_tokens_are_looked_for(self):
        folder = self.folder / "t5"
        save_hugging_face(folder, serving_models.pretrained())
        (folder / "checksums.json").unlink()
        (folder / "added_tokens.json").write_text('{"<sep>": 3}')
        with self.assertRaisesRegex(InputError, "'<sep> with id 3'"):
            load_pretrained(folder)

    def test_foreign_presets_that_would_be_misread(self):
        import keras_hub

        vocabulary = testing.vocabulary()
        backbone = keras_hub.models.T5Backbone(
            vocabulary_size=testing.ROWS,
            num_layers=1,
            num_heads=2,
            hidden_dim=8,
            intermediate_dim=8,
            activation="gelu",
            use_gated_activation=True,
        )
        save_pretrained(self.folder / "erf", backbone, vocabulary)
        with self.assertRaisesRegex(InputError, "gated gelu.*tanh form"):
            load_pretrained(self.folder / "erf")

    def test_output_that_exists(self):
        with self.assertRaisesRegex(InputError, "--output_dir: exists"):
            self.convert("anywhere", "hugging_face", "")


class TokenizerFilesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(absltest.get_default_test_tmpdir()) / "files"
        shutil.rmtree(cls.folder, ignore_errors=True)
        cls.model = serving_models.pretrained()
        save_hugging_face(cls.folder, cls.model)

    def test_every_id_is_the_same_in_all_files(self):
        pieces = sentencepiece.SentencePieceProcessor(
            model_file=str(self.folder / "spiece.model")
        )
        tokenizer = json.loads((self.folder / "tokenizer.json").read_text())
        rows = tokenizer["model"]["vocab"]
        self.assertLen(rows, testing.ROWS)
        for index, (piece, score) in enumerate(rows):
            self.assertEqual(piece, pieces.id_to_piece(index))
            self.assertEqual(score, pieces.get_score(index))
        config = json.loads((self.folder / "tokenizer_config.json").read_text())
        added = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
        decoder = config["added_tokens_decoder"].items()
        self.assertEqual(
            added, {token["content"]: int(i) for i, token in decoder}
        )
        self.assertLen(added, 100 + 4)
        for token, index in added.items():
            self.assertEqual(pieces.piece_to_id(token), index)
        names = [f"<extra_id_{i}>" for i in range(100)]
        self.assertEqual(config["additional_special_tokens"], names)
        # T5's descending order.
        ids = [added[name] for name in names]
        self.assertEqual(ids, list(range(ids[0], ids[0] - 100, -1)))

    def test_sentinels_of_t5_lose_their_space_mark(self):
        model = Vocabulary.load(self.folder / "spiece.model")
        proto = type(model.model_proto)()
        proto.ParseFromString(model.proto)
        first = int(model.sentinel_ids[0])
        proto.pieces[first].piece = "\u2581<extra_id_0>"
        tokenizer = tokenizer_json(Vocabulary(proto.SerializeToString()))
        self.assertEqual(tokenizer["model"]["vocab"][first][0], "<extra_id_0>")

    @parameterized.parameters(
        ("treat_whitespace_as_suffix", True, "at the end of its words"),
        ("model_type", 2, "not a unigram.*'BPE'"),
    )
    def test_models_that_transformers_would_read_otherwise(
        self, field, value, message
    ):
        model = Vocabulary.load(self.folder / "spiece.model")
        setattr(model.model_proto.trainer_spec, field, value)
        with self.assertRaisesRegex(InputError, message):
            tokenizer_json(model)

    def test_other_white_space_than_spaces_is_kept(self):
        model = Vocabulary.load(self.folder / "spiece.model")
        model.model_proto.normalizer_spec.remove_extra_whitespaces = True
        tokenizer = tokenizer_json(model)
        cleaner = tokenizers.Tokenizer.from_str(json.dumps(tokenizer))
        text = cleaner.normalizer.normalize_str("  \r\na  \u3000 b\n ")
        self.assertEqual(text, "\r\na \u3000 b\n")

    def test_card_states_the_run(self):
        card = (self.folder / "README.md").read_text()
        for fact in (
            "library_name: transformers",
            "| num_layers | 2 |",
            "| d_model | 32 |",
            "| rows of the embedding | 512 |",
            '"objective"',
            '"train_steps": 8',
        ):
            self.assertIn(fact, card)


if __name__ == "__main__":
    absltest.main()
