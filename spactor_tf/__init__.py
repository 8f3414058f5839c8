"""SpacTor pre-training of T5 (arXiv 2401.13160) on TensorFlow and Keras 3.

Names load on first use, so that reading a configuration or refusing a bad
flag does not wait for TensorFlow. `__init__.pyi` lists them.
"""

import lazy_loader

from runkit.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
