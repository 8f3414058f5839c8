"""Bodies of requests in TF Serving's JSON."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2

from export.c_api.messages import SignatureDef, TensorInfo
from export.dev_server.errors import ServiceError
from runkit.files import unique_names

# What stands twice is refused: which of the two is meant is not known.
_DECODER = json.JSONDecoder(object_pairs_hook=unique_names)
_SHORT = 60  # Characters of an offending value that a message shows.
# What the values of a type may be in JSON.
_LEAVES: dict[str, set[type]] = {
    "bool": {bool},
    "float": {int, float},
    "int": {int},
    "string": {str, bytes},
}


def parse_body(data: bytes) -> dict[str, Any]:
    """Returns the object that a body begins with; what follows is ignored.

    Raises:
        ServiceError: it is no JSON object.
    """
    try:
        text = data.decode("utf-8-sig")
        start = re.match(r"[ \t\n\r]*", text)
        body, _ = _DECODER.raw_decode(text, start.end() if start else 0)
    except (ValueError, RecursionError) as error:
        empty = "" if data.strip() else "The document is empty. "
        raise _invalid(f"JSON Parse error: {empty}{str(error)[:200]}") from None
    if not isinstance(body, dict):
        raise _invalid(f"JSON Value: {_shown(body)} Is not object")
    signature = body.get("signature_name", "")
    if not isinstance(signature, str):
        raise _invalid(
            f"JSON Value: {_shown(body)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return body


def predict_inputs(
    body: Mapping[str, Any], signature: SignatureDef
) -> dict[str, np.ndarray]:
    """Returns the inputs of a predict request.

    Args:
        body: from `parse_body`, with `instances` or `inputs`.
        signature: the signature whose inputs they are.

    Returns:
        {input name: array}; texts are bytes in object arrays.

    Raises:
        ServiceError: not one of the two, other names than the signature's, or
            a value of another type.
    """
    if ("instances" in body) == ("inputs" in body):
        if "inputs" not in body:
            raise _invalid(
                "Missing 'inputs' or 'instances' key: the body has neither "
                "`instances` nor `inputs`"
            )
        raise _invalid(
            f"JSON Value: {_shown(body)} Not formatted correctly expecting "
            "only one of 'inputs' or 'instances' keys to exist: the body has "
            "both `instances` and `inputs`"
        )
    known = signature.inputs
    if "instances" in body:
        columns = _columns(body["instances"], sorted(known))
    else:
        value = body["inputs"]
        if isinstance(value, dict) and set(value) != {"b64"}:
            columns = value
        elif len(known) == 1:
            columns = {next(iter(known)): value}
        else:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as "
                f"multiple input tensors required: {sorted(known)}"
            )
    for name in sorted(set(columns) ^ set(known)):
        what = "Missing named input" if name in known else "Unknown input"
        raise _invalid(f"{what}: {name[:_SHORT]} in 'inputs' object.")
    return {name: _array(columns[name], known[name], name) for name in columns}


def _columns(instances: Any, names: list[str]) -> dict[str, Any]:
    """Turns rows into columns; rows of plain values are the only input's."""
    if not isinstance(instances, list):
        raise _invalid("Expecting 'instances' to be an list/array")
    if not instances:
        raise _invalid("No values in 'instances' array")
    objects = [isinstance(r, dict) and set(r) != {"b64"} for r in instances]
    if not any(objects):
        if len(names) > 1:
            raise _invalid(
                "instances is a plain list, but expecting list of objects as "
                f"multiple input tensors required: {names}"
            )
        return {names[0]: instances}
    for number, row in enumerate(instances):
        if not objects[number]:
            raise _invalid(
                f"Expecting object but got list at item {number} of input list"
                if objects[0]
                else "Expecting value/list but got object at item "
                f"{objects.index(True)} of input list"
            )
        if sorted(row) != names:
            raise _invalid(
                f"Failed to process element: {number} of 'instances' list. "
                f"JSON object: {_shown(row)} keys must be equal to: "
                f"{','.join(names)}"
            )
    return {name: [row[name] for row in instances] for name in names}


def _array(value: Any, info: TensorInfo, name: str) -> np.ndarray:
    """Returns nested lists as an array of an input's type."""
    dtype = tf.as_dtype(info.dtype)
    kind = (
        "bool"
        if dtype == tf.bool
        else "string"
        if dtype == tf.string
        else "int"
        if dtype.is_integer
        else "float"
    )
    value, shape = _decoded(value), _shape(value)
    leaves = list(_leaves(value, shape, name))
    for leaf in leaves:
        if type(leaf) not in _LEAVES[kind]:
            raise _invalid(
                f"Input {name}: JSON Value: {_shown(leaf)} is not of expected "
                f"type: {dtype.name}"
            )
    if kind == "string":
        texts = [
            _utf8(leaf) if isinstance(leaf, str) else leaf for leaf in leaves
        ]
        # A list of bytes alone would become numpy's own texts, which lose
        # zeros at their end.
        return np.array([*texts, None], object)[:-1].reshape(shape)
    try:
        return np.array(leaves, dtype.as_numpy_dtype).reshape(shape)
    except OverflowError:
        raise _invalid(
            f"Input {name}: a number is out of the range of {dtype.name}"
        ) from None


def _shape(value: Any) -> list[int]:
    """Shape as the first element of each list tells it."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _leaves(value: Any, shape: list[int], name: str) -> Iterator[Any]:
    """Yields the values of nested lists; refuses other shapes."""
    if len(shape) == 1 and isinstance(value, list) and len(value) == shape[0]:
        for item in value:
            if isinstance(item, list):
                raise _invalid(f"Input {name}: Encountered list at depth 1")
            yield item
    elif not shape:
        if isinstance(value, list):
            raise _invalid(
                f"Input {name}: Encountered list at unexpected level"
            )
        yield value
    elif not isinstance(value, list) or len(value) != shape[0]:
        raise _invalid(
            f"Input {name}: Encountered list at unexpected size, or a value "
            f"in place of one: {_shown(value)}"
        )
    else:
        for item in value:
            yield from _leaves(item, shape[1:], name)


def _decoded(value: Any) -> Any:
    """Replaces {"b64": ...} by its bytes, at any depth of lists."""
    if isinstance(value, list):
        if not any(isinstance(item, list | dict) for item in value):
            return value
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and set(value) == {"b64"}:
        return from_base64(value)
    return value


def from_base64(value: Mapping[str, Any]) -> bytes:
    """Returns the bytes of {"b64": text}.

    Raises:
        ServiceError: it is not base64.
    """
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (ValueError, TypeError):
        raise _invalid("Unable to base64 decode: b64 is not base64") from None


def examples_input(body: Mapping[str, Any]) -> input_pb2.Input:
    """Returns the examples of a classify or regress request.

    Args:
        body: from `parse_body`, with `examples` and maybe `context`.

    Raises:
        ServiceError: there are none, or a feature's values are of several
            types, null, or lists of lists.
    """
    rows = body.get("examples")
    if "examples" not in body:
        raise _invalid("key 'examples' is expected and was not found")
    if not isinstance(rows, list):
        raise _invalid("Expecting 'examples' value to be an list/array")
    if not rows:
        raise _invalid("'examples' value is an empty array")
    found = input_pb2.Input()
    if "context" in body:
        target: Any = found.example_list_with_context
        target.context.CopyFrom(_example(body["context"]))
    else:
        target = found.example_list
    target.examples.extend(_example(row) for row in rows)
    return found


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise _invalid(f"Example must be JSON object but got {_shown(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[_utf8(name).decode()]
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)
    return example


def _add(feature: example_pb2.Features, name: str, item: Any) -> None:
    """Adds one value to a feature, whose kind its first value decides."""
    if isinstance(item, dict) and set(item) == {"b64"}:
        item = from_base64(item)
    if isinstance(item, str):
        item = _utf8(item)
    kind = {
        bytes: "bytes_list",
        float: "float_list",
        bool: "int64_list",
        int: "int64_list",
    }.get(type(item))
    if kind is None:
        raise _invalid(
            f"Feature: {name[:_SHORT]} has element with unexpected JSON type: "
            f"{_shown(item)}"
        )
    if feature.WhichOneof("kind") not in (None, kind):
        raise _invalid(
            f"Unexpected element type in feature: {name[:_SHORT]} expecting "
            f"type: {feature.WhichOneof('kind').removesuffix('_list')}"
        )
    try:
        getattr(feature, kind).value.append(item)
    except ValueError:
        raise _invalid(
            f"Feature: {name[:_SHORT]} has an element that is not an int64"
        ) from None


def _utf8(text: str) -> bytes:
    # Lone surrogates come from JSON escapes; no UTF-8 can hold them.
    return text.encode("utf-8", "replace")


def _shown(value: Any) -> str:
    return json.dumps(value, default=repr)[:_SHORT]


def _invalid(message: str) -> ServiceError:
    return ServiceError("INVALID_ARGUMENT", message)
