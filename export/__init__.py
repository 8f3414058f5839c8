"""SavedModels that TF Serving loads: raw text in, plain tensors out.

Names below load on first use, so that refusing a bad flag does not wait for
TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

from runkit.version import __version__

_HOME = {
    "Client": "export.client",
    "PoolScores": "export.scorer",
    "ServingModule": "export.serving",
    "ServingOptions": "export.options",
    "SessionModel": "export.session",
    "export_neighbor_index": "export.neighbor_index",
    "export_saved_model": "export.saved_model",
    "score_pool": "export.scorer",
    "verify_saved_model": "export.verify",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
