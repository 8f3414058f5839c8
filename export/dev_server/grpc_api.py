"""TF Serving's gRPC API on its official stubs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.dev_server.service import (
    DevService,
    ServiceError,
    tensor_value,
    timed,
    typed_proto,
)
from export.saved_model.versions import CLASSIFY_METHOD, DEFAULT_SIGNATURE


def add_services(server: grpc.Server, service: DevService) -> None:
    """Adds PredictionService and ModelService to a gRPC server."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _Prediction(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        _Model(service), server
    )


def _answering(method: Callable) -> Callable:
    """Checks the model's name, counts, turns a ServiceError into its status.

    The method is called with the request and the seconds left to answer it.
    """

    @functools.wraps(method)
    def answer(
        self: _Prediction | _Model, request: Any, context: grpc.ServicerContext
    ) -> Any:
        try:
            with timed(self.service.metrics, "grpc"):
                self.service.check_name(request.model_spec.name)
                return method(self, request, context.time_remaining())
        except ServiceError as error:
            code = getattr(grpc.StatusCode, error.code)
            return context.abort(code, error.message)

    return answer


def _version(spec: model_pb2.ModelSpec) -> int | None:
    if spec.version_label:
        raise ServiceError(
            "INVALID_ARGUMENT",
            "the development server does not support version labels",
        )
    return spec.version.value if spec.HasField("version") else None


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: DevService):
        self.service = service

    @_answering
    def Predict(
        self, request: predict_pb2.PredictRequest, timeout: float | None
    ) -> predict_pb2.PredictResponse:
        spec = request.model_spec
        version, signature, outputs = self.service.predict(
            _version(spec),
            spec.signature_name,
            {key: tensor_value(t) for key, t in request.inputs.items()},
            timeout,
            request.output_filter,
        )
        response = predict_pb2.PredictResponse()
        _fill_spec(response.model_spec, spec.name, version, signature)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(typed_proto(value))
        return response

    @_answering
    def Classify(
        self,
        request: classification_pb2.ClassificationRequest,
        timeout: float | None,
    ) -> classification_pb2.ClassificationResponse:
        spec = request.model_spec
        name = spec.signature_name or DEFAULT_SIGNATURE
        _, signatures = self.service.signatures(_version(spec))
        method = signatures[name].method_name if name in signatures else ""
        if name in signatures and method != CLASSIFY_METHOD:
            raise ServiceError(
                "INVALID_ARGUMENT",
                f"Expected classification signature method_name to be "
                f"{CLASSIFY_METHOD}. Was: {method}",
            )
        examples = [
            example.SerializeToString()
            for example in request.input.example_list.examples
        ]
        if not examples:
            raise ServiceError("INVALID_ARGUMENT", "Input is empty")
        version, name, outputs = self.service.predict(
            _version(spec), name, {"inputs": examples}, timeout
        )
        response = classification_pb2.ClassificationResponse()
        _fill_spec(response.model_spec, spec.name, version, name)
        for labels, scores in zip(
            outputs["classes"], outputs["scores"], strict=True
        ):
            row = response.result.classifications.add()
            for label, score in zip(labels, scores, strict=True):
                row.classes.add(label=label.decode(), score=float(score))
        return response

    @_answering
    def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        timeout: float | None,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        del timeout
        spec = request.model_spec
        version, signatures = self.service.signatures(_version(spec))
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _fill_spec(response.model_spec, spec.name, version, "")
        packed = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in signatures.items():
            packed.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(packed)
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
        del request, timeout
        response = get_model_status_pb2.GetModelStatusResponse()
        states = get_model_status_pb2.ModelVersionStatus.State
        for version, (state, error) in self.service.store.states().items():
            entry = response.model_version_status.add(
                version=version, state=states.Value(state)
            )
            entry.status.error_code = 2 if error else 0
            entry.status.error_message = error
        return response


def _fill_spec(
    spec: model_pb2.ModelSpec, name: str, version: int, signature: str
) -> None:
    spec.name, spec.signature_name = name, signature
    spec.version.value = version
