"""What a run will take, before it runs: memory, FLOPs, tokens, hours."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
