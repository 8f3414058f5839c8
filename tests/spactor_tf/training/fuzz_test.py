"""A damaged checkpoint is never resumed from: the one before it is."""

import contextlib
import json
import pathlib
import tempfile
from unittest import mock

import hypothesis
import keras
import numpy as np
import pytest
from absl.testing import absltest
from hypothesis import strategies as st

from runkit import InputError, read_json
from runkit.files.checksums import CHECKSUMS
from spactor_tf.training.checkpointing import CheckpointStore
from tests.support.faults import fuzzing

pytestmark = pytest.mark.slow


def variables(value):
    return {
        "model": [
            keras.Variable(np.full((5, 4), value, np.float32)),
            keras.Variable(np.full(3, value, np.float32)),
        ],
        "optimizer": [keras.Variable(np.int64(value), dtype="int64")],
    }


class FuzzTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.store = CheckpointStore(pathlib.Path(folder.name))
        for step in (1, 2):
            state = {"score": 3.0 - step, "pending": [{"loss": 0.5}]}
            files = {"config.json": b"{}", "vocabulary.model": b"abc" * 50}
            cls.store.save(step, variables(step), state, files)
        cls.newest = cls.store.path(2)
        cls.target = variables(0)

    def restore(self):
        """Returns the step that is restored, after a look at every value."""
        with mock.patch("sys.stderr"):
            state = self.store.restore(self.target)
            self.store.best()
        for members in self.target.values():
            for variable in members:
                self.assertTrue(np.isfinite(variable.numpy()).all())
                self.assertEqual(set(variable.numpy().flat), {state["step"]})
        return state

    @fuzzing.many
    @hypothesis.given(st.integers(0, 2**20), st.data())
    def test_a_flipped_bit_changes_nothing_in_silence(self, place, data):
        files = sorted(self.newest.iterdir())
        path = data.draw(st.sampled_from(files))
        changed = fuzzing.flipped_bit(path.read_bytes(), place)
        with fuzzing.replaced(path, changed):
            state = self.restore()
        expected = {"score": 3.0 - state["step"], "pending": [{"loss": 0.5}]}
        self.assertEqual(state, {**expected, "step": state["step"]})
        if path.suffix != ".npz":  # An archive has bits that mean nothing.
            self.assertEqual(state["step"], 1)

    @contextlib.contextmanager
    def of_an_earlier_release(self, path, data):
        stated = self.newest / CHECKSUMS
        kept = stated.read_bytes()
        stated.unlink()
        try:
            with fuzzing.replaced(path, data):
                yield
        finally:
            stated.write_bytes(kept)

    @fuzzing.many
    @hypothesis.given(st.data())
    def test_any_archive(self, data):
        path = self.newest / "variables.npz"
        changed = data.draw(fuzzing.damaged_bytes(path.read_bytes()))
        with self.of_an_earlier_release(path, changed):
            self.restore()

    @fuzzing.many
    @hypothesis.given(st.data())
    def test_any_state(self, data):
        path = self.newest / "state.json"
        changed = data.draw(fuzzing.changed_json(read_json(path)))
        with self.of_an_earlier_release(path, json.dumps(changed).encode()):
            self.restore()

    def test_without_a_whole_one(self):
        older = self.store.path(1) / "state.json"
        newer = self.newest / "state.json"
        with (
            fuzzing.replaced(older, b"{"),
            fuzzing.replaced(newer, b"{}"),
            self.assertRaisesRegex(InputError, "no checkpoint can be read"),
        ):
            self.restore()


if __name__ == "__main__":
    absltest.main()
