"""Files of requests with their answers, in TF Serving's PredictionLog.

The format is that of `assets.extra/tf_serving_warmup_requests`, which TF
Serving replays when it loads a version. Here the logs also hold the answers of
the eager model: the server ignores them, `verify_saved_model` compares them.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from export.saved_model import protos
from runkit import InputError

_FRAME_BYTES = 16  # Of a record's length and two checksums.
Tensors = Mapping[str, tf.Tensor]
Request = tuple[str, Tensors]  # Signature, inputs.
# Signature, inputs, outputs.
Record = tuple[str, dict[str, np.ndarray], dict[str, np.ndarray]]


def write_records(
    path: pathlib.Path,
    name: str,
    functions: Mapping[str, Callable[..., Tensors]],
    requests: Iterable[Request],
) -> int:
    """Answers each request eagerly and writes both.

    Args:
        path: file to write.
        name: of the model.
        functions: {signature: function of its inputs as keywords}.
        requests: (signature, inputs) of each.

    Returns:
        How many were written.
    """
    log_type = protos.prediction_log_pb2().PredictionLog
    path.parent.mkdir(exist_ok=True)
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            outputs = functions[signature](**inputs)
            log = log_type()
            spec = log.predict_log.request.model_spec
            spec.name, spec.signature_name = name, signature
            for tensors, target in (
                (inputs, log.predict_log.request.inputs),
                (outputs, log.predict_log.response.outputs),
            ):
                for key, value in tensors.items():
                    target[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
                    # Not inferred: an empty batch of texts has no type.
                    target[key].dtype = value.dtype.as_datatype_enum
            writer.write(log.SerializeToString())
            count += 1
    return count


def read_records(path: pathlib.Path) -> Iterator[Record]:
    """Yields (signature, inputs, outputs); outputs are {} if none are stored.

    Raises:
        InputError: the file is missing or damaged.
    """
    log_type = protos.prediction_log_pb2().PredictionLog
    used = 0
    try:
        for data in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            used += len(data) + _FRAME_BYTES
            log = log_type.FromString(data).predict_log
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
    except DecodeError:
        raise InputError("is damaged", where=str(path)) from None
    # The reader takes a few bytes without a record for the end of the file.
    size = path.stat().st_size
    if used != size:
        raise InputError(
            "is damaged: its end is not a request",
            where=str(path),
            got=f"{size} bytes",
            expected=f"{used} bytes",
        )
