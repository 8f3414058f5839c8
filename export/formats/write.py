"""Writes a model for another runtime, and runs it there.

    OUTPUT/model_card.json     format, weights, how far its answers are ours
    OUTPUT/spiece.model        the vocabulary: every format but saved_model
                               reads tokens
    OUTPUT/...                 the files of the format

`hugging_face` is a folder of transformers; `ctranslate2` holds `translator/`
and `encoder/`; `onnx` and `openvino` hold `model.onnx` or `model.xml`, from
`tokens` and `mask` [batch, length] int32 to `embedding`.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from export.formats import runtime
from export.formats.table import FORMATS, check_format
from export.modules.options import ServingOptions
from export.modules.precision import cosines
from export.modules.t5_module import ServingModule
from export.modules.text_module import served_backbone
from export.saved_model.stored_requests import STORED_TEXTS
from export.saved_model.verify import VerificationError
from export.saved_model.versions import MODEL_CARD
from runkit import InputError, __version__, atomic_directory, write_json
from spactor_tf.classifier.classifier import TextClassifier
from spactor_tf.inference.hugging_face import TOKENIZER, write_folder
from spactor_tf.inference.pretrained import Pretrained
from spactor_tf.model import t5

# Tokens written for a stored text.
GENERATED = 32
# Type -> (least cosine of embeddings with float32's, largest fraction of texts
# that may change). A wrong conversion changes all of them; rounding changes
# many of an untrained model, which is full of near-ties.
LIMITS = {
    "float32": (0.99999, 0.1),
    "bfloat16": (0.99, 0.9),
    "float16": (0.999, 0.9),
    "int8": (0.95, 0.9),
}


def export_format(
    name: str,
    model: Pretrained | TextClassifier,
    output_dir: str | os.PathLike,
    *,
    options: ServingOptions | None = None,
    dtype: str = "float32",
    python: str = sys.executable,
) -> pathlib.Path:
    """Writes a model in another format and compares its answers with ours.

    Args:
        name: of `FORMATS`, not "saved_model".
        model: from `spactor_tf.load_pretrained`.
        output_dir: a new directory; it appears whole or not at all.
        options: `input_length` and `unit_norm`, where the format has them.
        dtype: of the stored weights.
        python: the interpreter that has what writes and runs the format.

    Returns:
        The directory.

    Raises:
        InputError: a classifier, an existing directory, a type that the
            format does not have, or missing packages.
        VerificationError: other answers than ours; nothing is left of it.
    """
    form = check_format(name, dtype)
    if isinstance(model, TextClassifier):
        raise InputError(
            f"is a classifier, and {name} has no form for its head",
            where="--run_dir",
            expected="a run or a preset of a T5",
            remedy="Export it as saved_model, or name its preset/, whose "
            "encoder embeds",
        )
    options = options or ServingOptions()
    with atomic_directory(output_dir) as folder:
        vocabulary = model.vocabulary.padded(model.backbone.vocabulary_size)
        if name == "hugging_face":
            write_folder(
                folder,
                model.backbone,
                vocabulary,
                model.config,
                options.input_length,
                dtype=dtype,
            )
        elif name == "ctranslate2":
            _write_ctranslate2(folder, model, dtype, python)
        else:
            backbone = served_backbone(model.backbone, "float32")
            _write_graph(folder, name, backbone, options.unit_norm)
        vocabulary.save(folder / TOKENIZER)
        verified = verify_format(folder, name, model, options, dtype, python)
        write_json(
            folder / MODEL_CARD,
            {
                "format": name,
                "answers": list(form.answers),
                "dtype": dtype,
                "unit_norm": options.unit_norm,
                "vocabulary_sha256": vocabulary.fingerprint,
                "package_version": __version__,
                "verified": verified,
            },
        )
    return pathlib.Path(output_dir)


def _write_ctranslate2(
    folder: pathlib.Path, model: Pretrained, dtype: str, python: str
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        source = pathlib.Path(temporary)
        write_folder(
            source,
            model.backbone,
            model.vocabulary.padded(model.backbone.vocabulary_size),
            model.config,
            model.input_length or 512,
        )
        request = {"source": str(source), "dtype": dtype}
        answer = run_elsewhere("convert", folder, request, python)
    if "missing" in answer:
        raise missing_packages("ctranslate2", answer["missing"])


def _write_graph(
    folder: pathlib.Path, name: str, backbone: t5.Backbone, unit_norm: bool
) -> None:
    """Keras's own export of encoder and pooling."""
    import importlib.util

    import keras

    missing = [
        package
        for package in FORMATS[name].packages
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        raise missing_packages(name, missing)
    names = {"tokens": "encoder_token_ids", "mask": "encoder_padding_mask"}
    inputs = {
        ours: keras.Input([None], dtype="int32", name=ours) for ours in names
    }
    states = t5.build_encoder(backbone)(
        {theirs: inputs[ours] for ours, theirs in names.items()}
    )
    embedding = t5.mean_pool(states, inputs["mask"])
    if unit_norm:
        embedding = keras.ops.normalize(embedding, axis=-1)
    signature = [
        keras.InputSpec(shape=(None, None), dtype="int32", name=ours)
        for ours in names
    ]
    file = folder / {"onnx": "model.onnx", "openvino": "model.xml"}[name]
    keras.Model(list(inputs.values()), embedding).export(
        str(file), format=name, verbose=False, input_signature=[signature]
    )


def missing_packages(name: str, packages: list[str]) -> InputError:
    """Returns the error for a format whose packages are not installed."""
    return InputError(
        f"needs {' and '.join(packages)}",
        where=f"--format={name}",
        remedy=f"pip install {' '.join(FORMATS[name].packages)}, or name a "
        "Python that has them by --runtime_python",
    )


def run_elsewhere(
    action: str, folder: pathlib.Path, request: dict[str, Any], python: str
) -> dict[str, Any]:
    """Runs `export.formats.runtime` with another interpreter.

    Args:
        action: of its `ACTIONS`.
        folder: the folder that it reads or writes.
        request: what it reads.
        python: the interpreter.

    Raises:
        InputError: there is no such interpreter, or it fails.
    """
    command = [python, "-P", runtime.__file__, action, str(folder)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise InputError(
            f"cannot be run ({error.strerror})",
            where="--runtime_python",
            got=python,
        ) from None
    if done.returncode != 0 or not done.stdout:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise InputError(
            f"failed ({lines[-1][:300]})",
            where=f"{action}, run by --runtime_python={python}",
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def verify_format(
    folder: pathlib.Path,
    name: str,
    model: Pretrained,
    options: ServingOptions,
    dtype: str,
    python: str,
) -> dict[str, Any] | None:
    """Runs a written format on the stored texts and compares with float32.

    Args:
        folder: the folder that was written.
        name: of the format.
        model: the model whose answers count.
        options: with the length of the inputs.
        dtype: of the written weights; says how much may differ.
        python: the interpreter that has the runtime.

    Returns:
        For the model card: `runtime` {package: version}, `texts`,
        `smallest_cosine` and `largest_difference` of embeddings,
        `texts_changed`, `tokens_changed` and `computed_in` (the type of the
        products) where it has them. None: the runtime is not installed.

    Raises:
        VerificationError: it answers something else.
    """
    texts = [
        text if isinstance(text, str) else text.decode("utf-8", "replace")
        for text in STORED_TEXTS
    ]
    length = min(options.input_length, 512)
    tokens = model.tokens(texts, length)
    rows = [row[row != model.vocabulary.pad_id].tolist() for row in tokens]
    request = {
        "texts": texts,
        "ids": rows,
        "length": GENERATED,
        # What our search never writes: padding, rows without a piece.
        "silent": [
            model.vocabulary.pad_id,
            *range(model.vocabulary.size, model.backbone.vocabulary_size),
        ],
        "cut": length,
        "dtype": dtype,
    }
    answer = run_elsewhere(name, folder, request, python)
    if "missing" in answer:
        return None
    module = ServingModule(
        model.backbone,
        model.vocabulary,
        ServingOptions(
            input_length=length,
            max_output_length=GENERATED,
            unit_norm=options.unit_norm,
        ),
    )
    expected = module.embed(tf.constant(texts))["embedding"].numpy()
    found = np.array(answer["embedding"], np.float32)
    record = {
        "runtime": answer["versions"],
        **{key: answer[key] for key in ("computed_in",) if key in answer},
        "texts": len(texts),
        "smallest_cosine": float(cosines(found, expected).min()),
        "largest_difference": float(np.abs(found - expected).max()),
    }
    least, most = LIMITS[dtype]
    if not record["smallest_cosine"] >= least:
        raise VerificationError(
            f"{name} embeds otherwise than this model",
            where=str(folder),
            got=f"cosine {record['smallest_cosine']:.6f}",
            expected=f">= {least}",
        )
    if "ids" in answer:
        record["tokens_changed"] = sum(
            list(theirs) != ours
            for theirs, ours in zip(answer["ids"], rows, strict=True)
        )
    if "generated" in answer:
        written = module.generate(tf.constant(texts))["text"].numpy()
        # CTranslate2 answers an empty text with nothing.
        record["texts_changed"] = sum(
            model.vocabulary.decode(theirs) != ours.decode("utf-8", "replace")
            for theirs, ours, row in zip(
                answer["generated"], written, rows, strict=True
            )
            if len(row) > 1
        )
        if record["texts_changed"] > most * len(texts):
            raise VerificationError(
                f"{name} writes other texts than this model",
                where=str(folder),
                got=f"{record['texts_changed']} of {len(texts)}",
                expected=f"at most {most:.0%}",
            )
    return record
