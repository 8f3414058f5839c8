"""A saved clustering that is damaged is refused, wherever a bit changed."""

import contextlib
import json
import pathlib
import tempfile

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from absl.testing import absltest
from hypothesis import strategies as st

import al_tf
from al_tf.clustering.store import NeighborStore
from al_tf.inputs.ids import ExampleIds
from runkit import InputError, read_json
from runkit.files.checksums import CHECKSUMS
from tests.support.faults import fuzzing

pytestmark = pytest.mark.slow


class FuzzTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = pathlib.Path(folder.name) / "kept"
        generator = np.random.default_rng(0)
        cls.rows = generator.standard_normal((40, 3)).astype(np.float32)
        cls.made = al_tf.cluster_embeddings(
            cls.rows, target_cluster_size=4, cache=cls.path
        )
        names = [f"row-{number}" for number in range(40)]
        ids = ExampleIds(pa.array(names, pa.large_string()))
        cls.made.save(cls.path, ids)
        cls.files = sorted(p for p in cls.path.rglob("*") if p.is_file())
        stated = read_json(cls.path / "neighbors" / "neighbors.json")
        cls.store = NeighborStore(cls.path, stated["key"])

    def open_all(self):
        """Everything that reads a kept clustering, used a little."""
        found = al_tf.load_clustering(self.path)
        found.cut(0.0, self.rows)
        found.assign(self.rows)
        self.store.load()
        return found

    @fuzzing.many
    @hypothesis.given(st.integers(0, 2**20), st.data())
    def test_a_flipped_bit_is_noticed(self, place, data):
        path = data.draw(st.sampled_from(self.files))
        with (
            fuzzing.replaced(
                path, fuzzing.flipped_bit(path.read_bytes(), place)
            ),
            self.assertRaises(InputError),
        ):
            self.open_all()

    @contextlib.contextmanager
    def without_checksums(self):
        """As earlier releases wrote it; those stated no checksums at first."""
        kept = [p for p in self.files if p.name == CHECKSUMS]
        contents = [p.read_bytes() for p in kept]
        for path in kept:
            path.unlink()
        try:
            yield
        finally:
            for path, content in zip(kept, contents, strict=True):
                path.write_bytes(content)

    @fuzzing.many
    @hypothesis.given(st.data())
    def test_any_fields_are_read_or_refused(self, data):
        names = ["clustering.json", "neighbors/neighbors.json"]
        path = self.path / data.draw(st.sampled_from(names))
        changed = data.draw(fuzzing.changed_json(read_json(path)))
        with (
            self.without_checksums(),
            fuzzing.replaced(path, json.dumps(changed).encode()),
            contextlib.suppress(InputError),
        ):
            self.open_all()

    @fuzzing.many
    @hypothesis.given(st.data())
    def test_any_arrays_are_read_or_refused(self, data):
        path = data.draw(
            st.sampled_from([p for p in self.files if p.suffix == ".npy"])
        )
        changed = data.draw(fuzzing.damaged_bytes(path.read_bytes()))
        with (
            self.without_checksums(),
            fuzzing.replaced(path, changed),
            contextlib.suppress(InputError),
        ):
            self.open_all()


if __name__ == "__main__":
    absltest.main()
