"""The label loop: train, choose, label, train; oracles, labels, curves."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
