"""The state folder: snapshots that are whole, and folders that are refused."""

import pathlib
from typing import NamedTuple

import numpy as np
from absl.testing import absltest

from al_tf.distributed.engine import LocalEngine
from al_tf.distributed.state import RunState
from runkit import InputError, read_json, write_json


class Piece(NamedTuple):
    rows: np.ndarray


class RunStateTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.create_tempdir().full_path) / "state"
        self.state = self.open()

    def open(self, **change):
        return RunState(self.path, {"pool": 1, **change}, LocalEngine())

    def save(self, kind, number):
        piece = Piece(np.arange(number))
        arrays = {"counts": np.array([number])}
        self.state.save(
            kind, number, [piece], fields={"n": number}, arrays=arrays
        )

    def test_the_newest_is_found_and_older_ones_go(self):
        self.assertIsNone(self.state.latest("parts", Piece))
        self.save("parts", 3)
        self.save("lists", 5)
        self.save("lists", 12)
        found = self.open().latest("lists", Piece)
        self.assertLen(found.parts[0].rows, 12)
        self.assertEqual(found.fields["n"], 12)
        self.assertEqual(found.arrays["counts"].tolist(), [12])
        self.save("parts", 4)
        names = sorted(p.name for p in self.path.iterdir())
        self.assertEqual(names, ["parts-00004", "run.json"])

    def test_a_failed_write_leaves_the_one_before(self):
        self.save("parts", 3)
        with self.assertRaisesRegex(InputError, "state, part 0: failed"):
            self.state.save("parts", 4, [None], fields={}, arrays={})
        self.assertEqual(self.open().latest("parts", Piece).fields["n"], 3)
        self.assertEmpty([*self.path.glob(".tmp*")])

    def test_what_is_refused(self):
        with self.assertRaisesRegex(InputError, "run with another pool"):
            self.open(pool=2)
        self.save("parts", 3)
        (self.path / "parts-00003" / "00000.rows.npy").write_bytes(b"x")
        with self.assertRaisesRegex(InputError, "00000.rows.npy"):
            self.open().latest("parts", Piece)
        kept = read_json(self.path / "run.json")
        write_json(self.path / "run.json", {**kept, "format_version": 9})
        with self.assertRaisesRegex(InputError, "another format_version"):
            self.open()
        (self.path / "run.json").unlink()
        with self.assertRaisesRegex(InputError, "holds other files"):
            self.open()


if __name__ == "__main__":
    absltest.main()
