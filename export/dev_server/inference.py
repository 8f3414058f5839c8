"""Classify, Regress and MultiInference: `tf.Example`s in, results out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from export.c_api.messages import SignatureDef
from export.dev_server.errors import ServiceError
from export.dev_server.service import DevService, ModelSpec
from export.saved_model.versions import CLASSIFY_METHOD, REGRESS_METHOD
from export.servables.servable import Servable

_INPUTS, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"


def classify(
    service: DevService,
    spec: ModelSpec,
    request: input_pb2.Input,
    timeout: float | None = None,
) -> tuple[int, classification_pb2.ClassificationResult]:
    """Returns (version, classes of each example).

    Raises:
        ServiceError: the signature is not for Classify, or the examples do
            not fit it.
    """
    return _one(service, spec, request, timeout, "Classify", _classify)


def regress(
    service: DevService,
    spec: ModelSpec,
    request: input_pb2.Input,
    timeout: float | None = None,
) -> tuple[int, regression_pb2.RegressionResult]:
    """Returns (version, value of each example).

    Raises:
        ServiceError: the signature is not for Regress, or the examples do
            not fit it.
    """
    return _one(service, spec, request, timeout, "Regress", _regress)


def multi_inference(
    service: DevService,
    tasks: Sequence[tuple[ModelSpec, str]],
    request: input_pb2.Input,
    timeout: float | None = None,
) -> list[tuple[int, inference_pb2.InferenceResult]]:
    """Answers several tasks on the same examples with one version.

    Args:
        service: answers.
        tasks: (model and signature, method name) of each.
        request: the examples.
        timeout: seconds that the client waits; None means no limit.

    Returns:
        (version, result without its model) of each task.

    Raises:
        ServiceError: the tasks name several models, one signature twice, or
            another method than Classify and Regress.
    """
    first = tasks[0][0] if tasks else ModelSpec("")
    _check_tasks(tasks)
    results = []
    with service.lease(first) as servable:
        examples = _examples(request)
        service.metrics.examples(first.name, len(examples))
        for spec, method in tasks:
            signature = _signature(servable, spec)
            result = inference_pb2.InferenceResult()
            run = _runner(service, servable, spec, examples, timeout)
            if method == CLASSIFY_METHOD:
                result.classification_result.CopyFrom(_classify(signature, run))
            else:
                result.regression_result.CopyFrom(_regress(signature, run))
            results.append((servable.version, result))
    return results


def _check_tasks(tasks: Sequence[tuple[ModelSpec, str]]) -> None:
    seen: set[str] = set()
    for spec, method in tasks:
        if not spec.name:
            raise _invalid("Found ModelSpec with an empty model name.")
        if spec.name != tasks[0][0].name:
            raise _invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the "
                "same model name."
            )
        if spec.signature_name in seen:
            raise _invalid(
                f"Duplicate evaluation of signature: {spec.signature_name}"
            )
        seen.add(spec.signature_name)
        if method not in (CLASSIFY_METHOD, REGRESS_METHOD):
            raise ServiceError(
                "UNIMPLEMENTED", f"Unsupported signature method_name: {method}"
            )


# Examples' features in, the signature's outputs back.
_Run = Callable[[], tuple[int, dict[str, np.ndarray]]]


def _one(
    service: DevService,
    spec: ModelSpec,
    request: input_pb2.Input,
    timeout: float | None,
    api: str,
    answer: Callable[[SignatureDef, _Run], Any],
) -> tuple[int, Any]:
    with service.lease(spec) as servable:
        signature = _signature(servable, spec)
        examples = _examples(request)
        service.metrics.examples(spec.name, len(examples))
        run = _runner(service, servable, spec, examples, timeout, api)
        return servable.version, answer(signature, run)


def _runner(
    service: DevService,
    servable: Servable,
    spec: ModelSpec,
    examples: list[bytes],
    timeout: float | None,
    api: str = "MultiInference",
) -> _Run:
    def run() -> tuple[int, dict[str, np.ndarray]]:
        inputs = {_INPUTS: examples}
        found = service.run(servable, spec, inputs, timeout, api)
        return len(examples), found

    return run


def _signature(servable: Servable, spec: ModelSpec) -> SignatureDef:
    known = servable.model.signatures.get(spec.signature_name)
    if known is None:
        raise _invalid(
            f"No signature was found with the name: {spec.signature_name}"
        )
    return known


def _examples(request: input_pb2.Input) -> list[bytes]:
    """Serializes the examples; a context stands in front of each.

    Joined messages are one message with the fields of both.
    """
    context = b""
    examples = request.example_list.examples
    if request.WhichOneof("kind") == "example_list_with_context":
        context = request.example_list_with_context.context.SerializeToString()
        examples = request.example_list_with_context.examples
    if not examples:
        raise _invalid("Input is empty.")
    return [context + example.SerializeToString() for example in examples]


def _check_inputs(signature: SignatureDef, what: str) -> None:
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if _INPUTS not in signature.inputs:
        raise _invalid(
            f"No {what} inputs found in SignatureDef: its input is "
            f"{next(iter(signature.inputs))}"
        )


def _classify(
    signature: SignatureDef, run: _Run
) -> classification_pb2.ClassificationResult:
    _check_inputs(signature, "classification")
    if len(signature.outputs) not in (1, 2):
        raise _invalid(
            "Expected one or two output Tensors, found "
            f"{len(signature.outputs)}"
        )
    if not {_CLASSES, _SCORES} & set(signature.outputs):
        raise _invalid(
            "Expected classification signature outputs to contain at least "
            f'one of "{_CLASSES}" or "{_SCORES}".'
        )
    rows, found = run()
    tensors = [
        _matrix(found.get(name), rows, name) for name in (_CLASSES, _SCORES)
    ]
    widths = {tensor.shape[1] for tensor in tensors if tensor is not None}
    if len(widths) != 1:
        raise _invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{sorted(widths)}"
        )
    classes, scores = tensors
    result = classification_pb2.ClassificationResult()
    for row in range(rows):
        entry = result.classifications.add()
        for column in range(max(widths)):
            label = "" if classes is None else classes[row, column].decode()
            score = 0.0 if scores is None else float(scores[row, column])
            entry.classes.add(label=label, score=score)
    return result


def _matrix(
    tensor: np.ndarray | None, rows: int, name: str
) -> np.ndarray | None:
    """Returns an output of Classify, or refuses its shape or type."""
    if tensor is None:
        return None
    if tensor.ndim != 2 or len(tensor) != rows:
        raise _invalid(
            "Expected Tensor shape: [batch_size num_classes] but got "
            f"{list(tensor.shape)}"
        )
    expected = object if name == _CLASSES else np.float32
    if tensor.dtype != expected:
        kind = "DT_STRING" if name == _CLASSES else "DT_FLOAT"
        raise _invalid(f"Expected {name} Tensor of {kind}. Got: {tensor.dtype}")
    return tensor


def _regress(
    signature: SignatureDef, run: _Run
) -> regression_pb2.RegressionResult:
    _check_inputs(signature, "regression")
    if len(signature.outputs) != 1:
        raise _invalid("Expected one output Tensor.")
    if _OUTPUTS not in signature.outputs:
        raise _invalid(
            "No regression outputs found in SignatureDef: its output is "
            f"{next(iter(signature.outputs))}"
        )
    rows, found = run()
    values = found[_OUTPUTS]
    if values.shape not in ((rows,), (rows, 1)):
        raise _invalid(
            "Expected output Tensor shape to be either [batch_size] or "
            f"[batch_size, 1] but got {list(values.shape)}"
        )
    if values.dtype != np.float32:
        raise _invalid(
            f"Expected output Tensor of DT_FLOAT.  Got: {values.dtype}"
        )
    result = regression_pb2.RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _invalid(message: str) -> ServiceError:
    return ServiceError("INVALID_ARGUMENT", message)
