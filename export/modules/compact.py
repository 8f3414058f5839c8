"""The same functions in fewer nodes.

Tracing writes a constant for each number, and the shape of a tensor for each
op that asks for it: half of the nodes of a text model. Every server finds that
out again when it loads a version and when a signature is first called, by
passes over all nodes. Done once at export, both take about half as long and
less memory.
"""

from __future__ import annotations

import pathlib
from collections.abc import Hashable, Mapping

from tensorflow.core.framework import function_pb2, node_def_pb2
from tensorflow.core.protobuf import (
    config_pb2,
    rewriter_config_pb2,
    saved_model_pb2,
)

from runkit import atomic_write

# Ops of constants and shapes, whose results are functions of their inputs and
# attributes alone.
_PURE = frozenset(
    (
        *("Const", "Shape", "Size", "StridedSlice", "Pack", "ExpandDims"),
        *("Cast", "Range", "AddV2", "Sub", "Mul", "Minimum", "Prod"),
        *("GatherV2", "ConcatV2"),
    )
)
# How a called function is optimized; and what only trainings on GPUs gain by,
# but which takes 4 MiB for a T5: moving tensors out of the device's memory.
_CONFIG = "config_proto"
_NO_SWAPPING = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
# What tracing inferred of shapes; loaders infer it themselves.
_INFERRED = "_output_shapes"
_FINGERPRINT = "fingerprint.pb"


def compact_saved_model(folder: pathlib.Path) -> None:
    """Rewrites the graph of a SavedModel that was just saved.

    Args:
        folder: of the version.
    """
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta in saved.meta_graphs:
        for node in meta.graph_def.node:
            node.attr.pop(_INFERRED, None)
            if _CONFIG in node.attr:
                value = node.attr[_CONFIG]
                config = config_pb2.ConfigProto.FromString(value.s)
                rewrites = config.graph_options.rewrite_options
                rewrites.memory_optimization = _NO_SWAPPING
                value.s = config.SerializeToString(deterministic=True)
        for function in meta.graph_def.library.function:
            compact_function(function)
    with atomic_write(path, "wb") as handle:
        handle.write(saved.SerializeToString(deterministic=True))
    # It would be that of another graph; loaders do without.
    (folder / _FINGERPRINT).unlink(missing_ok=True)


def compact_function(function: function_pb2.FunctionDef) -> None:
    """Merges equal nodes of a function, in place.

    Args:
        function: its name, arguments and results stay.
    """
    for node in function.node_def:
        node.attr.pop(_INFERRED, None)
    for argument in function.arg_attr.values():
        argument.attr.pop(_INFERRED, None)
    merged = True
    while merged:  # Equal inputs make further nodes equal.
        merged = _merge_once(function)


def _merge_once(function: function_pb2.FunctionDef) -> bool:
    first: dict[Hashable, str] = {}
    same: dict[str, str] = {}
    apart = _kept_apart(function)
    for node in function.node_def:
        if node.op in _PURE and node.name not in apart:
            attributes = sorted(
                (key, value.SerializeToString(deterministic=True))
                for key, value in node.attr.items()
            )
            key = (node.op, node.device, *node.input, *attributes)
            name = first.setdefault(key, node.name)
            if name != node.name:
                same[node.name] = name
    if not same:
        return False
    nodes = [
        node_def_pb2.NodeDef.FromString(node.SerializeToString())
        for node in function.node_def
        if node.name not in same
    ]
    for node in nodes:
        node.input[:] = [_renamed(name, same) for name in node.input]
    for name, result in function.ret.items():
        function.ret[name] = _renamed(result, same)
    del function.node_def[:]
    function.node_def.extend(nodes)
    return True


def _kept_apart(function: function_pb2.FunctionDef) -> set[str]:
    """Names of nodes that may not be merged.

    An op that writes in place may write into its input's memory, directly or
    in a function that it is given to. What others wait for stays, too.
    """
    apart = set(function.control_ret.values())
    for node in function.node_def:
        calls = any(
            value.HasField("func") or value.list.func
            for value in node.attr.values()
        )
        if calls or node.op.startswith("Inplace"):
            apart.update(map(_node_of, node.input))
        controls = [name for name in node.input if name.startswith("^")]
        apart.update(map(_node_of, controls))
        if controls:
            apart.add(node.name)
    return apart


def _node_of(name: str) -> str:
    """The node of an input: "node:output:0", or "^node" to wait for."""
    return name.removeprefix("^").partition(":")[0]


def _renamed(name: str, same: Mapping[str, str]) -> str:
    node, colon, output = name.partition(":")
    return same.get(node, node) + colon + output
