"""The command line of a pre-training run that takes seconds."""

import sys

_FIELDS = (
    "model.vocabulary_size=512",
    "model.num_layers=1",
    "model.hidden_dim=64",
    "corruption.input_length=32",
    "data.holdout_fraction=0.2",
    "model.dropout=0.1",
    "runtime.eval_batches=1",
)


def command(**flags):
    """Returns it; `flags` are those of `spactor_tf.pretrain_main`."""
    flags = {"batch_size": 4, "log_every": 7, **flags}
    return [
        *(sys.executable, "-m", "spactor_tf.pretrain_main"),
        *(f"--{name}={value}" for name, value in flags.items()),
        *(f"--set={field}" for field in _FIELDS),
    ]
