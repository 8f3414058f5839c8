"""The order of a store's windows, and that TensorFlow alone makes it."""

import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from spactor_tf.data.corruption import CorruptionLengths
from spactor_tf.data.permutation import shuffled
from spactor_tf.data.pretraining import Pipeline
from spactor_tf.data.step_pipeline import Share
from spactor_tf.data.tokens.windows import Turns, windows_in_order
from tests.support import testing


def read(store, length, first, end, seed=0, **options):
    """(examples [n], windows [n, length]) of the examples first .. end - 1."""
    share = Share(first, end, 1, 0, 1, 1)
    found = [
        (example.numpy(), windows.numpy())
        for example, windows in windows_in_order(
            store, length, seed, share, **options
        )
    ]
    empty = [(np.zeros(0, np.int64), np.zeros((0, length), np.int32))]
    parts = zip(*(found or empty), strict=True)
    return tuple(np.concatenate(part) for part in parts)


class WindowsTest(parameterized.TestCase):
    @hypothesis.settings(
        max_examples=8, deadline=None, derandomize=True, database=None
    )
    @hypothesis.given(
        st.lists(st.integers(1, 12), min_size=1, max_size=6),
        st.integers(1, 9),
        st.integers(1, 7),
        st.sampled_from(["<u2", "<i4"]),
    )
    def test_every_pass_has_every_window_once(self, sizes, length, mixed, t):
        total = sum(sizes)
        hypothesis.assume(total >= length)
        stream = np.arange(total) + 60_000 * (t == "<i4") * 2
        shards = np.split(stream, np.cumsum(sizes)[:-1])
        folder = self.create_tempdir().full_path
        store = testing.write_store(folder, shards, t, mixed_shards=mixed)
        expected = testing.windows_of(store, length)
        count = store.num_windows(length)
        self.assertLen(expected, count)
        examples, windows = read(store, length, 0, 2 * count)
        self.assertEqual(examples.tolist(), list(range(2 * count)))
        for one in (windows[:count], windows[count:]):
            self.assertCountEqual(one.tolist(), expected.tolist())

    @hypothesis.settings(
        max_examples=6, deadline=None, derandomize=True, database=None
    )
    @hypothesis.given(
        st.lists(st.integers(1, 12), min_size=1, max_size=6),
        st.integers(1, 4),
        st.integers(0, 60),
        st.integers(0, 60),
    )
    def test_any_start_and_end_give_a_part_of_the_whole(
        self, sizes, mixed, first, count
    ):
        hypothesis.assume(sum(sizes) >= 3)
        ends = np.cumsum(sizes)
        shards = np.split(np.arange(ends[-1]), ends[:-1])
        store = testing.write_store(
            self.create_tempdir().full_path, shards, mixed_shards=mixed
        )
        _, whole = read(store, 3, 0, first + count, seed=5)
        examples, windows = read(store, 3, first, first + count, seed=5)
        self.assertEqual(examples.tolist(), list(range(first, first + count)))
        np.testing.assert_array_equal(windows, whole[first:])

    @parameterized.parameters(3, None)
    def test_one_group_has_the_order_of_the_runs_before(self, mixed):
        store = testing.write_store(
            self.create_tempdir().full_path,
            np.split(np.arange(100), [30, 77]),
            mixed_shards=mixed,
        )
        expected = testing.windows_of(store, 7)
        order = shuffled(np.arange(40), len(expected), 9)
        _, windows = read(store, 7, 0, 40, seed=9)
        np.testing.assert_array_equal(windows, expected[order])

    def test_a_group_is_a_few_whole_shards(self):
        store = testing.write_store(
            self.create_tempdir().full_path,
            np.split(np.arange(800), 10),
            mixed_shards=2,
        )
        _, windows = read(store, 8, 0, 300, seed=2)
        shards = windows[:, 0] // 80  # 10 windows each.
        groups = [set(shards[i : i + 20]) for i in range(0, 300, 20)]
        self.assertTrue(all(len(group) == 2 for group in groups))
        for number in range(3):
            of_pass = groups[5 * number : 5 * number + 5]
            self.assertEqual(set().union(*of_pass), set(range(10)))
        self.assertNotEqual(groups[:5], groups[5:10])
        # Inside a group windows of its shards alternate.
        self.assertGreater(np.count_nonzero(np.diff(shards[:20])), 4)

    def test_stores_take_turns(self):
        store = testing.write_store(
            self.create_tempdir().full_path, [range(50)], mixed_shards=1
        )
        # Examples 1 and 2 of every 5 are this store's.
        turns = Turns(np.array([1, 2]), 5)
        self.assertEqual(
            [turns.before(n) for n in range(8)], [0, 0, 1, 2, 2, 2, 2, 3]
        )
        _, whole = read(store, 5, 0, 40)
        examples, windows = read(store, 5, 3, 88, turns=turns)
        self.assertEqual(
            examples.tolist(),
            [n for n in range(3, 88) if n % 5 in (1, 2)],
        )
        np.testing.assert_array_equal(windows, whole[2 : 2 + len(windows)])


def pipelines(folder):
    """Pipelines over stores of one group and of several."""
    lengths = CorruptionLengths(24, 4, 2, 23, 7, 3)
    stores = {
        "one_group": testing.token_stores(folder)["train"],
        "groups": testing.write_store(
            f"{folder}/groups",
            np.split(np.arange(9000) % 500, [1100, 3500, 3510, 5000, 7000]),
            mixed_shards=2,
        ),
    }
    return {
        name: Pipeline(store, testing.vocabulary(), lengths, 8, 3)
        for name, store in stores.items()
    }


class GraphTest(parameterized.TestCase):
    STEPS = 60  # More than a pass, and not a whole number of them.

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = absltest.get_default_test_tmpdir()
        cls.pipelines = pipelines(f"{folder}/windows_test")
        cls.whole = {
            name: [*pipeline.dataset(0, cls.STEPS)]
            for name, pipeline in cls.pipelines.items()
        }

    @parameterized.parameters("one_group", "groups")
    def test_no_operation_is_python(self, name):
        found = testing.graph_operations(self.pipelines[name].dataset(0, 5))
        self.assertIn("ReadFile", found)
        self.assertIn("TopKV2", found)  # Inside of the functions.
        python = {op for op in found if "Py" in op}
        self.assertEmpty(python)

    def test_python_operations_would_be_found(self):
        dataset = tf.data.Dataset.range(3).map(
            lambda x: tf.numpy_function(lambda y: y, [x], tf.int64)
        )
        self.assertIn("PyFunc", testing.graph_operations(dataset))

    @parameterized.parameters(
        # replicas, hosts, first step
        ("one_group", 2, 1, 0),
        ("one_group", 8, 2, 31),
        ("groups", 1, 1, 1),
        ("groups", 2, 1, 46),
        ("groups", 8, 1, 47),
        ("groups", 2, 2, 5),
        ("groups", 8, 2, 57),
    )
    def test_batches_are_the_same_bits(self, name, replicas, hosts, start):
        pipeline = self.pipelines[name]
        local = replicas // hosts
        parts = [
            [
                {key: value.numpy() for key, value in batch.items()}
                for batch in pipeline.dataset(
                    start,
                    start + 3,
                    replicas=replicas,
                    first_replica=host * local,
                    local_replicas=local,
                )
            ]
            for host in range(hosts)
        ]
        for step in range(3):
            expected = self.whole[name][start + step]
            rows = [p[step * local + i] for p in parts for i in range(local)]
            for key, value in expected.items():
                got = np.concatenate([row[key] for row in rows])
                np.testing.assert_array_equal(got, value)

    @parameterized.parameters("one_group", "groups")
    def test_a_second_server_process_makes_the_same_batches(self, name):
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        address = server.stdout.readline().strip()
        pipeline = self.pipelines[name]
        service = tf.data.experimental.service
        # Host 1 of 2 is the other process.
        parts = {"replicas": 2, "local_replicas": 1}
        remote = pipeline.dataset(
            2, self.STEPS, first_replica=1, **parts
        ).apply(service.distribute(service.ShardingPolicy.OFF, address))
        here = pipeline.dataset(2, self.STEPS, first_replica=0, **parts)
        for one, other, both in zip(
            here, remote, self.whole[name][2:], strict=True
        ):
            for key, value in both.items():
                got = np.concatenate([one[key].numpy(), other[key].numpy()])
                np.testing.assert_array_equal(got, value)


# A dispatcher and a worker of tf.data: it imports nothing of this project.
SERVER = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
service = tf.data.experimental.service
dispatcher = service.DispatchServer()
address = dispatcher.target.partition("://")[2]
worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
print(dispatcher.target, flush=True)
sys.stdin.read()
"""


if __name__ == "__main__":
    absltest.main()
