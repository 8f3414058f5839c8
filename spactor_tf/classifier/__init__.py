"""A classifier of the user's own labeled texts on a pre-trained encoder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
