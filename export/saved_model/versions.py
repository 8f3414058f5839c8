"""A served model on disk: names of versions, of their files and signatures."""

from __future__ import annotations

import pathlib
import re

# Files of one version, in addition to TensorFlow's own.
MODEL_CARD = "model_card.json"
WARM_UP = "assets.extra/tf_serving_warmup_requests"
VERIFICATION = "assets.extra/verification_requests"

# Files of a server's command line, beside the versions.
MODELS_CONFIG = "models.config"
BATCHING_CONFIG = "batching.config"
MONITORING_CONFIG = "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"

# Limits of the exported configuration and, by default, of the development
# server: rows of one call of the model, and rows of one request, which is run
# in calls of at most so many rows.
LARGEST_BATCH = 64
MOST_REQUEST_ROWS = 1 << 16

# TF Serving answers with this signature where a request names none. It has
# the graph of another signature: `embed` where there is one.
DEFAULT_SIGNATURE = "serving_default"
# How signatures for the Classify and Regress calls are marked, and the one
# that exports have.
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
CLASSIFY_SIGNATURE = "classify_examples"


def next_version(output_dir: pathlib.Path) -> int:
    """Returns one more than the newest version; 1 where there is none."""
    return max(list_versions(output_dir), default=0) + 1


def list_versions(output_dir: pathlib.Path) -> list[int]:
    """Returns the versions in a base path, ascending, as servers read them."""
    return sorted(version_paths(output_dir))


def version_paths(output_dir: pathlib.Path) -> dict[int, pathlib.Path]:
    """Returns {version: its directory}, as servers read a base path.

    A name may have zeros in front (`00000123` is version 123). Of two names of
    one number the shorter counts.
    """
    if not output_dir.is_dir():
        return {}
    found = [
        path
        for path in output_dir.iterdir()
        if re.fullmatch(r"[0-9]+", path.name) and path.is_dir()
    ]
    found.sort(key=lambda path: len(path.name), reverse=True)
    numbered = ((int(path.name), path) for path in found)
    return {number: path for number, path in numbered if number < 2**63}
