"""What people see of an example: its text, or an image."""

from __future__ import annotations

import base64
import io
import pathlib
from typing import BinaryIO, cast

import numpy as np

from al_tf.pools.pool import Examples
from runkit import InputError, atomic_write


def shown_inputs(folder: pathlib.Path, batch: Examples) -> list[str]:
    """Texts; names of PNG files, which are written; nothing of embeddings.

    Args:
        folder: where the folder `images` is.
        batch: the examples.
    """
    if batch.kind == "text":
        return list(batch.inputs)
    if batch.kind == "embedding":
        return [""] * len(batch)
    names = []
    for row, pixels in zip(batch.rows, batch.inputs, strict=True):
        names.append(f"images/{row}.png")
        path = folder / names[-1]
        if not path.exists():
            with atomic_write(path, "wb") as handle:
                handle.write(png(pixels))
    return names


def embedded_inputs(batch: Examples) -> list[str]:
    """Texts, or images as data URIs, for tools that cannot read our files.

    Raises:
        InputError: embeddings, of which nothing can be shown.
    """
    if batch.kind == "embedding":
        raise InputError(
            "nothing can be shown of embeddings",
            where="--tool",
            expected="a pool of texts or images, or --tool=csv",
        )
    if batch.kind == "text":
        return list(batch.inputs)
    return [
        f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"
        for pixels in batch.inputs
    ]


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of `[height, width, channels]` uint8."""
    from matplotlib import image as images

    # One channel is gray: three equal ones show it as it is.
    shown = pixels if pixels.shape[-1] == 3 else pixels[..., [0, 0, 0]]
    buffer = io.BytesIO()
    images.imsave(cast(BinaryIO, buffer), shown, format="png")
    return buffer.getvalue()
