"""SplitMix64 against its published outputs, in NumPy and compiled."""

import warnings

import numba
import numpy as np
from absl.testing import absltest

from runkit import hashing

# The first outputs of the generator with seed 1234567, as published with
# implementations in several languages.
SEED = 1234567
OUTPUTS = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)


def in_python(x):
    """The same hash with Python's whole numbers."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


class HashingTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(0)
        drawn = random.integers(0, 2**64, 1000, np.uint64)
        self.numbers = np.append(drawn, np.array([0, 2**64 - 1], np.uint64))

    def test_outputs_of_the_generator(self):
        gamma = int(hashing.GOLDEN_GAMMA)
        states = [(SEED + i * gamma) % 2**64 for i in range(len(OUTPUTS))]
        found = hashing.splitmix64(np.array(states, np.uint64))
        self.assertEqual(found.tolist(), list(OUTPUTS))

    def test_arrays_and_numbers_wrap_around_without_a_warning(self):
        expected = [in_python(int(x)) for x in self.numbers]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = hashing.splitmix64(self.numbers)
            one = hashing.splitmix64(self.numbers[-1])
        self.assertEqual(found.tolist(), expected)
        self.assertEqual(int(one), expected[-1])

    def test_the_compiled_twin_gives_the_same_bits(self):
        compiled = numba.njit(hashing.finalize)
        found = [int(compiled(x)) for x in self.numbers]
        self.assertEqual(found, hashing.finalize(self.numbers).tolist())


if __name__ == "__main__":
    absltest.main()
