"""Mean-pooled embeddings of a served T5 against other runtimes, from text.

    python -m benchmarks.serving.embedding [--rounds=7] [--models=d256]
        [--batches=1,8,64] [--writer_python=PYTHON]

The same random weights in every arm, one thread each. What the peers load was
written by this package (`export_main --format=...`); of ONNX Runtime, int8 is
its own dynamic quantization. `--writer_python` names an interpreter that has
TensorFlow, tf2onnx, onnx and openvino, which write two of the formats; a format
that cannot be written is left out, and the command says so.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import (
    PEER_PYTHON,
    ROOT,
    Arm,
    compare,
    in_words,
    record,
    row,
)
from benchmarks.serving.generation import (
    BF16,
    MEASURED,
    MODELS,
    ONE_THREAD,
    export,
    input_texts,
    prepare,
    served_path,
)
from export.formats import runtime

Embed = Callable[[list[list[int]]], np.ndarray]
Run = Callable[[], dict[str, float]]
# Folder of a format -> flags that write it.
FORMATS = {
    "hugging_face": ("hugging_face", "float32"),
    "ctranslate2": ("ctranslate2", "float32"),
    "ctranslate2_int8": ("ctranslate2", "int8"),
    "onnx": ("onnx", "float32"),
    "openvino": ("openvino", "float32"),
}
# Arm -> factory, folder, arguments.
PEERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "Hugging Face": ("hugging_face", "hugging_face", {"dtype": "float32"}),
    "Hugging Face bfloat16": ("hugging_face", "hugging_face", {"dtype": BF16}),
    "CTranslate2": ("ctranslate2", "ctranslate2", {"dtype": "float32"}),
    "CTranslate2 int8": ("ctranslate2", "ctranslate2_int8", {"dtype": "int8"}),
    "ONNX Runtime": ("onnx_runtime", "onnx", {"file": "model.onnx"}),
    "ONNX Runtime int8": ("onnx_runtime", "onnx", {"file": "int8.onnx"}),
    "OpenVINO float32": ("openvino", "openvino", {"precision": "f32"}),
    "OpenVINO, its default": ("openvino", "openvino", {"precision": ""}),
}


def embedded_texts(batch: int) -> list[str]:
    """Texts of about 100 tokens."""
    return [" ".join([text] * 5) for text in input_texts(batch)]


def served(path: str, batch: int) -> Run:
    """Returns the arm that runs `embed` through the session loader."""
    from export.saved_model.session import SessionModel

    model, texts = SessionModel(path), embedded_texts(batch)

    def run() -> dict[str, float]:
        found = model.run("embed", {"text": texts})["embedding"]
        return {"units": batch, "mean size": float(np.abs(found).mean())}

    return run


def _from_text(folder: str, batch: int, embed: Embed) -> Run:
    """An arm: tokenizes, embeds."""
    import sentencepiece

    path = str(pathlib.Path(folder) / "spiece.model")
    pieces = sentencepiece.SentencePieceProcessor(model_file=path)
    texts = embedded_texts(batch)

    def run() -> dict[str, float]:
        found = embed([[*ids, runtime.END] for ids in pieces.encode(texts)])
        return {"units": batch, "mean size": float(np.abs(found).mean())}

    return run


def hugging_face(folder: str, batch: int, dtype: str) -> Run:
    """Returns the arm of the encoder of `transformers`."""
    import torch
    from transformers import T5EncoderModel

    torch.set_num_threads(1)
    model = T5EncoderModel.from_pretrained(
        folder, dtype=getattr(torch, dtype)
    ).eval()

    @torch.inference_mode()
    def embed(rows: list[list[int]]) -> np.ndarray:
        ids, mask = map(torch.from_numpy, runtime.padded(rows))
        states = model(input_ids=ids, attention_mask=mask)[0]
        return runtime.pooled(states.float().numpy(), mask.numpy())

    return _from_text(folder, batch, embed)


def ctranslate2(folder: str, batch: int, dtype: str) -> Run:
    """Returns the arm of CTranslate2's encoder."""
    import ctranslate2 as library

    model = library.Encoder(
        f"{folder}/encoder",
        intra_threads=1,
        inter_threads=1,
        compute_type=dtype,
    )

    def embed(rows: list[list[int]]) -> np.ndarray:
        states = model.forward_batch(rows).last_hidden_state
        _, mask = runtime.padded(rows)
        array = np.asarray(states.to(library.DataType.float32))
        return runtime.pooled(array, mask)

    return _from_text(folder, batch, embed)


def onnx_runtime(folder: str, batch: int, file: str) -> Run:
    """Returns the arm of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        f"{folder}/{file}", options, providers=["CPUExecutionProvider"]
    )

    def embed(rows: list[list[int]]) -> np.ndarray:
        ids, mask = (a.astype(np.int32) for a in runtime.padded(rows))
        return session.run(None, {"tokens": ids, "mask": mask})[0]

    return _from_text(folder, batch, embed)


def openvino(folder: str, batch: int, precision: str) -> Run:
    """Returns the arm of OpenVINO; its default is bfloat16 where it is fast."""
    import openvino as library

    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": 1}
    if precision:
        options["INFERENCE_PRECISION_HINT"] = precision
    model = library.Core().compile_model(f"{folder}/model.xml", "CPU", options)

    def embed(rows: list[list[int]]) -> np.ndarray:
        ids, mask = (a.astype(np.int32) for a in runtime.padded(rows))
        return next(iter(model({"tokens": ids, "mask": mask}).values()))

    return _from_text(folder, batch, embed)


def write_format(folder: pathlib.Path, name: str, writer: str) -> bool:
    """Writes the preset of a folder in a format; False: it cannot be."""
    form, dtype = FORMATS[name]
    peers = os.environ.get(PEER_PYTHON, sys.executable)
    command = [
        writer if form in ("onnx", "openvino") else sys.executable,
        "-m",
        "export.export_main",
        f"--run_dir={folder / 'preset'}",
        f"--output_dir={folder / name}",
        f"--format={form}",
        f"--dtype={dtype}",
        f"--runtime_python={peers}",
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"left out: {name}: {done.stderr.strip()[-300:]}")
        return False
    if form == "onnx":
        quantize = (
            "import sys; from onnxruntime.quantization import quantize_dynamic;"
            "quantize_dynamic(sys.argv[1], sys.argv[2])"
        )
        files = [folder / name / f for f in ("model.onnx", "int8.onnx")]
        subprocess.run([peers, "-c", quantize, *map(str, files)], check=True)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", default=",".join(MEASURED))
    parser.add_argument("--batches", default="1,8,64")
    parser.add_argument("--writer_python", default=sys.executable)
    options = parser.parse_args()
    module = "benchmarks.serving.embedding"
    for name in options.models.split(","):
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            prepare(folder, name)
            written = {
                form
                for form in FORMATS
                if write_format(folder, form, options.writer_python)
            }
            own = {"served": "float32", "served bfloat16": BF16}
            for arm, dtype in own.items():
                export(folder, arm, ROOT, 1, dtype=dtype)
            for batch in map(int, options.batches.split(",")):
                arms = [
                    Arm(
                        arm,
                        f"{module}:served",
                        {
                            "path": str(served_path(folder, arm, 1) / "1"),
                            "batch": batch,
                        },
                        env=ONE_THREAD,
                    )
                    for arm in own
                ]
                arms += [
                    Arm(
                        arm,
                        f"{module}:{factory}",
                        {"folder": str(folder / form), "batch": batch, **more},
                        peer=True,
                        env=ONE_THREAD,
                    )
                    for arm, (factory, form, more) in PEERS.items()
                    if form in written
                ]
                timings = compare(arms, options.rounds)
                for timing in timings.values():
                    line = row(timing, timings["served"], batch=batch)
                    size = timing.facts["mean size"]
                    rows.append({**line, "mean size of a number": size})
                record(
                    f"serving_embedding_{name}",
                    rows,
                    timings=timings,
                    notes=[
                        "Text to embedding, one thread, the same random "
                        f"weights, {in_words(MODELS[name])}, about 100 "
                        "tokens a text. Speed is relative to ours in float32. "
                        "Equal mean sizes say that the arms compute the same."
                    ],
                )


if __name__ == "__main__":
    main()
