"""What several benchmarks feed to their arms."""

from __future__ import annotations

from typing import Any

import numpy as np
from sentencepiece import sentencepiece_model_pb2

from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.vocabulary import Vocabulary

_CONTROL = 3  # SentencePiece's type of <pad> and </s>.
_UNKNOWN = 2


def numbered_vocabulary(rows: int) -> Vocabulary:
    """A vocabulary of meaningless pieces that fits `rows` embedding rows."""
    model = vars(sentencepiece_model_pb2)["ModelProto"]()
    for piece, kind in (
        ("<pad>", _CONTROL),
        ("</s>", _CONTROL),
        ("<unk>", _UNKNOWN),
    ):
        model.pieces.add(piece=piece, score=0.0, type=kind)
    for index in range(rows - 128 - 3):
        model.pieces.add(piece=f"p{index}", score=-float(index))
    return Vocabulary(model.SerializeToString())


def corrupted_batch(
    config: PretrainConfig, vocabulary: Vocabulary
) -> dict[str, Any]:
    """One batch of corrupted random tokens, with all that stage 1 reads."""
    from spactor_tf.data import corruption

    lengths = corruption.corruption_lengths(config.corruption)
    random = np.random.default_rng(0)
    index = np.arange(config.batch_size, dtype=np.int64)
    pieces = config.model.vocabulary_size - 128
    tokens = random.integers(3, pieces, (len(index), lengths.raw_length))
    corrupted = corruption.span_corrupt(
        tokens.astype(np.int32),
        index,
        lengths=lengths,
        sentinel_ids=vocabulary.sentinel_ids,
    )
    count = lengths.mlm_tokens
    return {
        **corrupted._asdict(),
        "mlm_positions": corruption.masked_lm_positions(
            corrupted.encoder_tokens,
            index,
            num_positions=count,
            ineligible_ids=vocabulary.special_ids,
        ),
        "mlm_uniforms": corruption.replacement_uniforms(index, count),
    }
