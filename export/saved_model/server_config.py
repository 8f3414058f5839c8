"""The two text files that a TF Serving command line points to."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from export.saved_model.records import serving_apis
from runkit import InputError

MODELS = "models.config"
BATCHING = "batching.config"
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
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


def batching_parameters() -> Any:
    """Returns an empty BatchingParameters message."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="spactor_al/batching.proto",
        package="spactor_al",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    for name, (number, kind) in _BATCHING_FIELDS.items():
        field = message.field.add(name=name, number=number)
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
    return message_factory.GetMessageClass(found)()


def models_message() -> Any:
    """Returns an empty ModelServerConfig message."""
    serving_apis()  # Says what to install where it is missing.
    from tensorflow_serving.config import model_server_config_pb2

    return model_server_config_pb2.ModelServerConfig()


def write_configs(folder: pathlib.Path, name: str) -> None:
    """Writes models.config and batching.config.

    Args:
        folder: of the version.
        name: of the model, served from /models/NAME as in TF Serving's
            container.
    """
    models = models_message()
    models.model_config_list.config.add(
        name=name, base_path=f"/models/{name}", model_platform="tensorflow"
    )
    batching = batching_parameters()
    batching.max_batch_size.value = _BATCH_SIZES[-1]
    batching.batch_timeout_micros.value = 2000
    batching.max_enqueued_batches.value = 100
    batching.num_batch_threads.value = os.cpu_count() or 1
    # A batch is padded up to the next of these.
    batching.allowed_batch_sizes.extend(_BATCH_SIZES)
    for file, message in ((MODELS, models), (BATCHING, batching)):
        (folder / file).write_text(text_format.MessageToString(message))


def check_configs(folder: pathlib.Path) -> None:
    """Parses both files and checks the batch sizes.

    Raises:
        InputError: a file is missing, has an unknown field, or batch sizes
            that TF Serving refuses.
    """
    models = _parse(folder / MODELS, models_message())
    if not models.model_config_list.config:
        raise InputError("names no model", where=str(folder / MODELS))
    batching = _parse(folder / BATCHING, batching_parameters())
    sizes = list(batching.allowed_batch_sizes)
    most = batching.max_batch_size.value
    if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != most):
        raise InputError(
            "must ascend and end with max_batch_size",
            where=f"{folder / BATCHING}: allowed_batch_sizes",
            got=sizes,
            expected=f"..., {most}",
        )


def _parse(path: pathlib.Path, message: Any) -> Any:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except text_format.ParseError as error:
        raise InputError(f"is wrong ({error})", where=str(path)) from None
