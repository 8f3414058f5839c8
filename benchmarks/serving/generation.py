"""Greedy generation of a served T5 against cached peers, text to text.

    python -m benchmarks.serving.generation [--rounds=5] [--models=d256]
        [--batches=1,8] [--lengths=64,256] [--before=CHECKOUT]

The same random weights in every arm, one thread each, nobody stops early. Ours
runs in float32 and bfloat16, transformers too, CTranslate2 also in int8.
`--before` names another checkout of this repository: what it exports runs as a
further arm, through the same session loader. Processes of peers load what was
written for them before; their memory and start hold no conversion.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
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
from benchmarks.serving.peer_weights import pieces_of, weights_by_name

# "t5_small" has the sizes of T5-small, "d256" those of `speed`; "tiny" shows
# in a few minutes that all arms run.
MODELS = {
    "tiny": {
        "vocabulary_size": 4096,
        "num_layers": 2,
        "num_heads": 4,
        "hidden_dim": 128,
        "intermediate_dim": 512,
    },
    "d256": {
        "vocabulary_size": 4096,
        "num_layers": 4,
        "num_heads": 4,
        "hidden_dim": 256,
        "intermediate_dim": 1024,
    },
    "t5_small": {
        "vocabulary_size": 32128,
        "num_layers": 6,
        "num_heads": 8,
        "hidden_dim": 512,
        "intermediate_dim": 2048,
    },
}
INPUT_LENGTH = 128
ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    )
}
BF16 = "bfloat16"
MEASURED = ("d256", "t5_small")


def input_texts(count: int) -> list[str]:
    """Different texts, of about 20 tokens each."""
    words = [
        "The",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "a",
        "lazy",
        "dog",
    ]
    return [" ".join(words[i:] + words[:i]) + "." for i in range(count)]


def prepare(folder: pathlib.Path, name: str, texts: Sequence[str] = ()) -> None:
    """Writes a random T5 as a preset, and its weights as arrays.

    Args:
        folder: to write to.
        name: of `MODELS`.
        texts: that the vocabulary is trained on; none means docstrings.
    """
    import itertools

    from runkit.datasets import docstrings
    from spactor_tf.config.model import ModelConfig
    from spactor_tf.data.vocabulary import train_vocabulary
    from spactor_tf.inference.pretrained import save_pretrained
    from spactor_tf.model import t5

    if not texts:
        documents = itertools.islice(docstrings.iter_docstrings(), 3000)
        texts = [text for _, text in documents]
    vocabulary = train_vocabulary(texts, 4096)
    config = ModelConfig(**MODELS[name])
    backbone = t5.build_backbone(config)
    t5.reinitialize(
        backbone.variables,
        0,
        head_dim=config.head_dim,
        hidden_dim=config.hidden_dim,
    )
    # A logit of 0 is never the largest: no arm writes what is not text, and
    # none stops early.
    embeddings = np.array(backbone.token_embedding.embeddings)
    embeddings[vocabulary.special_ids] = 0
    embeddings[vocabulary.size :] = 0
    backbone.token_embedding.embeddings.assign(embeddings)
    save_pretrained(folder / "preset", backbone, vocabulary)
    np.savez(folder / "weights.npz", **weights_by_name(backbone))


def write_peers(folder: pathlib.Path, name: str) -> None:
    """Writes the weights for the peers, in their environment."""
    module = "benchmarks.serving.peer_weights"
    python = os.environ.get(PEER_PYTHON, sys.executable)
    sizes = json.dumps(MODELS[name])
    subprocess.run(
        [python, "-m", module, str(folder), sizes], cwd=ROOT, check=True
    )


def served_path(folder: pathlib.Path, arm: str, length: int) -> pathlib.Path:
    """Returns the base path of what an arm serves."""
    return folder / f"{arm} {length}"


def export(
    folder: pathlib.Path,
    arm: str,
    checkout: pathlib.Path,
    length: int,
    **more: Any,
) -> None:
    """Exports the preset with the code of a checkout; `more` are flags."""
    command = [sys.executable, "-m", "export.export_main"]
    flags = {
        "run_dir": folder / "preset",
        "output_dir": served_path(folder, arm, length),
        "version": 1,
        "input_length": INPUT_LENGTH,
        "max_output_length": length,
        **more,
    }
    subprocess.run(
        [*command, *(f"--{key}={value}" for key, value in flags.items())],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def served(
    path: str, batch: int, length: int
) -> Callable[[], dict[str, float]]:
    """Returns the arm that runs `generate` through the session loader."""
    from export.saved_model.session import SessionModel

    model = SessionModel(path)
    texts = input_texts(batch)

    def run() -> dict[str, float]:
        answer = model.run("generate", {"text": texts})
        assert not answer["finished"].any()
        written = [text.decode() for text in answer["text"]]
        return {"units": batch * length, "texts": _number(written)}

    return run


def _number(texts: list[str]) -> float:
    """A number that tells whether two arms wrote the same."""
    import hashlib

    digest = hashlib.sha256("\n".join(t.strip() for t in texts).encode())
    return float(int(digest.hexdigest()[:12], 16))


def hugging_face(
    folder: str, batch: int, length: int, dtype: str
) -> Callable[[], dict[str, float]]:
    """Returns the arm of `transformers`' cached `generate`."""
    import torch
    from transformers import T5ForConditionalGeneration

    torch.set_num_threads(1)
    model = T5ForConditionalGeneration.from_pretrained(
        f"{folder}/hugging_face", dtype=getattr(torch, dtype)
    ).eval()
    pieces, texts = pieces_of(folder), input_texts(batch)

    @torch.inference_mode()
    def run() -> dict[str, float]:
        rows = [[*ids, 1] for ids in pieces.encode(texts)]
        tokens = torch.zeros((batch, max(map(len, rows))), dtype=torch.long)
        for target, ids in zip(tokens, rows, strict=True):
            target[: len(ids)] = torch.tensor(ids)
        found = model.generate(
            input_ids=tokens,
            attention_mask=(tokens != 0).long(),
            max_new_tokens=length,
            do_sample=False,
            num_beams=1,
        )[:, 1:]
        assert found.shape == (batch, length)
        written = pieces.decode(found.tolist())
        return {"units": batch * length, "texts": _number(written)}

    return run


def ctranslate2_greedy(
    folder: str, batch: int, length: int, dtype: str
) -> Callable[[], dict[str, float]]:
    """Returns the arm of CTranslate2, with weights of a type."""
    import ctranslate2

    model = ctranslate2.Translator(
        f"{folder}/ctranslate2_{dtype}",
        intra_threads=1,
        inter_threads=1,
        compute_type=dtype,
    )
    pieces, texts = pieces_of(folder), input_texts(batch)
    eos = pieces.id_to_piece(1)

    def run() -> dict[str, float]:
        rows = [[*row, eos] for row in pieces.encode(texts, out_type=str)]
        answers = model.translate_batch(
            rows,
            beam_size=1,
            max_decoding_length=length,
            min_decoding_length=length,
        )
        found = [answer.hypotheses[0] for answer in answers]
        assert all(len(row) == length for row in found)
        written = pieces.decode_pieces(found)
        return {"units": batch * length, "texts": _number(written)}

    return run


def arms(
    folder: pathlib.Path,
    batch: int,
    length: int,
    checkouts: Iterable[str],
) -> list[Arm]:
    """Returns the arms of one case, ours first."""
    module = "benchmarks.serving.generation"
    case = {"batch": batch, "length": length}
    own = [
        Arm(
            arm,
            f"{module}:served",
            {"path": str(served_path(folder, arm, length) / "1"), **case},
            env=ONE_THREAD,
        )
        for arm in checkouts
    ]
    peers = [
        ("Hugging Face, cached", "hugging_face", "float32"),
        ("Hugging Face, cached, bfloat16", "hugging_face", "bfloat16"),
        ("CTranslate2 float32", "ctranslate2_greedy", "float32"),
        ("CTranslate2 int8", "ctranslate2_greedy", "int8"),
    ]
    return own + [
        Arm(
            arm,
            f"{module}:{factory}",
            {"folder": str(folder), **case, "dtype": dtype},
            peer=True,
            env=ONE_THREAD,
        )
        for arm, factory, dtype in peers
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default=",".join(MEASURED))
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--lengths", default="64,256")
    parser.add_argument("--before", type=pathlib.Path)
    options = parser.parse_args()
    exports = {"served": (ROOT, "float32"), "served bfloat16": (ROOT, BF16)}
    if options.before is not None:
        exports["served, before"] = (options.before.resolve(), "float32")
    for name in options.models.split(","):
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            prepare(folder, name)
            write_peers(folder, name)
            for length in map(int, options.lengths.split(",")):
                for arm, (checkout, dtype) in exports.items():
                    export(folder, arm, checkout, length, dtype=dtype)
                for batch in map(int, options.batches.split(",")):
                    timings = compare(
                        arms(folder, batch, length, exports),
                        options.rounds,
                    )
                    own = timings["served"]
                    for timing in timings.values():
                        same = timing.facts["texts"] == own.facts["texts"]
                        case = {"batch": batch, "tokens": length}
                        line = row(timing, own, **case)
                        rows.append({**line, "same texts": str(same)})
                    record(
                        f"serving_generation_{name}",
                        rows,
                        timings=timings,
                        notes=[
                            "Text to text, greedy, one thread, the same random "
                            f"weights, {in_words(MODELS[name])}; "
                            "units are tokens.",
                            "Speed is relative to ours in float32.",
                        ],
                    )


if __name__ == "__main__":
    main()
