"""Runs a model in another runtime; a program of its own, for its own Python.

    python -P export/formats/runtime.py ACTION FOLDER < request.json

It imports NumPy and the runtime only: what the runtime needs (PyTorch, ...)
may live in another environment than TensorFlow. The request and the answer are
JSON; see `answer` and `convert`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import sys
from typing import Any

import numpy as np

END, PAD = 1, 0


def padded(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids and mask, both [rows, longest] int64."""
    ids = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask


def pooled(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the means [rows, width] float32 of states over the tokens."""
    weights = mask[..., np.newaxis].astype(np.float32)
    total = (np.asarray(states, np.float32) * weights).sum(1)
    return total / weights.sum(1)


def hugging_face(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    """Runs a folder of transformers."""
    import torch
    import transformers

    model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
    model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids, mask = map(torch.from_numpy, padded(request["ids"]))
    with torch.inference_mode():
        states = model.encoder(input_ids=ids, attention_mask=mask)[0]
        written = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=request["length"],
            do_sample=False,
            num_beams=1,
            suppress_tokens=request["silent"],
        )[:, 1:]
    return {
        "embedding": pooled(states.float().numpy(), mask.numpy()).tolist(),
        "ids": [
            tokenizer(text, truncation=True, max_length=request["cut"])[
                "input_ids"
            ]
            for text in request["texts"]
        ],
        "generated": written.tolist(),
    }


def ctranslate2(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    """Runs what `convert` wrote."""
    import ctranslate2 as runtime

    # The stored type where the processor has kernels for it, else float32.
    options = {"device": "cpu", "compute_type": "default"}
    encoder = runtime.Encoder(f"{folder}/encoder", **options)
    translator = runtime.Translator(f"{folder}/translator", **options)
    _, mask = padded(request["ids"])
    states = encoder.forward_batch(request["ids"]).last_hidden_state
    names = json.loads(
        pathlib.Path(folder, "translator/shared_vocabulary.json").read_text(
            encoding="utf-8"
        )
    )
    number = {name: place for place, name in enumerate(names)}
    results = translator.translate_batch(
        [[names[i] for i in row] for row in request["ids"]],
        beam_size=1,
        max_decoding_length=request["length"],
        min_decoding_length=0,
        suppress_sequences=[[names[i]] for i in request["silent"]],
    )
    return {
        "embedding": pooled(
            np.asarray(states.to(runtime.DataType.float32)), mask
        ).tolist(),
        "generated": [
            [number[name] for name in result.hypotheses[0]]
            for result in results
        ],
        "computed_in": translator.compute_type,
    }


def onnx(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    """Runs model.onnx in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        f"{folder}/model.onnx", providers=["CPUExecutionProvider"]
    )
    ids, mask = padded(request["ids"])
    (embedding,) = session.run(
        None, {"tokens": ids.astype(np.int32), "mask": mask.astype(np.int32)}
    )
    return {"embedding": embedding.tolist()}


def openvino(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    """Runs model.xml in OpenVINO, in float32."""
    import openvino as runtime

    model = runtime.Core().compile_model(
        f"{folder}/model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    ids, mask = padded(request["ids"])
    found = model(
        {"tokens": ids.astype(np.int32), "mask": mask.astype(np.int32)}
    )
    return {"embedding": next(iter(found.values())).tolist()}


def convert(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    """Writes `translator/` and `encoder/` of CTranslate2 into a folder.

    The request names `source`, a folder of transformers, and `dtype`.
    """
    from ctranslate2.converters import transformers as converters
    from ctranslate2.specs import model_spec

    source = request["source"]
    tied = json.loads(
        pathlib.Path(source, "config.json").read_text(encoding="utf-8")
    )["tie_word_embeddings"]

    class Converter(converters.TransformersConverter):
        def __init__(self, part: str):
            super().__init__(source)
            self.part = part

        def _load(self) -> Any:
            if self.part == "encoder":
                return encoder_spec(source)
            spec = super()._load()
            if not tied:
                # transformers 5 calls every T5 tied; only a tied output is
                # scaled.
                spec.decoder.scale_outputs = model_spec.OPTIONAL
            return spec

    for part in ("translator", "encoder"):
        Converter(part).convert(
            f"{folder}/{part}", quantization=request["dtype"]
        )
    return {}


def encoder_spec(source: str) -> Any:
    """Returns CTranslate2's encoder of a T5; it has no converter for one.

    Args:
        source: a folder of transformers.
    """
    import torch
    import transformers
    from ctranslate2.converters import transformers as converters
    from ctranslate2.specs import transformer_spec

    model = transformers.T5ForConditionalGeneration.from_pretrained(source)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    loader, config = converters.T5Loader(), model.config
    stack = transformer_spec.TransformerEncoderSpec(
        config.num_layers,
        config.num_heads,
        pre_norm=True,
        activation=converters._SUPPORTED_ACTIVATIONS[config.dense_act_fn],
        ffn_glu=config.is_gated_act,
        relative_attention_bias=True,
        rms_norm=True,
    )
    with torch.no_grad():
        loader.set_stack(stack, model.encoder)
    spec = transformer_spec.TransformerEncoderModelSpec(stack)
    spec.register_vocabulary(loader.get_vocabulary(model, tokenizer))
    spec.config.unk_token = tokenizer.unk_token
    spec.config.eos_token = tokenizer.eos_token
    spec.config.bos_token = tokenizer.pad_token
    return spec


# Action -> what does it, and the packages that it needs.
ACTIONS = {
    "hugging_face": (hugging_face, ("torch", "transformers")),
    "ctranslate2": (ctranslate2, ("ctranslate2",)),
    "convert": (convert, ("ctranslate2", "transformers", "torch")),
    "onnx": (onnx, ("onnxruntime",)),
    "openvino": (openvino, ("openvino",)),
}


def main() -> None:
    """Reads a request, runs the action, prints the answer."""
    action, folder = sys.argv[1:]
    # What libraries print must not reach the answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    function, packages = ACTIONS[action]
    versions, missing = {}, []
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        answer: dict[str, Any] = {"missing": missing}
    else:
        answer = function(folder, json.load(sys.stdin))
        answer["versions"] = versions
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
