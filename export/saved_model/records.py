"""Requests with their answers, in the protos of TF Serving.

`assets.extra/tf_serving_warmup_requests` is replayed by TF Serving when it
loads a version; ours also carries the answers of the eager model, which the
server ignores and `verify_saved_model` compares. `verification_requests`,
beside it, is the same for the texts that break things.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from runkit import InputError

WARM_UP = "assets.extra/tf_serving_warmup_requests"
VERIFICATION = "assets.extra/verification_requests"
MOST_WARM_UP_RECORDS = 1000  # TF Serving refuses more.

_WARM_UP_TEXTS = ("A short text.", "A text of some more words, to be read.")
_WARM_UP_BATCHES = (1, 8)
# Nothing, very long, not UTF-8, outside the first plane, right to left.
HARD_TEXTS = (
    b"",
    b"The cat sat on the mat. " * 1700,
    b"broken \xff\xfe\xc3( bytes \x00 end",
    "emoji \U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467".encode(),
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd".encode(),
    b"plain words again",
)
_HARD_BATCHES = (0, 1, 3, 6)

# (signature, texts) -> inputs of as many rows as there are texts.
InputsFor = Callable[[str, list], dict[str, tf.Tensor]]
Record = tuple[str, dict[str, np.ndarray], dict[str, np.ndarray]]


def serving_apis() -> Any:
    """Returns the protos of TF Serving.

    Raises:
        InputError: tensorflow-serving-api is not installed.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        raise InputError(
            "tensorflow-serving-api is not installed",
            where="export",
            remedy="pip install 'spactor-al[serving]'",
        ) from None
    return prediction_log_pb2


def batches(texts: Iterable[bytes | str], sizes: Iterable[int]) -> list[list]:
    """Returns one batch of each size, the texts repeated as needed."""
    texts = list(texts)
    return [[texts[i % len(texts)] for i in range(size)] for size in sizes]


def as_examples(texts: Iterable[bytes | str]) -> list[bytes]:
    """Returns serialized tf.Examples with the feature `text`."""
    examples = []
    for text in texts:
        value = text.encode() if isinstance(text, str) else text
        example = tf.train.Example()
        example.features.feature["text"].bytes_list.value.append(value)
        examples.append(example.SerializeToString())
    return examples


def inputs_for(signature: str, texts: list) -> dict[str, tf.Tensor]:
    """Returns the inputs of a signature that reads these texts."""
    if signature == "classify_examples":
        return {"inputs": tf.constant(as_examples(texts), tf.string)}
    return {"text": tf.constant(texts, tf.string)}


def write_all(
    folder: pathlib.Path,
    name: str,
    functions: Mapping[str, Callable],
    inputs_for: InputsFor = inputs_for,
) -> None:
    """Writes both files for eager functions.

    Args:
        folder: of the version.
        name: of the model.
        functions: {signature: function of its inputs as keywords}.
        inputs_for: makes the inputs of a signature from texts.
    """
    for path, texts, sizes in (
        (WARM_UP, _WARM_UP_TEXTS, _WARM_UP_BATCHES),
        (VERIFICATION, HARD_TEXTS, _HARD_BATCHES),
    ):
        requests = [
            (signature, inputs_for(signature, batch))
            for signature in functions
            for batch in batches(texts, sizes)
        ]
        write_records(folder / path, name, functions, requests)


def write_records(
    path: pathlib.Path,
    name: str,
    functions: Mapping[str, Callable],
    requests: Iterable[tuple[str, Mapping[str, tf.Tensor]]],
) -> None:
    """Answers each (signature, inputs) eagerly and writes both."""
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            outputs = functions[signature](**inputs)
            log = serving_apis().PredictionLog()
            spec = log.predict_log.request.model_spec
            spec.name, spec.signature_name = name, signature
            for tensors, target in (
                (inputs, log.predict_log.request.inputs),
                (outputs, log.predict_log.response.outputs),
            ):
                for key, value in tensors.items():
                    target[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
            _name_string_types(log.predict_log, inputs, outputs)
            writer.write(log.SerializeToString())


def _name_string_types(log: Any, inputs: Any, outputs: Any) -> None:
    # An empty object array says nothing of its type.
    for tensors, target in (
        (inputs, log.request.inputs),
        (outputs, log.response.outputs),
    ):
        for key, value in tensors.items():
            target[key].dtype = value.dtype.as_datatype_enum


def read_records(path: pathlib.Path) -> Iterator[Record]:
    """Yields (signature, inputs, outputs); no outputs where none are stored.

    Raises:
        InputError: the file is missing or damaged.
    """
    apis = serving_apis()
    try:
        for data in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = apis.PredictionLog.FromString(data).predict_log
            yield (
                log.request.model_spec.signature_name,
                {k: tf.make_ndarray(v) for k, v in log.request.inputs.items()},
                {
                    k: tf.make_ndarray(v)
                    for k, v in log.response.outputs.items()
                },
            )
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise InputError(
            f"cannot be read ({str(error)[:200]})", where=str(path)
        ) from None
    except Exception as error:
        if type(error).__name__ != "DecodeError":  # Protobuf's, of any version.
            raise
        raise InputError("is damaged", where=str(path)) from None
