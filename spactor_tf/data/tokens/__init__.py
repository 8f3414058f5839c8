"""Tokenized corpora: prepared once, read in large pieces inside the graph."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
