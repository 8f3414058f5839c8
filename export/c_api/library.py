"""TensorFlow's C library: where it is, its functions, its errors."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
import pathlib
from collections.abc import Iterator

from runkit import InputError

# Pointers to objects of the library are plain addresses.
_POINTER, _TEXT, _INT, _SIZE = (
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_size_t,
)


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes that the library owns."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("free", ctypes.c_void_p),
    )


class Output(ctypes.Structure):
    """TF_Output: one output of an operation."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


# Function -> type of its result and of its arguments, from c_api.h, tf_tensor.h
# and tf_tstring.h. These take microseconds and keep Python's lock; giving it
# back and forth would cost more.
_QUICK = {
    "TF_NewStatus": (_POINTER,),
    "TF_DeleteStatus": (None, _POINTER),
    "TF_GetCode": (_INT, _POINTER),
    "TF_Message": (_TEXT, _POINTER),
    "TF_NewBuffer": (ctypes.POINTER(Buffer),),
    "TF_DeleteBuffer": (None, ctypes.POINTER(Buffer)),
    "TF_NewSessionOptions": (_POINTER,),
    "TF_SetConfig": (None, _POINTER, _TEXT, _SIZE, _POINTER),
    "TF_DeleteSessionOptions": (None, _POINTER),
    "TF_NewGraph": (_POINTER,),
    "TF_DeleteGraph": (None, _POINTER),
    "TF_GraphOperationByName": (_POINTER, _POINTER, _TEXT),
    "TF_AllocateTensor": (_POINTER, _INT, _POINTER, _INT, _SIZE),
    "TF_DeleteTensor": (None, _POINTER),
    "TF_TensorType": (_INT, _POINTER),
    "TF_NumDims": (_INT, _POINTER),
    "TF_Dim": (ctypes.c_int64, _POINTER, _INT),
    "TF_TensorByteSize": (_SIZE, _POINTER),
    "TF_TensorData": (_POINTER, _POINTER),
    "TF_StringInit": (None, _POINTER),
    "TF_StringCopy": (None, _POINTER, _TEXT, _SIZE),
    "TF_StringGetDataPointer": (_POINTER, _POINTER),
    "TF_StringGetSize": (_SIZE, _POINTER),
}
# These work; Python's other threads run meanwhile.
_LONG = {
    "TF_LoadLibrary": (_POINTER, _TEXT, _POINTER),
    "TF_LoadSessionFromSavedModel": (
        *(_POINTER, _POINTER, _POINTER, _TEXT, _POINTER, _INT),
        *(_POINTER, ctypes.POINTER(Buffer), _POINTER),
    ),
    "TF_SessionRun": (
        *(None, _POINTER, _POINTER),
        *(_POINTER, _POINTER, _INT),
        *(_POINTER, _POINTER, _INT),
        *(_POINTER, _INT, _POINTER, _POINTER),
    ),
    "TF_CloseSession": (None, _POINTER, _POINTER),
    "TF_DeleteSession": (None, _POINTER, _POINTER),
}
_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED"),
    *("NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED"),
    *("RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)


class TensorFlowError(RuntimeError):
    """What the library refuses or fails at.

    Args:
        code: number of the status.
        message: of the status.

    Attributes:
        code: its name, "INVALID_ARGUMENT" and so on.
        message: as given.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = _CODES[code] if code < len(_CODES) else "UNKNOWN"
        self.message = message


class Library:
    """The functions of the C library, as attributes under their names.

    Args:
        path: of the shared library.
    """

    def __init__(self, path: pathlib.Path):
        long = ctypes.CDLL(str(path))
        quick = ctypes.PyDLL(str(path))
        for library, functions in ((long, _LONG), (quick, _QUICK)):
            for name, (result, *arguments) in functions.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)

    def __getattr__(self, name: str) -> ctypes._FuncPointer:
        # For the type checker: all of them are set above.
        raise AttributeError(name)

    @contextlib.contextmanager
    def status(self) -> Iterator[int]:
        """Gives a TF_Status, and raises what a call has left in it.

        Raises:
            TensorFlowError: the status is not OK.
        """
        status = self.TF_NewStatus()
        try:
            yield status
            code = self.TF_GetCode(status)
            if code:
                text = self.TF_Message(status).decode("utf-8", "replace")
                raise TensorFlowError(code, text)
        finally:
            self.TF_DeleteStatus(status)


@functools.cache
def library() -> Library:
    """Returns TensorFlow's C library, loaded once.

    Raises:
        InputError: the installed TensorFlow has none.
    """
    # A package that is not imported: its own import is what is avoided.
    spec = importlib.util.find_spec("tensorflow")
    folders = (spec.submodule_search_locations if spec else None) or ()
    for folder in map(pathlib.Path, folders):
        # libtensorflow_cc.so.2, or .2.dylib.
        for path in sorted(folder.glob("libtensorflow_cc.*")):
            return Library(path)
    raise InputError(
        "no library libtensorflow_cc in the package",
        where="tensorflow",
        got=", ".join(folders) or "not installed",
        remedy="pip install 'tensorflow>=2.20' for Linux or macOS",
    )


@functools.cache
def load_op_library(path: str | os.PathLike) -> None:
    """Registers the ops of a shared library, once.

    Args:
        path: of the library.

    Raises:
        TensorFlowError: it cannot be loaded.
    """
    with library().status() as status:
        library().TF_LoadLibrary(os.fsencode(path), status)
