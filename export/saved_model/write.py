"""Writes a version for TF Serving; it becomes visible once it is verified."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from export.modules.classifier_module import ClassifierModule
from export.modules.compact import compact_saved_model
from export.modules.options import ServingOptions
from export.modules.precision import measured_error
from export.modules.t5_module import ServingModule
from export.modules.text_module import TextModule
from export.saved_model import protos, server_config
from export.saved_model.claim import (
    check_target,
    claimed_version,
    storage_errors_named,
)
from export.saved_model.stored_requests import (
    STORED_TEXTS,
    InputsFor,
    inputs_for,
    write_stored_requests,
)
from export.saved_model.verify import verify_saved_model
from export.saved_model.versions import (
    CLASSIFY_METHOD,
    CLASSIFY_SIGNATURE,
    DEFAULT_SIGNATURE,
    MODEL_CARD,
)
from runkit import __version__, atomic_directory, write_json
from spactor_tf.classifier.classifier import TextClassifier, load_classifier
from spactor_tf.classifier.files import HEAD
from spactor_tf.config.fields import to_dict
from spactor_tf.inference.pretrained import Pretrained, load_pretrained


def export_saved_model(
    model: Pretrained | TextClassifier | str | os.PathLike,
    output_dir: str | os.PathLike,
    version: int | None = None,
    *,
    options: ServingOptions | None = None,
    model_name: str = "t5",
    metrics: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Exports a T5 model as `output_dir/version`, verified.

    The version is written under a temporary name, verified there and renamed,
    so that a server polling `output_dir` never sees an unfinished one.

    Args:
        model: from `spactor_tf.load_pretrained`, a trained
            `spactor_tf.classifier.TextClassifier`, or the path of a run, a
            preset or a classifier.
        output_dir: base path of the served model.
        version: above 0; None means the next that no other export writes or
            has written.
        options: None means the defaults, with the model's own lengths.
        model_name: name under which it is served.
        metrics: written into the model card.

    Returns:
        The directory of the version.

    Raises:
        InputError: not a run, bad options, numbers out of the range of the
            options' dtype, an existing version or one that another process
            writes now, the base path of another model, or a directory that
            cannot be written.
        VerificationError: the export could not be served; nothing is left of
            it.
    """
    output_dir = pathlib.Path(output_dir)
    with claimed_version(output_dir, version, model_name) as number:
        protos.prediction_log_pb2()  # Says what to install before the work.
        if isinstance(model, str | os.PathLike):
            model = load_model(model)
        module = serving_module(model, options)
        card = _model_card(module, model, model_name, metrics or {})
        if module.options.dtype != "float32":
            options = dataclasses.replace(module.options, dtype="float32")
            exact = serving_module(model, options)
            card["weights_sha256"] = exact.weights_sha256
            card["error"] = measured_error(module, exact, STORED_TEXTS)
        return write_version(
            module,
            module.signatures(),
            output_dir,
            number,
            card,
            functools.partial(inputs_for, options=module.options),
        )


def load_model(path: str | os.PathLike) -> Pretrained | TextClassifier:
    """Opens a run, a preset or a classifier.

    Raises:
        InputError: it is none of them.
    """
    if (pathlib.Path(path) / HEAD).is_file():
        return load_classifier(path)
    return load_pretrained(path)


def serving_module(
    model: Pretrained | TextClassifier, options: ServingOptions | None = None
) -> TextModule:
    """Returns the module that serves a model.

    Args:
        model: what to serve.
        options: None means the defaults, with the model's own input length.
    """
    if options is None:
        options = ServingOptions()
        length = default_input_length(model)
        if length is not None:
            options = dataclasses.replace(options, input_length=length)
    if isinstance(model, TextClassifier):
        return ClassifierModule(model, options)
    return ServingModule(model.backbone, model.vocabulary, options)


def default_input_length(model: Pretrained | TextClassifier) -> int | None:
    """Returns the input length that a model was trained with, if known."""
    if isinstance(model, TextClassifier):
        return model.length
    return model.input_length


def write_version(
    module: tf.Module,
    signatures: Mapping[str, Any],
    output_dir: pathlib.Path,
    version: int,
    card: dict[str, Any],
    inputs_for: InputsFor = inputs_for,
) -> pathlib.Path:
    """Saves, completes, verifies and renames one version.

    Args:
        module: tracks all state that the signatures use.
        signatures: {name: concrete function}; `embed`, or else the first, is
            also the default.
        output_dir: base path, writable.
        version: one that does not exist yet, from `claimed_version`.
        card: content of model_card.json; what the graph tells is added.
        inputs_for: makes the inputs of a signature's stored requests.

    Returns:
        The directory of the version.

    Raises:
        InputError: what `claimed_version` refuses, or the directory cannot be
            written.
        VerificationError: the export could not be served; nothing is left of
            it.
    """
    check_target(output_dir, version, card["model_name"])
    path = output_dir / str(version)
    for leftover in output_dir.glob(f".tmp-{version}-*"):
        shutil.rmtree(leftover, ignore_errors=True)  # Of a killed export.
    with storage_errors_named(output_dir), atomic_directory(path) as folder:
        _save(module, signatures, folder)
        model_name = card["model_name"]
        card = {
            **card,
            "version": version,
            "stored_requests": write_stored_requests(
                folder, model_name, signatures, inputs_for
            ),
            **graph_facts(folder),
        }
        write_json(folder / MODEL_CARD, card)
        with server_config.written_configs(output_dir, model_name):
            verify_saved_model(folder)
    return path


def _save(
    module: tf.Module, signatures: Mapping[str, Any], folder: pathlib.Path
) -> None:
    default = signatures.get("embed", next(iter(signatures.values())))
    tf.saved_model.save(
        _state(module), str(folder), {**signatures, DEFAULT_SIGNATURE: default}
    )
    if CLASSIFY_SIGNATURE in signatures:
        # `tf.saved_model.save` marks every signature as one for Predict.
        updater = tf.compat.v1.saved_model.signature_def_utils
        updater = updater.MethodNameUpdater(str(folder))
        updater.replace_method_name(CLASSIFY_SIGNATURE, CLASSIFY_METHOD)
        updater.save()
    compact_saved_model(folder)


def _state(module: tf.Module) -> tf.Module:
    """What a module tracks, but its functions.

    They would be traced and stored once more beside the signatures, which
    doubles what a server reads and keeps.
    """
    state = tf.Module()
    for name, value in vars(module).items():
        if isinstance(value, tf.Module):
            value = _state(value)
        if isinstance(value, tf.__internal__.tracking.Trackable):
            setattr(state, name, value)
    return state


def _model_card(
    module: TextModule,
    model: Pretrained | TextClassifier,
    model_name: str,
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    if isinstance(model, TextClassifier):
        body, kind = model.pretrained, "T5 encoder with a classification head"
    else:
        body, kind = model, "text-to-text T5"
    return {
        "model_name": model_name,
        "kind": kind,
        "labels": list(module.labels),
        "options": {**vars(module.options), "labels": list(module.labels)},
        "config": to_dict(body.config) if body.config else None,
        "metrics": dict(metrics),
        "parameters": module.num_parameters,
        "vocabulary_sha256": body.vocabulary.fingerprint,
        "weights_sha256": module.weights_sha256,
        "custom_ops": [],
    }


def graph_facts(folder: pathlib.Path) -> dict[str, Any]:
    """Returns what the model card says about the saved graph."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    meta = saved.meta_graphs[0]
    return {
        "package_version": __version__,
        "tensorflow_version": meta.meta_info_def.tensorflow_version,
        "ops": [op.name for op in meta.meta_info_def.stripped_op_list.op],
        "signatures": {
            name: {
                "method": signature.method_name,
                "inputs": _tensors(signature.inputs),
                "outputs": _tensors(signature.outputs),
            }
            for name, signature in meta.signature_def.items()
            if not name.startswith("__")
        },
    }


def _tensors(infos: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: f"{tf.as_dtype(info.dtype).name} "
        f"{[d.size if d.size >= 0 else None for d in info.tensor_shape.dim]}"
        for name, info in infos.items()
    }
