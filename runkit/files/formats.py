"""NumPy arrays and JSON as whole files."""

from __future__ import annotations

import collections
import json
import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from typing import IO, Any

from runkit.errors import InputError
from runkit.files.atomic import atomic_write
from runkit.files.storage import StorageError, open_bytes

# What NumPy and zipfile raise about damaged files of arrays.
DAMAGED_ARRAYS = (
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,  # Encrypted, or packed in a way that nobody unpacks.
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,  # By headers of version 1.
    zipfile.BadZipFile,
    zlib.error,
)


class _Plain:
    """A file whose descriptor `numpy` cannot see."""

    def __init__(self, handle: IO[bytes]):
        self.write = handle.write


def write_npy(path: str | os.PathLike, array: Any) -> None:
    """Writes an `.npy` file, atomically.

    Raises:
        OSError: with its number; numpy's own way of writing to files does not
            tell a full disk from other errors.
    """
    import numpy as np

    with atomic_write(path, "wb") as handle:
        np.lib.format.write_array(
            _Plain(handle), np.asarray(array), allow_pickle=False
        )


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON with sorted keys, atomically."""
    with atomic_write(path) as handle:
        json.dump(value, handle, indent=2, sort_keys=True)
        handle.write("\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file.

    Args:
        path: local, or of an object.

    Raises:
        InputError: the file is missing or is not JSON, is nested too deeply,
            or gives a name two values.
        StorageError: object storage does not answer.
    """
    try:
        with open_bytes(path) as handle:
            text = handle.read().decode("utf-8")
        return json.loads(text, object_pairs_hook=unique_names)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except StorageError:
        raise
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror or error})", where=str(path)
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", where=str(path)) from None


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object; Python would take the last of two values in silence."""
    value = dict(pairs)
    if len(value) < len(pairs):
        count = collections.Counter(name for name, _ in pairs)
        raise ValueError(f"names {count.most_common(1)[0][0]!r} twice")
    return value
