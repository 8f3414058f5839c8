"""SavedModels that TF Serving loads: raw text in, plain tensors out.

Names load on first use, so that refusing a bad flag does not wait for
TensorFlow. `__init__.pyi` lists them.
"""

import lazy_loader

from runkit.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
