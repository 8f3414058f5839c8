"""SavedModels run by TensorFlow's C library, without its Python package.

`import tensorflow` takes seconds and 300 MiB more than the library itself, most
of it for what trains models: Keras, data pipelines, distribution. The C API
(`tensorflow/c/c_api.h`) lies in the same wheel and is under TensorFlow's
promise of compatibility. Both may be used in one process: they share the
library, its ops and its threads.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
