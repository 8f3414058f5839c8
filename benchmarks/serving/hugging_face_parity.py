"""Folders that we write, opened by transformers and by CTranslate2.

    python -m benchmarks.serving.hugging_face_parity [--run_dir=runs/tiny]

1. Six small architectures are read from the folders that transformers wrote
   for the tests, written again by us, and opened by transformers: largest
   differences of encoder states and logits.
2. A trained model (by default `tiny`, pre-trained on docstrings and fine-tuned
   to end 100 texts, so that their answers differ), converted by the binary, in
   transformers: token ids, differences, greedy ids of these texts; the greedy
   ids of CTranslate2 where it is installed.
3. What transformers saves of it is read by us: number of weights that differ.

$BENCH_PYTHON names the Python of the peers.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks.harness import PEER_PYTHON, ROOT, record

GOLDEN = ROOT / "tests" / "testdata" / "hugging_face"
TEXTS, LENGTH, GENERATED = 100, 64, 24


def examples() -> list[tuple[str, str]]:
    """Lines of docstrings with a word taken out, and how their text ends."""
    from runkit.datasets import docstrings

    found = []
    for _, document in docstrings.iter_docstrings():
        words = document.splitlines()[0].split()
        if 6 <= len(words) <= 30:
            words[len(words) // 2] = "<extra_id_0>"
            end = " ".join(document.split()[-4:])
            found.append((" ".join(words), end))
        if len(found) == TEXTS:
            break
    return found


def train(folder: pathlib.Path) -> str:
    """Trains `tiny` for a few minutes; returns the finished run."""
    task, first, second = (folder / n for n in ("ends.tsv", "first", "second"))
    pairs = [("input", "target"), *examples()]
    task.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    commands = (
        "pretrain_main --preset=tiny --dataset=docstrings --train_steps=300 "
        f"--output_dir={first}",
        f"finetune_main --task=tsv:{task} --validation_file={task} "
        f"--init_from={first} --output_dir={second} --train_steps=600 "
        f"--batch_size=25 --input_length={LENGTH} --eval_every=300 "
        "--learning_rate=0.003",
    )
    for command in commands:
        run(command)
    return str(second)


def run(command: str) -> None:
    """Runs one of the binaries."""
    arguments = [sys.executable, "-m", *f"spactor_tf.{command}".split()]
    subprocess.run(arguments, cwd=ROOT, check=True)


def write_architectures(folder: pathlib.Path) -> list[str]:
    """Writes each golden model again, by our code."""
    from runkit import write_json
    from spactor_tf.model import t5
    from spactor_tf.model.hugging_face import read_backbone, tensors_of
    from spactor_tf.model.hugging_face_config import config_content
    from spactor_tf.model.tensor_files import write_tensors

    names = sorted(path.name for path in GOLDEN.iterdir())
    for name in names:
        alone = name == "encoder_only"
        backbone = read_backbone(GOLDEN / name)
        (folder / name).mkdir()
        content = config_content(t5.backbone_config(backbone), alone)
        write_json(folder / name / "config.json", content)
        write_tensors(folder / name, tensors_of(backbone, alone))
    return names


def our_outputs(model: Any, texts: list[str]) -> dict[str, np.ndarray]:
    """Token ids, encoder states, logits and greedy ids of a model."""
    import tensorflow as tf

    from spactor_tf.config.search_options import SearchOptions
    from spactor_tf.inference.decoding import CachedDecoder
    from spactor_tf.inference.token_search import generate
    from spactor_tf.model import t5

    tokens = model.tokens(texts, LENGTH)
    mask = (tokens != 0).astype(np.int32)
    inputs = {"encoder_token_ids": tokens, "encoder_padding_mask": mask}
    states = model.encoder(inputs)

    @tf.function
    def search(states: Any, mask: Any) -> Any:
        ids, _ = generate(
            CachedDecoder(model.backbone),
            SearchOptions(max_output_length=GENERATED),
            model.backbone.vocabulary_size,
            tf.zeros([len(texts)], tf.int64),
            states,
            mask,
        )
        return ids

    greedy = search(states, tf.constant(mask)).numpy()
    decoder_ids = np.concatenate([np.zeros((len(texts), 1)), greedy], 1)
    decoder_ids = decoder_ids[:, :-1].astype(np.int32)
    hidden = model.backbone(
        inputs
        | {
            "decoder_token_ids": decoder_ids,
            "decoder_padding_mask": np.ones_like(decoder_ids),
        }
    )["decoder_sequence_output"]
    return {
        "ids": tokens,
        "mask": mask,
        "encoder": np.asarray(states),
        "decoder_ids": decoder_ids,
        "logits": np.asarray(t5.lm_logits(model.backbone, hidden)),
        "greedy": greedy,
    }


def peer(folder: str) -> None:
    """Runs in the peers' environment; writes peer.json."""
    place = pathlib.Path(folder)
    report: dict[str, Any] = {"architectures": {}}
    report["trained"] = peer_trained(place)
    for path in sorted((place / "architectures").iterdir()):
        arrays = dict(np.load(GOLDEN / path.name / "golden.npz"))
        report["architectures"][path.name] = differences(path, arrays)[1]
    report["versions"] = [
        f"{name} {importlib.metadata.version(name)}"
        for name in ("torch", "transformers", "ctranslate2")
        if importlib.util.find_spec(name)
    ]
    (place / "peer.json").write_text(json.dumps(report))


def differences(
    path: pathlib.Path, arrays: dict[str, np.ndarray]
) -> tuple[Any, dict[str, float]]:
    """Opens a folder with transformers and compares its outputs."""
    import torch
    import transformers

    kind = json.loads((path / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, kind).from_pretrained(path).eval()
    given = {
        "input_ids": torch.from_numpy(arrays["ids"]).long(),
        "attention_mask": torch.from_numpy(arrays["mask"]).long(),
    }
    kept = arrays["mask"] > 0
    found = {}
    with torch.no_grad():
        if "logits" in arrays:
            decoder = torch.from_numpy(arrays["decoder_ids"]).long()
            result = model(**given, decoder_input_ids=decoder)
            states = result.encoder_last_hidden_state
            found["logits"] = np.abs(result.logits.numpy() - arrays["logits"])
        else:
            states = model(**given).last_hidden_state
    found["encoder"] = np.abs(states.numpy() - arrays["encoder"])[kept]
    return model, {name: float(value.max()) for name, value in found.items()}


def peer_trained(place: pathlib.Path) -> dict[str, Any]:
    """The trained model in transformers and CTranslate2."""
    import torch
    import transformers

    arrays = dict(np.load(place / "ours.npz"))
    texts = json.loads((place / "texts.json").read_text())
    model, found = differences(place / "trained", arrays)
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "trained")
    given = tokenizer(
        texts,
        padding="max_length",
        truncation=True,
        max_length=LENGTH,
        return_tensors="pt",
    )
    report: dict[str, Any] = dict(found)
    same = (given.input_ids.numpy() == arrays["ids"]).all(1)
    report["same token ids"] = int(same.sum())
    with torch.no_grad():
        greedy = model.generate(
            input_ids=given.input_ids,
            attention_mask=given.attention_mask,
            max_new_tokens=GENERATED,
            do_sample=False,
            num_beams=1,
        ).numpy()[:, 1:]
    expected = [ended(row) for row in arrays["greedy"]]
    report["distinct greedy ids"] = len({tuple(row) for row in expected})
    report["same greedy ids"] = sum(
        ended(row) == ours for row, ours in zip(greedy, expected, strict=True)
    )
    # The way back: what transformers itself writes.
    model.save_pretrained(place / "theirs")
    report["CTranslate2"] = ctranslate2_greedy(
        place, tokenizer, given, expected
    )
    return report


def ended(row: Any) -> list[int]:
    """The ids of a row up to the end of the text, without padding."""
    ids = [int(i) for i in row]
    return ids[: ids.index(1)] if 1 in ids else ids


def ctranslate2_greedy(
    place: pathlib.Path, tokenizer: Any, given: Any, expected: list[list[int]]
) -> int | None:
    """Texts with the same greedy ids in CTranslate2; None: not installed."""
    try:
        import ctranslate2
    except ImportError:
        return None
    converter = ctranslate2.converters.TransformersConverter(
        str(place / "trained")
    )
    converter.convert(str(place / "ctranslate2"))
    translator = ctranslate2.Translator(
        str(place / "ctranslate2"), device="cpu", intra_threads=1
    )
    rows = [
        tokenizer.convert_ids_to_tokens([*ended(row), 1])
        for row in given.input_ids
    ]
    results = translator.translate_batch(
        rows, beam_size=1, max_decoding_length=GENERATED
    )
    found = [
        tokenizer.convert_tokens_to_ids(result.hypotheses[0])
        for result in results
    ]
    return sum(ended(a) == b for a, b in zip(found, expected, strict=True))


def measure(folder: pathlib.Path, run_dir: str | None) -> dict[str, Any]:
    """Both sides; returns what the peer reports and the way back."""
    from spactor_tf.inference import load_pretrained
    from spactor_tf.model.hugging_face import read_backbone

    run_dir = run_dir or train(folder)
    (folder / "architectures").mkdir()
    write_architectures(folder / "architectures")
    model = load_pretrained(run_dir)
    run(
        f"convert_main --from={run_dir} --to=hugging_face "
        f"--output_dir={folder / 'trained'}"
    )
    texts = [text for text, _ in examples()]
    (folder / "texts.json").write_text(json.dumps(texts))
    np.savez(folder / "ours.npz", **our_outputs(model, texts))
    code = "import sys; from benchmarks.serving import hugging_face_parity"
    code += " as p; p.peer(sys.argv[1])"
    python = os.environ.get(PEER_PYTHON, sys.executable)
    subprocess.run([python, "-c", code, str(folder)], cwd=ROOT, check=True)
    report: dict[str, Any] = json.loads((folder / "peer.json").read_text())
    pairs = zip(
        model.backbone.get_weights(),
        read_backbone(folder / "theirs").get_weights(),
        strict=True,
    )
    report["trained"]["weights that differ"] = sum(
        not np.array_equal(ours, back) for ours, back in pairs
    )
    return report


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", help="a finished run; default: trains one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(pathlib.Path(folder), arguments.run_dir)
    rows = [
        {"model": name, **found}
        for name, found in report["architectures"].items()
    ]
    rows.append({"model": "trained", **report["trained"]})
    print(json.dumps(rows, indent=2))
    record(
        "hugging_face_parity",
        rows,
        notes=[
            "Largest absolute differences, float32, written by us and opened "
            "by transformers.",
            f"Peers: {', '.join(report['versions'])}.",
            f"Of {TEXTS} texts: token ids, greedy ids of up to {GENERATED} "
            "tokens in transformers and in CTranslate2.",
        ],
    )


if __name__ == "__main__":
    main()
