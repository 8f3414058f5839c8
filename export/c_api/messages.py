"""The protocol buffer messages that a session needs, by their wire format.

TensorFlow's own generated modules import all of TensorFlow. Here are the
fields that are read and written; a parsed message keeps the others, so that
its bytes are the same message for TensorFlow's classes.
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
)

# What has the fields of TensorFlow's message; its class is made at run time.
SignatureDef: TypeAlias = Any
TensorInfo: TypeAlias = Any
_PACKAGE = "spactor_al.c_api"
# Message -> field -> (number, type), from TensorFlow's meta_graph.proto,
# op_def.proto, saver.proto, tensor_shape.proto and config.proto.
# Enumerations are numbers.
_FIELDS = {
    "Dim": {"size": (1, "int64"), "name": (2, "string")},
    "TensorShape": {
        "dim": (2, "repeated Dim"),
        "unknown_rank": (3, "bool"),
    },
    "TensorInfo": {
        "name": (1, "string"),
        "dtype": (2, "int32"),
        "tensor_shape": (3, "TensorShape"),
    },
    "SignatureDef": {
        "inputs": (1, "map TensorInfo"),
        "outputs": (2, "map TensorInfo"),
        "method_name": (3, "string"),
    },
    "OpDef": {"name": (1, "string")},
    "OpList": {"op": (1, "repeated OpDef")},
    "MetaInfoDef": {"stripped_op_list": (2, "OpList")},
    "SaverDef": {"restore_op_name": (3, "string")},
    "MetaGraphDef": {
        "meta_info_def": (1, "MetaInfoDef"),
        "saver_def": (3, "SaverDef"),
        "signature_def": (5, "map SignatureDef"),
    },
    "GraphOptions": {"place_pruned_graph": (6, "bool")},
    "Experimental": {
        "disable_thread_spinning": (9, "bool"),
        "optimize_for_static_graph": (12, "bool"),
        "disable_output_partition_graphs": (14, "bool"),
    },
    "ConfigProto": {
        "graph_options": (10, "GraphOptions"),
        "experimental": (16, "Experimental"),
    },
}


def message_class(name: str) -> type[message.Message]:
    """Returns the class of a message, by its name in TensorFlow."""
    found = _pool().FindMessageTypeByName(f"{_PACKAGE}.{name}")
    return message_factory.GetMessageClass(found)


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}/messages.proto", package=_PACKAGE, syntax="proto3"
    )
    for message_name, fields in _FIELDS.items():
        described = file.message_type.add(name=message_name)
        for field_name, (number, kind) in fields.items():
            _add_field(described, field_name, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_field(
    owner: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str
) -> None:
    field = owner.field.add(name=name, number=number)
    field.label = field.LABEL_OPTIONAL
    how, _, kind = kind.rpartition(" ")
    if how:
        field.label = field.LABEL_REPEATED
    if how == "map":
        # The wire format of a map: entries with a key and a value.
        camel = "".join(map(str.title, name.split("_")))
        entry = owner.nested_type.add(name=f"{camel}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, kind)
        kind = f"{owner.name}.{entry.name}"
    scalar = getattr(field, f"TYPE_{kind.upper()}", None)
    field.type = field.TYPE_MESSAGE if scalar is None else scalar
    if scalar is None:
        field.type_name = f".{_PACKAGE}.{kind}"
