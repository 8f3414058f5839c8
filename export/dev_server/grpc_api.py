"""TF Serving's gRPC API on its official stubs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from export.c_api.messages import SignatureDef
from export.c_api.tensors import type_name
from export.dev_server import inference
from export.dev_server.errors import ServiceError
from export.dev_server.service import DevService, ModelSpec
from export.dev_server.tensors import tensor_value, typed_proto
from export.saved_model.protos import SERVICES, service_pool
from export.servables.model_config import read_configs
from export.servables.model_manager import LabelRefused, NotAvailable
from export.servables.model_store import Stopping
from runkit import InputError

_SIGNATURE_DEF = "signature_def"


def add_services(
    server: grpc.Server, service: DevService
) -> Callable[[bool], None]:
    """Adds TF Serving's services, health and reflection to a gRPC server.

    Returns:
        A function that tells health checks whether the models are served.
    """
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _Prediction(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        _Model(service), server
    )
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    pool = service_pool()
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    reflection.enable_server_reflection(
        (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME),
        server,
        pool,
    )

    def set_serving(serving: bool) -> None:
        state = health_pb2.HealthCheckResponse
        # TF Serving knows its services by their short names.
        for name in ("", *SERVICES, *(n.split(".")[-1] for n in SERVICES)):
            checks.set(name, state.SERVING if serving else state.NOT_SERVING)

    set_serving(False)
    return set_serving


def _answering(method: Callable) -> Callable:
    """Turns a ServiceError into its status.

    Inference is counted under the method's name, as TF Serving does. The
    method is called with the request and the seconds left to answer it.
    """
    name = method.__name__
    counted = name in ("Predict", "Classify", "Regress")

    @functools.wraps(method)
    def answer(
        self: _Prediction | _Model, request: Any, context: grpc.ServicerContext
    ) -> Any:
        try:
            if not counted:
                return method(self, request, context.time_remaining())
            model = request.model_spec.name
            with self.service.counted(model, name, "GRPC"):
                if not request.HasField("model_spec"):
                    raise ServiceError("INVALID_ARGUMENT", "Missing ModelSpec")
                return method(self, request, context.time_remaining())
        except ServiceError as error:
            code = getattr(grpc.StatusCode, error.code)
            return context.abort(code, error.message)

    return answer


def _spec(proto: model_pb2.ModelSpec) -> ModelSpec:
    return ModelSpec(
        proto.name,
        proto.version.value if proto.HasField("version") else None,
        proto.version_label,
        proto.signature_name,
    )


def _inputs(
    request: predict_pb2.PredictRequest, signature: SignatureDef
) -> dict[str, np.ndarray]:
    """Returns the arrays of a request.

    Raises:
        ServiceError: a malformed tensor, or another type than the signature's,
            which TensorFlow would not convert.
    """
    found = {}
    for name, proto in request.inputs.items():
        found[name] = tensor_value(proto)
        known = signature.inputs.get(name)
        if known is not None and proto.dtype != known.dtype:
            raise ServiceError(
                "INVALID_ARGUMENT",
                f"input {name}: expects {type_name(known.dtype)} but "
                f"{type_name(proto.dtype)} is provided",
            )
    return found


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: DevService):
        self.service = service

    @_answering
    def Predict(
        self, request: predict_pb2.PredictRequest, timeout: float | None
    ) -> predict_pb2.PredictResponse:
        spec = _spec(request.model_spec)
        version, outputs = self.service.predict(
            spec,
            functools.partial(_inputs, request),
            timeout,
            request.output_filter,
        )
        response = predict_pb2.PredictResponse()
        _fill(response.model_spec, spec, version)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(typed_proto(value))
        return response

    @_answering
    def Classify(
        self,
        request: classification_pb2.ClassificationRequest,
        timeout: float | None,
    ) -> classification_pb2.ClassificationResponse:
        spec = _spec(request.model_spec)
        version, result = inference.classify(
            self.service, spec, request.input, timeout
        )
        response = classification_pb2.ClassificationResponse(result=result)
        _fill(response.model_spec, spec, version)
        return response

    @_answering
    def Regress(
        self, request: regression_pb2.RegressionRequest, timeout: float | None
    ) -> regression_pb2.RegressionResponse:
        spec = _spec(request.model_spec)
        version, result = inference.regress(
            self.service, spec, request.input, timeout
        )
        response = regression_pb2.RegressionResponse(result=result)
        _fill(response.model_spec, spec, version)
        return response

    @_answering
    def MultiInference(
        self,
        request: inference_pb2.MultiInferenceRequest,
        timeout: float | None,
    ) -> inference_pb2.MultiInferenceResponse:
        tasks = [
            (_spec(task.model_spec), task.method_name) for task in request.tasks
        ]
        response = inference_pb2.MultiInferenceResponse()
        results = inference.multi_inference(
            self.service, tasks, request.input, timeout
        )
        for (spec, _), (version, result) in zip(tasks, results, strict=True):
            _fill(result.model_spec, spec, version)
            response.results.append(result)
        return response

    @_answering
    def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        timeout: float | None,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        del timeout
        if not request.HasField("model_spec"):
            raise ServiceError("INVALID_ARGUMENT", "Missing ModelSpec")
        if not request.metadata_field:
            raise ServiceError(
                "INVALID_ARGUMENT",
                "GetModelMetadataRequest must specify at least one "
                "metadata_field",
            )
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise ServiceError(
                    "INVALID_ARGUMENT",
                    f"Metadata field {field[:100]} is not supported",
                )
        spec = _spec(request.model_spec)
        version, signatures = self.service.signatures(spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = version
        packed = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in signatures.items():
            packed.signature_def[name].MergeFromString(
                signature.SerializeToString()
            )
        response.metadata[_SIGNATURE_DEF].Pack(packed)
        return response


class _Model(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: DevService):
        self.service = service

    @_answering
    def GetModelStatus(
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        timeout: float | None,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        del timeout
        if not request.HasField("model_spec"):
            raise ServiceError("INVALID_ARGUMENT", "Missing ModelSpec")
        response = get_model_status_pb2.GetModelStatusResponse()
        states = get_model_status_pb2.ModelVersionStatus.State
        found = self.service.states(_spec(request.model_spec))
        for version, (state, error) in found.items():
            entry = response.model_version_status.add(
                version=version, state=states.Value(state)
            )
            entry.status.error_code = 2 if error else 0
            entry.status.error_message = error
        return response

    @_answering
    def HandleReloadConfigRequest(
        self,
        request: model_management_pb2.ReloadConfigRequest,
        timeout: float | None,
    ) -> model_management_pb2.ReloadConfigResponse:
        del timeout
        try:
            self.service.manager.reload(
                read_configs(request.config, "ModelServerConfig")
            )
        except LabelRefused as error:
            raise ServiceError("FAILED_PRECONDITION", str(error)) from None
        except NotAvailable as error:
            raise ServiceError("UNKNOWN", str(error)) from None
        except InputError as error:
            raise ServiceError("INVALID_ARGUMENT", str(error)) from None
        except Stopping as error:
            raise ServiceError("UNAVAILABLE", str(error)) from None
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = 0
        return response


def _fill(proto: model_pb2.ModelSpec, spec: ModelSpec, version: int) -> None:
    proto.name, proto.signature_name = spec.name, spec.signature_name
    proto.version.value = version
