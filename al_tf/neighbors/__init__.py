"""Nearest neighbors: the interface, an exact index and ScaNN."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
