"""SavedModels through the session loader, as TF Serving loads them.

A reload in Python (`tf.saved_model.load`) restores objects; servers restore a
graph and its variables. Only the latter shows whether a model can be served,
so all code of this package that runs an exported model uses this class. It
does not import TensorFlow's Python package, see `export.c_api`.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.c_api.graph_session import GraphSession
from export.c_api.library import TensorFlowError, load_op_library
from export.c_api.tensors import STRING, cast_numbers, numpy_type, type_name
from export.saved_model.versions import MODEL_CARD
from runkit import InputError, closest

# In the package of TensorFlow Text, whose own import would load Keras: 110 MiB
# and a second that no server needs.
_TOKENIZER_OPS = "python/ops/_sentencepiece_tokenizer.so"


class SessionModel:
    """A SavedModel whose signatures are called by name; thread-safe.

    Args:
        path: directory of one version.

    Attributes:
        path: the same.
        signatures: {name: SignatureDef}, with the fields of TensorFlow's
            message and its bytes, but of a class of `export.c_api.messages`.

    Raises:
        InputError: the directory is not a SavedModel, or the loader refuses
            it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        if not (self.path / "saved_model.pb").is_file():
            below = sorted(self.path.glob("*/saved_model.pb"))
            raise InputError(
                "is not a SavedModel"
                if self.path.is_dir()
                else "no such directory",
                where=str(path),
                expected="the directory of one version, with saved_model.pb",
                remedy=f"Did you mean {below[-1].parent}?" if below else "",
            )
        _load_tokenizer_ops()
        _load_custom_ops(self.path)
        session: GraphSession | None = None
        try:
            session = self._session = GraphSession(path)
            self.signatures: dict[str, Any] = {
                name: signature
                for name, signature in self._session.signatures.items()
                if not name.startswith("__")
            }
            self._calls = {
                name: self._session.make_callable(
                    [known.outputs[key].name for key in sorted(known.outputs)],
                    [
                        (known.inputs[key].name, known.inputs[key].dtype)
                        for key in sorted(known.inputs)
                    ],
                )
                for name, known in self.signatures.items()
            }
        except (TensorFlowError, OSError, ValueError) as error:
            if session is not None:  # Python frees nothing of the library.
                session.close()
            raise InputError(
                f"cannot be served: {str(error)[:300]}", where=str(path)
            ) from None

    def ops(self) -> list[str]:
        """Names of all op types that the graph and its functions use."""
        return self._session.ops

    def check_inputs(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Returns the inputs as arrays of the signature's types.

        Args:
            signature: its name.
            inputs: {input name: array or list}.

        Raises:
            InputError: an unknown signature or input name (the message gives
                the nearest known one), a wrong type or shape, or inputs of
                different lengths.
        """
        if signature not in self.signatures:
            raise InputError(
                "unknown signature",
                where="request",
                got=signature,
                remedy=closest(signature, self.signatures),
            )
        known = self.signatures[signature].inputs
        for name in set(inputs) ^ set(known):
            raise InputError(
                "unknown input" if name in inputs else "an input is missing",
                where=f"signature {signature}",
                got=name,
                remedy=closest(name, known) if name in inputs else "",
            )
        arrays = {
            name: _as_array(inputs[name], info, name)
            for name, info in known.items()
        }
        if len({len(array) for array in arrays.values()}) > 1:
            raise InputError(
                "inputs differ in their first dimension",
                where=f"signature {signature}",
                got={k: len(v) for k, v in arrays.items()},
            )
        return arrays

    def run(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: its name.
            inputs: {input name: array or list}, e.g. {"text": ["a", "b"]}.

        Returns:
            {output name: array}; texts are bytes in object arrays.

        Raises:
            InputError: from `check_inputs`.
        """
        return self.run_checked(signature, self.check_inputs(signature, inputs))

    def run_checked(
        self, signature: str, arrays: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Runs a signature on arrays from `check_inputs`; see `run`."""
        outputs = self._calls[signature](*[arrays[k] for k in sorted(arrays)])
        names = sorted(self.signatures[signature].outputs)
        return dict(zip(names, outputs, strict=True))

    def close(self) -> None:
        """Frees the graph's variables."""
        self._session.close()


def _load_tokenizer_ops() -> None:
    """Registers the ops of `tensorflow_text` that exports use."""
    spec = importlib.util.find_spec("tensorflow_text")
    folders = spec.submodule_search_locations if spec else None
    for folder in map(pathlib.Path, folders or ()):
        if (folder / _TOKENIZER_OPS).is_file():
            load_op_library(str(folder / _TOKENIZER_OPS))
            return
    import tensorflow_text  # noqa: F401, registers all of its ops


def _load_custom_ops(path: pathlib.Path) -> None:
    """Registers ScaNN's ops if the model card says that they are used."""
    card = path / MODEL_CARD
    if not card.is_file() or b"Scann>" not in card.read_bytes():
        return
    try:
        from scann.scann_ops.py import scann_ops  # noqa: F401
    except ImportError:
        raise InputError(
            "needs ScaNN's ops",
            where=str(path),
            remedy="pip install 'spactor-al[scann]'",
        ) from None


def _as_array(value: Any, info: Any, name: str) -> np.ndarray:
    """Converts one input; refuses what TensorFlow could not be fed."""
    dtype = numpy_type(info.dtype)
    is_text = info.dtype == STRING
    try:
        array = np.asarray(value, object if is_text else None)
        if is_text:
            # Lone surrogates come from JSON escapes; no UTF-8 can hold them.
            flat = [
                item.encode("utf-8", "replace")
                if isinstance(item, str)
                else item
                for item in array.ravel()
            ]
            if not all(isinstance(item, bytes) for item in flat):
                raise TypeError("neither text nor bytes")
            array = np.array(flat, object).reshape(array.shape)
        else:
            array = cast_numbers(array, dtype)
    except OverflowError as error:
        raise InputError(
            "has a number out of the type's range",
            where=f"input {name}",
            got=error.args[0],
            expected=dtype.name,
        ) from None
    except (TypeError, ValueError):
        raise InputError(
            "has the wrong type",
            where=f"input {name}",
            got=value,
            expected=type_name(info.dtype),
        ) from None
    shape = info.tensor_shape
    sizes = tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)
    fits = len(sizes) == array.ndim and all(
        size in (None, found)
        for size, found in zip(sizes, array.shape, strict=True)
    )
    if not (fits or shape.unknown_rank):
        raise InputError(
            "has the wrong shape",
            where=f"input {name}",
            got=array.shape,
            expected=str(sizes),
        )
    return array
