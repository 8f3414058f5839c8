"""Checkpoints: whole or not at all, damage found, the right ones kept."""

import contextlib
import errno
import io
import pathlib
import shutil
from unittest import mock

import keras
import numpy as np
from absl.testing import absltest

from runkit import InputError
from spactor_tf.training.checkpointing import CheckpointStore


def variables(value, shape=(3, 2)):
    return {
        "model": [keras.Variable(np.full(shape, value, np.float32))],
        "optimizer": [keras.Variable(np.int64(value), dtype="int64")],
    }


class CheckpointStoreTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.store = CheckpointStore(self.folder, keep_last=2)

    def save(self, step, score=None):
        state = {"score": score, "note": f"of {step}"}
        self.store.save(step, variables(step), state, {"a.txt": b"hello"})

    def restored(self):
        target = variables(-1)
        state = self.store.restore(target)
        return state, float(np.asarray(target["model"][0])[0, 0])

    def test_nothing_to_restore(self):
        self.assertEqual(self.restored(), (None, -1.0))

    def test_round_trip(self):
        self.save(5, 1.5)
        state, value = self.restored()
        self.assertEqual(value, 5.0)
        self.assertEqual(state, {"score": 1.5, "note": "of 5", "step": 5})
        self.assertEqual((self.store.path(5) / "a.txt").read_bytes(), b"hello")

    def test_keeps_the_last_and_the_best(self):
        for step, score in ((1, 3.0), (2, 1.0), (3, None), (4, 2.0), (5, 9.0)):
            self.save(step, score)
        self.assertEqual(self.store.steps(), [2, 4, 5])
        self.assertEqual(self.store.best(), 2)

    def test_truncated_checkpoints_fall_back(self):
        for damaged in ("variables.npz", "state.json"):
            for cut in (0, 0.3, 0.9):
                with self.subTest(f"{damaged} {cut}"):
                    self.save(1)
                    self.save(2)
                    path = self.store.path(2) / damaged
                    data = path.read_bytes()
                    path.write_bytes(data[: int(len(data) * cut)])
                    state, value = self.restored()
                    self.assertEqual((state["step"], value), (1, 1.0))

    def test_what_is_tried_next_is_said(self):
        for steps, tried in (((1, 2), 1), ((2,), 0)):
            for step in steps:
                self.save(step)
            (self.store.path(2) / "variables.npz").write_bytes(b"")
            told = io.StringIO()
            with contextlib.redirect_stderr(told):
                if tried:
                    self.assertEqual(self.restored()[1], 1.0)
                else:
                    with self.assertRaisesRegex(InputError, "no checkpoint"):
                        self.restored()
            self.assertEqual(told.getvalue().count("damaged or foreign"), 1)
            self.assertEqual(told.getvalue().count("checkpoint before"), tried)
            for step in steps:
                shutil.rmtree(self.store.path(step))

    def test_a_flipped_bit_falls_back(self):
        self.save(1)
        self.save(2)
        path = self.store.path(2) / "variables.npz"
        data = bytearray(path.read_bytes())
        place = data.index(np.float32(2.0).tobytes() * 6)
        data[place + 3] ^= 1
        path.write_bytes(bytes(data))
        self.assertEqual(self.restored()[1], 1.0)

    def test_a_checkpoint_of_another_model_sets_nothing(self):
        self.save(1)
        for other in (
            variables(-1, (2, 2)),
            {**variables(-1), "more": [keras.Variable(0.0)]},
            {"model": variables(-1)["model"]},
        ):
            with self.assertRaisesRegex(InputError, "no checkpoint can be"):
                self.store.restore(other)
            self.assertEqual(float(np.asarray(other["model"][0])[0, 0]), -1.0)

    def test_full_disk_keeps_the_last_good_one(self):
        self.save(1)
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            mock.patch.object(np, "savez", side_effect=full),
            self.assertRaisesRegex(InputError, "No space.*that of step 1"),
        ):
            self.save(2)
        self.assertEqual(self.store.steps(), [1])
        self.assertEqual(self.restored()[1], 1.0)
        names = {path.name for path in self.store.folder.iterdir()}
        self.assertEqual(names, {"step-00000001"})

    def test_leftovers_of_a_killed_write_are_removed(self):
        left = self.store.folder / ".tmp-step-00000009-abc"
        left.mkdir(parents=True)
        (left / "variables.npz").write_bytes(b"half")
        self.assertEqual(self.store.steps(), [])
        self.save(1)
        self.assertFalse(left.exists())


if __name__ == "__main__":
    absltest.main()
