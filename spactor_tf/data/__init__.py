"""From text to batches: sources, vocabulary, tokens on disk, corruption."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
