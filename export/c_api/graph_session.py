"""A session over the graph of a SavedModel."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from export.c_api.library import Output, library
from export.c_api.messages import message_class
from export.c_api.tensors import new_tensor, to_array
from runkit import InputError

_Pointers = Sequence[int]


_VARIABLES = "variables/variables.index"


def session_config() -> bytes:
    """Returns the serialized ConfigProto of a session that only serves.

    As TF Serving sets it, the session keeps no second copy of the graph, which
    nobody extends. Only what a signature runs is placed on devices; placing
    all signatures at once doubles the time to load. Idle threads sleep:
    TensorFlow lets them spin, which takes the processor from clients and from
    other requests, and made a short one cost up to 1.7 times as much.
    """
    config: Any = message_class("ConfigProto")()
    config.experimental.optimize_for_static_graph = True
    config.experimental.disable_output_partition_graphs = True
    config.experimental.disable_thread_spinning = True
    config.graph_options.place_pruned_graph = True
    return config.SerializeToString()


def _facts(
    path: pathlib.Path, meta_graph: bytes
) -> tuple[dict[str, Any], list[str]]:
    """Returns (signatures, ops) without the memory of the whole message."""
    whole: Any = message_class("MetaGraphDef").FromString(meta_graph)
    if whole.HasField("saver_def") and not (path / _VARIABLES).is_file():
        # The loader takes it for a model without variables.
        raise InputError("is missing", where=str(path / _VARIABLES))
    signatures = {}
    for name, signature in whole.signature_def.items():
        signatures[name] = message_class("SignatureDef")()
        signatures[name].CopyFrom(signature)
    ops = whole.meta_info_def.stripped_op_list.op
    return signatures, [op.name for op in ops]


class GraphSession:
    """The graph and the variables of a SavedModel; thread-safe.

    Args:
        path: directory of the version.
        tag: of the graph.

    Attributes:
        signatures: {name: SignatureDef}, see `export.c_api.messages`.
        ops: names of all op types that the graph and its functions use.

    Raises:
        TensorFlowError: the loader refuses it.
        InputError: its variables are missing, or TensorFlow has no C library.
    """

    def __init__(self, path: str | os.PathLike, tag: str = "serve"):
        lib = self._library = library()
        self._graph, self._session = lib.TF_NewGraph(), None
        self._running, self._idle = 0, threading.Condition()
        options, meta = lib.TF_NewSessionOptions(), lib.TF_NewBuffer()
        config = session_config()
        tags = (ctypes.c_char_p * 1)(tag.encode())
        try:
            with lib.status() as status:
                lib.TF_SetConfig(options, config, len(config), status)
            with lib.status() as status:
                self._session = lib.TF_LoadSessionFromSavedModel(
                    *(options, None, os.fsencode(path), tags, 1),
                    *(self._graph, meta, status),
                )
            found = ctypes.string_at(meta.contents.data, meta.contents.length)
            self.signatures, self.ops = _facts(pathlib.Path(path), found)
        except BaseException:
            self.close()
            raise
        finally:
            lib.TF_DeleteSessionOptions(options)
            lib.TF_DeleteBuffer(meta)

    def make_callable(
        self, outputs: Sequence[str], inputs: Sequence[tuple[str, int]]
    ) -> Callable[..., list[np.ndarray]]:
        """Returns a function from input arrays to output arrays.

        Args:
            outputs: names of tensors, "operation:0".
            inputs: (name, DataType) of tensors.

        Raises:
            InputError: the graph has no such operation.
        """
        wanted = (Output * len(outputs))(*map(self._output, outputs))
        fed = (Output * len(inputs))(*(self._output(n) for n, _ in inputs))

        def call(*arrays: np.ndarray) -> list[np.ndarray]:
            given: list[int] = []
            try:
                for array, (_, dtype) in zip(arrays, inputs, strict=True):
                    given.append(new_tensor(self._library, array, dtype))
                return self._run(fed, given, wanted)
            finally:
                for tensor in given:
                    self._library.TF_DeleteTensor(tensor)

        return call

    def _output(self, name: str) -> Output:
        operation, _, index = name.rpartition(":")
        found = self._library.TF_GraphOperationByName(
            self._graph, operation.encode()
        )
        if not found:
            raise InputError("no such tensor in the graph", got=name)
        return Output(found, int(index))

    def _run(
        self, fed: ctypes.Array, given: _Pointers, wanted: ctypes.Array
    ) -> list[np.ndarray]:
        lib = self._library
        values = (ctypes.c_void_p * len(given))(*given)
        answers = (ctypes.c_void_p * len(wanted))()
        try:
            with self._open_session() as session, lib.status() as status:
                lib.TF_SessionRun(
                    *(session, None, fed, values, len(given)),
                    *(wanted, answers, len(wanted), None, 0, None, status),
                )
            return [to_array(lib, answer or 0) for answer in answers]
        finally:
            for answer in filter(None, answers):
                lib.TF_DeleteTensor(answer)

    @contextlib.contextmanager
    def _open_session(self) -> Iterator[int]:
        """Gives the session, which is not freed until the end."""
        with self._idle:
            if self._session is None:
                raise RuntimeError("the session is closed")
            session = self._session
            self._running += 1
        try:
            yield session
        finally:
            with self._idle:
                self._running -= 1
                if not self._running:
                    self._idle.notify_all()

    def close(self) -> None:
        """Frees the variables and the graph; may be called again.

        Calls that run in other threads end first: the library frees what they
        still use.
        """
        lib = self._library
        with self._idle:
            session, graph = self._session, self._graph
            self._session = self._graph = None
            self._idle.wait_for(lambda: not self._running)
        if session is not None:
            with lib.status() as status:
                lib.TF_CloseSession(session, status)
            with lib.status() as status:
                lib.TF_DeleteSession(session, status)
        if graph is not None:
            lib.TF_DeleteGraph(graph)
