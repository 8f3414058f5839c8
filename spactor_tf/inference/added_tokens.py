"""Tokens that transformers has added to a SentencePiece model.

`tokenizer.add_tokens(...)` writes them beside `spiece.model`, into one or
several of three files. A text read without them has other ids than the model
was trained with, and nothing else would tell.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from runkit import InputError, read_json
from spactor_tf.data.vocabulary import Vocabulary

TOKENIZER_CONFIG, TOKENIZER_JSON = "tokenizer_config.json", "tokenizer.json"
_ADDED = "added_tokens.json"
_SPACE = "\u2581"  # Pieces of mT5's sentinels begin with it.


def check_added_tokens(
    folder: pathlib.Path, vocabulary: Vocabulary, rows: int
) -> None:
    """Refuses tokens that the SentencePiece model does not have.

    Args:
        folder: of a model of transformers.
        vocabulary: read from its SentencePiece model.
        rows: of the embedding; a token behind them was never trained.

    Raises:
        InputError: a token that has another id, or none, in the vocabulary;
            a file that is not JSON, or of another form.
    """
    for name in (_ADDED, TOKENIZER_CONFIG, TOKENIZER_JSON):
        if (folder / name).is_file():
            _check(folder / name, vocabulary, rows)


def _check(path: pathlib.Path, vocabulary: Vocabulary, rows: int) -> None:
    try:
        tokens = [(int(i), text) for i, text in _tokens(read_json(path))]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "does not list added tokens as transformers writes them",
            where=str(path),
        ) from None
    pieces = vocabulary.model_proto.pieces
    for index, text in tokens:
        piece = pieces[index].piece if index < vocabulary.size else ""
        if index >= rows or piece.removeprefix(_SPACE) == text:
            continue
        raise InputError(
            "has a token that spiece.model does not have under this id",
            where=str(path),
            got=f"{text} with id {index}",
            remedy="Texts would be read otherwise than the model was trained. "
            "Add the token to spiece.model as a user-defined piece of this id",
        )


def _tokens(content: Any) -> Iterator[tuple[Any, str]]:
    """Yields (id, text) of one of the three files."""
    if isinstance(content.get("added_tokens"), list):  # tokenizer.json
        yield from ((t["id"], t["content"]) for t in content["added_tokens"])
    elif "added_tokens_decoder" in content:  # tokenizer_config.json
        listed = content["added_tokens_decoder"].items()
        yield from ((index, token["content"]) for index, token in listed)
    elif all(type(index) is int for index in content.values()):
        yield from ((index, text) for text, index in content.items())
