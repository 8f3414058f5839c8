"""Selection in a notebook, and in the protocols of other libraries.

`al_tf.protocols.skactiveml` needs scikit-activeml and
`al_tf.protocols.small_text` needs small-text, so they are imported by name.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
