"""The protocol buffer messages of TF Serving that a version is written in."""

from __future__ import annotations

import functools
from types import ModuleType

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    wrappers_pb2,
)

from runkit import InputError

# Name -> (number, wrapper type or scalar type), from TF Serving's
# session_bundle_config.proto, which its Python package leaves out.
_BATCHING_FIELDS = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "allowed_batch_sizes": (6, "repeated int64"),
    "pad_variable_length_inputs": (7, "bool"),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}


def prediction_log_pb2() -> ModuleType:
    """Returns TF Serving's module of logged requests.

    Raises:
        InputError: tensorflow-serving-api is not installed.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2 as found
    except ImportError:
        raise InputError(
            "tensorflow-serving-api is not installed",
            where="export",
            remedy="pip install 'spactor-al[serving]'",
        ) from None
    return found


def model_server_config() -> message.Message:
    """Returns an empty ModelServerConfig message.

    Raises:
        InputError: tensorflow-serving-api is not installed.
    """
    prediction_log_pb2()  # Says what to install if it is missing.
    from tensorflow_serving.config import model_server_config_pb2

    return model_server_config_pb2.ModelServerConfig()


def batching_parameters() -> message.Message:
    """Returns an empty BatchingParameters message."""
    return _batching_class()()


@functools.cache
def _batching_class() -> type[message.Message]:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="spactor_al/batching.proto",
        package="spactor_al",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    described = file.message_type.add(name="BatchingParameters")
    for name, (number, kind) in _BATCHING_FIELDS.items():
        field = described.field.add(name=name, number=number)
        field.label = kinds.LABEL_OPTIONAL
        if kind == "repeated int64":
            field.type, field.label = kinds.TYPE_INT64, kinds.LABEL_REPEATED
        elif kind == "bool":
            field.type = kinds.TYPE_BOOL
        else:
            field.type = kinds.TYPE_MESSAGE
            field.type_name = f".google.protobuf.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName("spactor_al.BatchingParameters")
    return message_factory.GetMessageClass(found)
