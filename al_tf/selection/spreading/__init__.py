"""Strategies on the neighbor lists and clusters that a pool has already."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
