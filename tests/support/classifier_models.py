"""A random T5 for tests of classifiers."""

import functools

from spactor_tf.inference.pretrained import Pretrained
from spactor_tf.model import t5
from tests.support import testing


@functools.cache
def pretrained(dropout=0.1):
    config = testing.tiny_config(**{"model.dropout": dropout})
    backbone = t5.build_backbone(config.model)
    t5.reinitialize(
        backbone.variables, 0,
        head_dim=16, hidden_dim=config.model.hidden_dim,
    )  # fmt: skip
    return Pretrained(backbone, testing.vocabulary(), config)
