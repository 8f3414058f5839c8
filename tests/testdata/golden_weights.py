"""Weights of the T5 golden models, by formula: the files hold outputs only.

Read by make_golden.py (PyTorch) and by t5_test.py (TensorFlow). NumPy promises
that a bit generator's raw stream never changes, so both see the same numbers.
"""

import zlib

import numpy as np

VOCABULARY_SIZE = 211
HIDDEN_DIM = 64
INTERMEDIATE_DIM = 96
NUM_HEADS = 4
NUM_LAYERS = 3

# What differs between the three models.
MODELS = {
    "v1_0": {
        "activation": "relu",
        "tie_embeddings": True,
        "key_value_dim": 16,
    },
    "v1_1": {
        "activation": "gated_gelu",
        "tie_embeddings": False,
        "key_value_dim": 16,
    },
    # heads * key_value_dim != hidden_dim, as in T5's small v1.1 and 3B.
    "v1_1_wide_heads": {
        "activation": "gated_gelu",
        "tie_embeddings": False,
        "key_value_dim": 24,
    },
}


def uniform(name, shape):
    """Numbers in [-1, 1), a function of `name` alone, exact in float32."""
    seed = zlib.crc32(name.encode())
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape, dtype=np.int64)))
    top = (raw >> np.uint64(40)).astype(np.float64)
    return (top / 2**23 - 1).reshape(shape).astype(np.float32)


def weight(name, shape):
    """The parameter that Hugging Face calls `name`, shaped as there.

    The standard deviations are those of T5's initialisation, so that all
    activations stay near one; norms and biases are away from their defaults,
    so that a forgotten one shows.
    """
    if len(shape) == 1:
        return (1 + 0.3 * uniform(name, shape)).astype(np.float32)
    if "relative_attention_bias" in name or name == "shared.weight":
        deviation = 1.0
    elif name.endswith(".q.weight"):
        # [heads * key_value_dim, hidden_dim]; T5 folds the scale into q.
        deviation = (shape[1] * shape[0] / NUM_HEADS) ** -0.5
    else:
        deviation = shape[1] ** -0.5  # fan in; torch keeps [out, in]
    uniform_with_unit_deviation = 3**0.5 * uniform(name, shape)
    return (deviation * uniform_with_unit_deviation).astype(np.float32)
