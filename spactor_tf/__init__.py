"""SpacTor pre-training of T5 (arXiv 2401.13160) on TensorFlow and Keras 3.

Names below load on first use, so that reading a configuration or refusing a
bad flag does not wait for TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

from runkit.version import __version__

_HOME = {
    "Adafactor": "spactor_tf.adafactor",
    "FinetuneConfig": "spactor_tf.finetune_config",
    "PRESETS": "spactor_tf.presets",
    "Predictor": "spactor_tf.evaluation",
    "PretrainConfig": "spactor_tf.config",
    "SpactorPretrainer": "spactor_tf.pretrainer",
    "Vocabulary": "spactor_tf.vocabulary",
    "get_preset": "spactor_tf.presets",
    "load_pretrained": "spactor_tf.pretrained",
    "prepare_corpus": "spactor_tf.corpus",
    "pretrain": "spactor_tf.training",
    "train_vocabulary": "spactor_tf.vocabulary",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
