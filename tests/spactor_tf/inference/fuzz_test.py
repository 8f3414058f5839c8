"""A damaged preset is refused; a foreign one is opened or refused."""

import contextlib
import json
import pathlib
import tempfile

import hypothesis
import numpy as np
import pytest
from absl.testing import absltest
from hypothesis import strategies as st

from runkit import InputError, read_json
from runkit.files.checksums import CHECKSUMS
from spactor_tf.classifier.classifier import TextClassifier, load_classifier
from spactor_tf.inference import (
    load_pretrained,
    save_hugging_face,
    save_pretrained,
)
from tests.support import testing
from tests.support.faults import fuzzing

pytestmark = pytest.mark.slow
# Keras takes half a second to build a model; the five tests are 2,500 inputs.
FOREIGN = fuzzing.inputs(500)


class FuzzTest(absltest.TestCase):
    """One model in the three kinds of directories that are opened."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        base = pathlib.Path(folder.name)
        model = testing.random_t5()
        cls.keras_hub, cls.hugging_face = base / "preset", base / "transformers"
        cls.classifier = base / "classifier"
        save_pretrained(
            cls.keras_hub, model.backbone, model.vocabulary, model.config, 17
        )
        save_hugging_face(cls.hugging_face, model)
        TextClassifier(model, ["bad", "good"]).save(cls.classifier)

    @fuzzing.many
    @hypothesis.given(st.integers(0, 2**30), st.data())
    def test_a_flipped_bit_is_noticed(self, place, data):
        folder, load = data.draw(
            st.sampled_from(
                [
                    (self.keras_hub, load_pretrained),
                    (self.hugging_face, load_pretrained),
                    (self.classifier, load_classifier),
                ]
            )
        )
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.is_file() and path.name != "README.md"
        )
        path = data.draw(st.sampled_from(files))
        changed = fuzzing.flipped_bit(path.read_bytes(), place)
        with fuzzing.replaced(path, changed), self.assertRaises(InputError):
            load(folder)

    @contextlib.contextmanager
    def foreign(self, folder, path, data):
        """As another program might have written it: without checksums."""
        stated = folder / CHECKSUMS
        kept = stated.read_bytes()
        stated.unlink()
        try:
            with fuzzing.replaced(path, data):
                yield
        finally:
            stated.write_bytes(kept)

    def open(self, folder, path, data):
        with (
            self.foreign(folder, path, data),
            contextlib.suppress(InputError),
        ):
            model = load_pretrained(folder)
            for variable in model.backbone.variables:
                self.assertTrue(np.isfinite(variable.numpy()).all())

    @FOREIGN
    @hypothesis.given(st.data())
    def test_any_fields_of_a_keras_hub_preset(self, data):
        names = ["config.json", "config.json", "metadata.json"]
        names += ["spactor_config.json", "spactor_task.json"]
        names += ["spactor_vocabulary.json"]
        path = self.keras_hub / data.draw(st.sampled_from(names))
        changed = data.draw(fuzzing.changed_json(read_json(path)))
        self.open(self.keras_hub, path, json.dumps(changed).encode())

    @FOREIGN
    @hypothesis.given(st.data())
    def test_any_bytes_of_a_keras_hub_preset(self, data):
        names = ["model.weights.h5", "assets/tokenizer/vocabulary.spm"]
        path = self.keras_hub / data.draw(st.sampled_from(names))
        changed = data.draw(fuzzing.damaged_bytes(path.read_bytes()))
        self.open(self.keras_hub, path, changed)

    @FOREIGN
    @hypothesis.given(st.data())
    def test_any_fields_of_a_hugging_face_folder(self, data):
        path = self.hugging_face / "config.json"
        changed = data.draw(fuzzing.changed_json(read_json(path)))
        self.open(self.hugging_face, path, json.dumps(changed).encode())

    @FOREIGN
    @hypothesis.given(st.data())
    def test_any_bytes_of_a_hugging_face_folder(self, data):
        names = ["model.safetensors", "spiece.model", "config.json"]
        path = self.hugging_face / data.draw(st.sampled_from(names))
        changed = data.draw(fuzzing.damaged_bytes(path.read_bytes()))
        self.open(self.hugging_face, path, changed)

    @FOREIGN
    @hypothesis.given(st.data())
    def test_any_classifier(self, data):
        path = self.classifier / data.draw(
            st.sampled_from(["labels.json", "head.npz"])
        )
        changed = data.draw(
            fuzzing.changed_json(read_json(path)).map(
                lambda value: json.dumps(value).encode()
            )
            if path.suffix == ".json"
            else fuzzing.damaged_bytes(path.read_bytes())
        )
        with (
            self.foreign(self.classifier, path, changed),
            contextlib.suppress(InputError),
        ):
            load_classifier(self.classifier)


if __name__ == "__main__":
    absltest.main()
