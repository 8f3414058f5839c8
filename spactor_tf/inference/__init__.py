"""Using a trained T5: decode, search, fill gaps, embed; presets on disk."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
