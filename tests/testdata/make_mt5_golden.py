"""Writes mt5_vocabulary: an mT5 with a vocabulary of mT5's kind.

`make -C benchmarks golden` runs this in the peers' environment. google/mt5's
spiece.model has 250,100 pieces for 250,112 rows: bytes behind the control ids,
and <extra_id_99> ... <extra_id_0>, each with the mark of a space, as the last
pieces; its tokenizer_config.json says "extra_ids": 0. This one is the same with
few pieces. golden.npz has what transformers makes of TEXTS: ids, greedy ids and
the text of these.
"""

import io
import json
import shutil

import make_hugging_face_golden as architectures
import numpy as np
import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2
from transformers import AutoTokenizer, MT5Config, MT5ForConditionalGeneration

FOLDER = architectures.FOLDER.parent / "mt5_vocabulary"
PIECES, SPARE_ROWS = 520, 12
SENTENCES = [
    "The film was better than the book, and the book was not bad.",
    "Der Film war besser als das Buch, und das Buch war nicht schlecht.",
    "Le film était meilleur que le livre, qui n'était pas mauvais.",
    "La película fue mejor que el libro, que no era malo.",
    "Фильм был лучше, чем книга, а книга была неплоха.",
    "映画は本より良かったが、本も悪くなかった。",
    "फिल्म किताब से बेहतर थी और किताब बुरी नहीं थी।",
    "0 1 2 3 4 5 6 7 8 9 + - = ( ) [ ] % & / ? ! : ;",
]
TEXTS = [
    "The film was <extra_id_0> than the book.",
    "<extra_id_0> und das <extra_id_1> war nicht <extra_id_2>",
    "Фильм <extra_id_0> книга",
    "映画は <extra_id_0> 良かった",
    "  two  spaces \t and a tab ",
    "unseen: ☃ ẞ 🙂 \u0101",
    "<extra_id_99>",
    "a",
    "",
]
MOST_TOKENS = 12


def vocabulary():
    """The serialized SentencePiece model."""
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=buffer,
        vocab_size=PIECES - 100,
        model_type="unigram",
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        hard_vocab_limit=False,
        bos_id=-1,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        pad_piece="<pad>",
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(buffer.getvalue())
    for index in reversed(range(100)):
        kind = model.SentencePiece.USER_DEFINED
        name = f"\u2581<extra_id_{index}>"
        model.pieces.add(piece=name, score=0.0, type=kind)
    model.trainer_spec.vocab_size = len(model.pieces)
    # What the training was told is no part of the vocabulary.
    del model.trainer_spec.input[:]
    return model.SerializeToString(deterministic=True), len(model.pieces)


def padded(rows):
    """[rows, longest] int64 of lists of ids; 0 is padding."""
    array = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for row, ids in zip(array, rows, strict=True):
        row[: len(ids)] = ids
    return array


def write():
    """Writes the folder."""
    proto, pieces = vocabulary()
    fields = architectures.GATED | {"vocab_size": pieces + SPARE_ROWS}
    model = architectures.build(MT5ForConditionalGeneration, MT5Config, fields)
    shutil.rmtree(FOLDER, ignore_errors=True)
    model.save_pretrained(FOLDER)
    (FOLDER / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((FOLDER / "config.json").read_text())
    config["tie_word_embeddings"] = False  # As mT5's says it.
    (FOLDER / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (FOLDER / "spiece.model").write_bytes(proto)
    settings = {
        "additional_special_tokens": None,
        "eos_token": "</s>",
        "extra_ids": 0,
        "pad_token": "<pad>",
        "tokenizer_class": "T5Tokenizer",
        "unk_token": "<unk>",
    }
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    ids = [tokenizer(text).input_ids for text in TEXTS]
    reader = sentencepiece.SentencePieceProcessor(model_proto=proto)
    arrays = {
        "texts": np.array(TEXTS),
        "ids": padded(ids),
        "sentencepiece": padded([[*reader.encode(t), 1] for t in TEXTS]),
        "first_sentinel": tokenizer.convert_tokens_to_ids("\u2581<extra_id_0>"),
    }
    mask = torch.from_numpy(arrays["ids"] != 0).long()
    greedy = model.generate(
        torch.from_numpy(arrays["ids"]),
        attention_mask=mask,
        max_new_tokens=MOST_TOKENS,
        do_sample=False,
    )
    arrays["greedy"] = greedy.numpy()[:, 1:]
    arrays["decoded"] = np.array(tokenizer.batch_decode(greedy))
    np.savez_compressed(FOLDER / "golden.npz", **arrays)
    for text, row, other in zip(
        TEXTS, ids, arrays["sentencepiece"], strict=True
    ):
        same = row == other[: len(row)].tolist()
        print(repr(text), row, "" if same else f"sentencepiece: {other}")
    print(pieces, arrays["first_sentinel"], tokenizer.__class__.__name__)


if __name__ == "__main__":
    write()
