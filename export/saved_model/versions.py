"""A served model on disk: names of versions, of their files and signatures."""

from __future__ import annotations

import pathlib
import re

# Files of one version, in addition to TensorFlow's own.
MODEL_CARD = "model_card.json"
MODELS_CONFIG = "models.config"
BATCHING_CONFIG = "batching.config"
WARM_UP = "assets.extra/tf_serving_warmup_requests"
VERIFICATION = "assets.extra/verification_requests"

# TF Serving answers with this signature where a request names none. It has
# the graph of another signature: `embed` where there is one.
DEFAULT_SIGNATURE = "serving_default"
# How a signature for the Classify call is marked, and the one that exports
# have.
CLASSIFY_METHOD = "tensorflow/serving/classify"
CLASSIFY_SIGNATURE = "classify_examples"


def next_version(output_dir: pathlib.Path) -> int:
    """Returns one more than the newest version; 1 where there is none."""
    return max(list_versions(output_dir), default=0) + 1


def list_versions(output_dir: pathlib.Path) -> list[int]:
    """Returns the versions in a base path, ascending, as servers read them."""
    if not output_dir.is_dir():
        return []
    names = (path.name for path in output_dir.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"\d+", name))
