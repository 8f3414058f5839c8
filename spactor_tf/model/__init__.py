"""SpacTor's model: T5, generator, losses, the two stages, one training step."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
