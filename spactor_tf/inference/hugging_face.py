"""Folders that Hugging Face transformers opens.

Beside `config.json` and `model.safetensors` there are `spiece.model` (the
SentencePiece model, sentinels included), the same for transformers as
`tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, and
`README.md`, the model card.
"""

from __future__ import annotations

import base64
import json
import pathlib
from typing import TYPE_CHECKING, Any

from runkit import InputError, write_json
from spactor_tf.config.fields import to_dict
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.data.vocabulary_text import SPACE
from spactor_tf.inference.added_tokens import TOKENIZER_CONFIG, TOKENIZER_JSON
from spactor_tf.model.hugging_face_config import (
    CONFIG,
    config_content,
    read_config,
)
from spactor_tf.model.tensor_files import (
    INDEX,
    WEIGHTS,
    holds_tensors,
    write_tensors,
)

if TYPE_CHECKING:
    from spactor_tf.model.t5 import Backbone

TOKENIZER = "spiece.model"
_SPECIAL = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def is_hugging_face(folder: pathlib.Path) -> bool:
    """Whether a folder is meant as a model of transformers."""
    path = folder / CONFIG
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_bytes())
    except (
        ValueError,
        RecursionError,
    ):  # What is wrong is said when it is read.
        return holds_tensors(folder)
    return holds_tensors(folder) or (
        isinstance(content, dict) and "model_type" in content
    )


def check_folder(folder: pathlib.Path, needs_decoder: bool = True) -> None:
    """Refuses what the small files tell; reads no weights.

    Args:
        folder: of a model of transformers.
        needs_decoder: whether an encoder alone is refused.

    Raises:
        InputError: another architecture, or a file that is missing.
    """
    if read_config(folder).encoder_only and needs_decoder:
        raise InputError(
            "holds an encoder alone, and a decoder is needed",
            where=str(folder),
            expected="T5ForConditionalGeneration",
            remedy="An encoder serves to embed texts and to classify them",
        )
    if not holds_tensors(folder):
        raise InputError(
            "holds no weights that can be read",
            where=str(folder),
            expected=f"{WEIGHTS}, or {INDEX} with its shards",
            remedy="Save it with transformers' save_pretrained, which writes "
            "safetensors",
        )
    if not (folder / TOKENIZER).is_file():
        raise InputError(
            "holds no SentencePiece model",
            where=str(folder),
            expected=TOKENIZER,
            remedy=f"Copy {TOKENIZER} from the model that this one was "
            "fine-tuned from",
        )


def write_folder(
    folder: pathlib.Path,
    backbone: Backbone,
    vocabulary: Vocabulary,
    config: PretrainConfig | None,
    length: int,
    encoder_only: bool = False,
    dtype: str = "float32",
) -> None:
    """Writes all files into an existing folder.

    Args:
        folder: not yet visible to readers.
        backbone: KerasHub's T5.
        vocabulary: with a piece for every row of the embedding.
        config: of the pre-training run, for the card; None if unknown.
        length: tokens of the longest input, told to the tokenizer.
        encoder_only: the decoder is left out.
        dtype: of the weights, "float32", "bfloat16" or "float16".
    """
    import ml_dtypes as ml_dtypes  # It gives NumPy bfloat16.

    from spactor_tf.model import t5
    from spactor_tf.model.hugging_face import tensors_of

    sizes = t5.backbone_config(backbone)
    content = config_content(sizes, encoder_only) | {"torch_dtype": dtype}
    write_json(folder / CONFIG, content)
    tensors = tensors_of(backbone, encoder_only)
    write_tensors(
        folder, {name: value.astype(dtype) for name, value in tensors.items()}
    )
    vocabulary.save(folder / TOKENIZER)
    write_json(folder / TOKENIZER_JSON, tokenizer_json(vocabulary))
    write_json(folder / "special_tokens_map.json", _token_map(vocabulary))
    write_json(
        folder / TOKENIZER_CONFIG,
        {
            **_token_map(vocabulary),
            "added_tokens_decoder": {
                str(token.pop("id")): token for token in _added(vocabulary)
            },
            "clean_up_tokenization_spaces": False,
            "extra_ids": 0,  # They are pieces of the SentencePiece model.
            "model_max_length": length,
            # T5Tokenizer itself would add and drop spaces as T5's own
            # vocabulary does; tokenizer.json says what this one does.
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    card = model_card(content, vocabulary, config)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _sentinels(vocabulary: Vocabulary) -> list[str]:
    return [f"<extra_id_{i}>" for i in range(len(vocabulary.sentinel_ids))]


def _token_map(vocabulary: Vocabulary) -> dict[str, Any]:
    return {**_SPECIAL, "additional_special_tokens": _sentinels(vocabulary)}


def _added(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The tokens that are cut out of a text before it is tokenized."""
    names = {
        vocabulary.pad_id: "<pad>",
        vocabulary.eos_id: "</s>",
        vocabulary.unk_id: "<unk>",
        vocabulary.mask_id: "<mask>",
    }
    sentinels = _sentinels(vocabulary)
    names |= dict(zip(vocabulary.sentinel_ids.tolist(), sentinels, strict=True))
    pieces = vocabulary.model_proto.pieces
    flags = {"single_word": False, "rstrip": False, "normalized": False}
    return [
        # A mark of a space takes the space before the token.
        {"id": i, "content": name, "special": True}
        | {"lstrip": pieces[i].piece == SPACE + name, **flags}
        for i, name in sorted(names.items())
    ]


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Returns the vocabulary as the library `tokenizers` reads it.

    Raises:
        InputError: not a unigram model, or one with the space mark at the end
            of its words.
    """
    model = vocabulary.model_proto
    kind = model.trainer_spec.model_type
    if kind != model.trainer_spec.UNIGRAM:
        raise InputError(
            "is not a unigram SentencePiece model, and transformers would "
            "split texts otherwise",
            where="vocabulary",
            got=model.trainer_spec.ModelType.Name(kind),
        )
    if model.trainer_spec.treat_whitespace_as_suffix:
        raise InputError(
            "has the mark of a space at the end of its words, and transformers "
            "would split texts otherwise",
            where="vocabulary",
            got="treat_whitespace_as_suffix",
        )
    spec = model.normalizer_spec
    added = _added(vocabulary)
    pieces = [[piece.piece, piece.score] for piece in model.pieces]
    for token in added:  # T5's own sentinels carry a space mark.
        pieces[token["id"]][0] = token["content"]
    cleaning: list[dict[str, Any]] = []
    if spec.precompiled_charsmap:
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode("ascii")
        cleaning.append(
            {"type": "Precompiled", "precompiled_charsmap": charsmap}
        )
    # What a text begins with follows a sentinel, or "first" looks after it.
    ends = " +$" if spec.add_dummy_prefix else "^ +| +$"
    if spec.remove_extra_whitespaces:
        # "Strip" would take other white space too.
        cleaning += [
            {"type": "Replace", "pattern": {"Regex": spaces}, "content": kept}
            for spaces, kept in ((ends, ""), (" {2,}", " "))
        ]
    spaced = {"type": "Replace", "pattern": {"String": "\u2581"}}
    decoders = [{**spaced, "content": " "}, {"type": "ByteFallback"}]
    decoders.append({"type": "Fuse"})
    if spec.add_dummy_prefix:
        decoders.append(
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        )
    end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    first, second = ({"Sequence": {"id": i, "type_id": 0}} for i in "AB")
    ended = {"id": "</s>", "ids": [vocabulary.eos_id], "tokens": ["</s>"]}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": cleaning}
        if cleaning
        else None,
        "pre_tokenizer": {
            "type": "Metaspace",
            "replacement": "\u2581",
            "prepend_scheme": "first" if spec.add_dummy_prefix else "never",
            "split": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, end],
            "pair": [first, end, second, end],
            "special_tokens": {"</s>": ended},
        },
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "Unigram",
            "unk_id": vocabulary.unk_id,
            "vocab": pieces,
            "byte_fallback": model.trainer_spec.byte_fallback,
        },
    }


def model_card(
    content: dict[str, Any],
    vocabulary: Vocabulary,
    config: PretrainConfig | None,
) -> str:
    """Returns the text of README.md: sizes, and how it was trained.

    Args:
        content: of `config.json`.
        vocabulary: of the model.
        config: of the pre-training run; None if unknown.
    """
    sizes = ("num_layers", "d_model", "d_ff", "num_heads", "d_kv")
    facts = {
        "architecture": content["architectures"][0],
        **{name: content[name] for name in sizes},
        "feed-forward": content["feed_forward_proj"],
        "output tied to the embedding": content["tie_word_embeddings"],
        "rows of the embedding": content["vocab_size"],
        "vocabulary (SHA-256)": vocabulary.fingerprint,
    }
    lines = [
        "---",
        "library_name: transformers",
        "tags: [t5, spactor]",
        "---",
        "",
        "# T5",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
        "Padding, end and unknown are ids 0, 1 and 2; the sentinels "
        "`<extra_id_0>` to `<extra_id_99>` are pieces of `spiece.model`. Open "
        "the tokenizer with `AutoTokenizer`.",
    ]
    if config is not None:
        trained = json.dumps(to_dict(config), indent=2, sort_keys=True)
        lines += ["", "## Pre-training", "", "```json", trained, "```"]
    return "\n".join(lines) + "\n"
