"""Any file in the place of a vocabulary: one that encodes, or an InputError."""

import contextlib

import hypothesis
import pytest
from absl.testing import absltest
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from runkit import InputError
from spactor_tf.data.vocabulary import Vocabulary
from tests.support import testing
from tests.support.faults import fuzzing

pytestmark = pytest.mark.slow


class FuzzTest(absltest.TestCase):
    @fuzzing.many
    @hypothesis.given(st.data())
    def test_any_bytes(self, data):
        whole = testing.vocabulary().proto
        changed = data.draw(
            fuzzing.damaged_bytes(whole)
            | fuzzing.damaged_bytes(whole[:300])
            | st.binary(max_size=40)
        )
        with contextlib.suppress(InputError):
            found = Vocabulary(changed)
            reader = SentencePieceProcessor(model_proto=found.proto)
            self.assertEqual(reader.get_piece_size(), found.size)
            self.assertLess(
                max(reader.encode("da ne <extra_id_0>")), found.size
            )


if __name__ == "__main__":
    absltest.main()
