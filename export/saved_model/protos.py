"""The protocol buffer messages of TF Serving that a version is written in."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    wrappers_pb2,
)

from runkit import InputError

# Message -> field -> (number, type), from TF Serving's
# session_bundle_config.proto and monitoring_config.proto, which its Python
# package leaves out.
_FIELDS = {
    "BatchingParameters": {
        "max_batch_size": (1, "Int64Value"),
        "batch_timeout_micros": (2, "Int64Value"),
        "max_enqueued_batches": (3, "Int64Value"),
        "num_batch_threads": (4, "Int64Value"),
        "thread_pool_name": (5, "StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, "BoolValue"),
        "max_execution_batch_size": (9, "Int64Value"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
}
_PACKAGE = "spactor_al"
_TF_SERVING = "tensorflow.serving"
# Service -> method -> (module of its messages, message before "Request" and
# "Response"), from prediction_service.proto and model_service.proto, whose
# generated modules current protobuf releases cannot import.
_SERVICES = {
    "PredictionService": {
        "Classify": ("classification_pb2", "Classification"),
        "Regress": ("regression_pb2", "Regression"),
        "Predict": ("predict_pb2", "Predict"),
        "MultiInference": ("inference_pb2", "MultiInference"),
        "GetModelMetadata": ("get_model_metadata_pb2", "GetModelMetadata"),
    },
    "ModelService": {
        "GetModelStatus": ("get_model_status_pb2", "GetModelStatus"),
        "HandleReloadConfigRequest": ("model_management_pb2", "ReloadConfig"),
    },
}
SERVICES = tuple(f"{_TF_SERVING}.{name}" for name in _SERVICES)


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


def service_pool() -> descriptor_pool.DescriptorPool:
    """Returns a pool that describes `SERVICES` and all their messages.

    Raises:
        InputError: tensorflow-serving-api is not installed.
    """
    prediction_log_pb2()  # Says what to install if it is missing.
    pool = descriptor_pool.DescriptorPool()
    for service, methods in _SERVICES.items():
        file = descriptor_pb2.FileDescriptorProto(
            name=f"{_PACKAGE}/{service}.proto",
            package=_TF_SERVING,
            syntax="proto3",
        )
        described = file.service.add(name=service)
        for method, (module, prefix) in methods.items():
            messages = importlib.import_module(
                f"tensorflow_serving.apis.{module}"
            ).DESCRIPTOR
            _add_file(pool, messages)
            if messages.name not in file.dependency:
                file.dependency.append(messages.name)
            described.method.add(
                name=method,
                input_type=f".{_TF_SERVING}.{prefix}Request",
                output_type=f".{_TF_SERVING}.{prefix}Response",
            )
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_file(pool: descriptor_pool.DescriptorPool, file: Any) -> None:
    """Adds a file after those that it needs."""
    for needed in file.dependencies:
        _add_file(pool, needed)
    pool.AddSerializedFile(file.serialized_pb)


def batching_parameters() -> message.Message:
    """Returns an empty BatchingParameters message."""
    return _message_class("BatchingParameters")()


def monitoring_config() -> message.Message:
    """Returns an empty MonitoringConfig message."""
    return _message_class("MonitoringConfig")()


@functools.cache
def _message_class(name: str) -> type[message.Message]:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}/serving.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message_name, fields in _FIELDS.items():
        described = file.message_type.add(name=message_name)
        for field_name, (number, kind) in fields.items():
            _describe(described.field.add(name=field_name, number=number), kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    return message_factory.GetMessageClass(found)


def _describe(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    field.label = field.LABEL_OPTIONAL
    if kind == "repeated int64":
        field.type, field.label = field.TYPE_INT64, field.LABEL_REPEATED
    elif kind == "bool":
        field.type = field.TYPE_BOOL
    elif kind == "string":
        field.type = field.TYPE_STRING
    else:
        package = _PACKAGE if kind in _FIELDS else "google.protobuf"
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{package}.{kind}"
