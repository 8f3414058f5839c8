"""A pool as the shards that the stages read."""

from __future__ import annotations

import pathlib

import numpy as np

from al_tf.distributed.stages.preparation import Shard

_SHARDS = 8


def write_shards(whole: np.ndarray, folder: str | pathlib.Path) -> list[Shard]:
    """Writes a pool as eight files, in the order of its rows.

    Args:
        whole: `[n, d]` float.
        folder: that takes the files.
    """
    shards = []
    for i, at in enumerate(np.array_split(np.arange(len(whole)), _SHARDS)):
        name = f"{folder}/part-{i}.npy"
        np.save(name, whole[at[0] : at[-1] + 1])
        shards.append(Shard(name, name, at))
    return shards
