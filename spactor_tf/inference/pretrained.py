"""Finished models: a KerasHub preset that any T5 code opens.

`save_pretrained` writes backbone and tokenizer as a preset of
`keras_hub.models.T5Seq2SeqLM`; `load_pretrained` opens such a directory, or a
run directory that holds one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from runkit import InputError, atomic_directory, read_json, write_json
from spactor_tf.config.fields import from_dict, to_dict
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.vocabulary import Vocabulary

_TOKENIZER = "assets/tokenizer/vocabulary.spm"
_OUR_CONFIG = "spactor_config.json"
_OUR_FINGERPRINT = "spactor_vocabulary.json"


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A pre-trained T5.

    Attributes:
        backbone: `keras_hub.models.T5Backbone`.
        vocabulary: its vocabulary.
        config: of the run that made it; None for a preset from elsewhere.
    """

    backbone: Any
    vocabulary: Vocabulary
    config: PretrainConfig | None

    def language_model(self, length: int = 128) -> Any:
        """Returns a `T5Seq2SeqLM` that reads and generates text.

        Args:
            length: tokens of the longest input and output.
        """
        import keras_hub

        tokenizer = keras_hub.models.T5Tokenizer(proto=self.vocabulary.proto)
        preprocessor = keras_hub.models.T5Seq2SeqLMPreprocessor(
            tokenizer,
            encoder_sequence_length=length,
            decoder_sequence_length=length,
        )
        return keras_hub.models.T5Seq2SeqLM(
            backbone=self.backbone, preprocessor=preprocessor
        )

    def fill(self, texts: Sequence[str], max_span: int = 6) -> list[str]:
        """Searches for what stands behind the sentinels of each text.

        Args:
            texts: with sentinels `<extra_id_0>`, ... where text is missing.
            max_span: tokens of each missing piece, at most; at least one.

        Returns:
            For each text the target, "<extra_id_0> span <extra_id_1> ...".
        """
        from spactor_tf.inference.filling import GapFiller

        filler = GapFiller(self.backbone, self.vocabulary)
        eos = self.vocabulary.eos_id
        inputs = [np.append(i, eos) for i in self.vocabulary.encode(texts)]
        return [
            " ".join(self._target_text(filler.target(ids, max_span)))
            for ids in inputs
        ]

    def _target_text(self, target: np.ndarray) -> list[str]:
        """Sentinels and the texts between them."""
        is_gap = np.isin(target, self.vocabulary.sentinel_ids)
        parts = np.split(target[:-1], np.flatnonzero(is_gap[:-1])[1:])
        return [
            f"{self.vocabulary.decode(part[:1]).strip()} "
            f"{self.vocabulary.decode(part[1:]).strip()}"
            for part in parts
            if len(part)
        ]

    def tokens(self, texts: Sequence[str], length: int = 128) -> np.ndarray:
        """Ids of each text, cut to `length` with EOS, padded.

        Args:
            texts: any text.
            length: tokens that are read of each.

        Returns:
            [texts, length] int32.
        """
        eos, pad = self.vocabulary.eos_id, self.vocabulary.pad_id
        tokens = np.full((len(texts), length), pad, np.int32)
        for row, ids in zip(tokens, self.vocabulary.encode(texts), strict=True):
            ids = np.append(ids[: length - 1], eos)
            row[: len(ids)] = ids
        return tokens

    def embed(self, texts: Sequence[str], length: int = 128) -> np.ndarray:
        """Mean of the encoder's states over the tokens of each text.

        Args:
            texts: any text.
            length: tokens that are read of each.

        Returns:
            [texts, hidden_dim] float32.
        """
        from spactor_tf.model.t5 import build_encoder, mean_pool

        tokens = self.tokens(texts, length)
        mask = (tokens != self.vocabulary.pad_id).astype(np.int32)
        states = build_encoder(self.backbone).predict(
            {"encoder_token_ids": tokens, "encoder_padding_mask": mask},
            verbose=0,
        )
        return np.asarray(mean_pool(states, mask))


def save_pretrained(
    path: str | os.PathLike,
    backbone: Any,
    vocabulary: Vocabulary,
    config: PretrainConfig | None = None,
) -> None:
    """Writes a KerasHub preset, replacing an older one of the same name.

    Args:
        path: directory of the preset.
        backbone: the T5 body.
        vocabulary: its vocabulary; it is saved with a piece for every row of
            the embedding, since a model may generate any of them.
        config: of the run, written beside.
    """
    vocabulary = vocabulary.padded(backbone.vocabulary_size)
    model = Pretrained(backbone, vocabulary, config)
    length = config.corruption.input_length if config else 512
    with atomic_directory(path, replace=True) as folder:
        model.language_model(length).save_to_preset(str(folder))
        if config is not None:
            write_json(folder / _OUR_CONFIG, to_dict(config))
        # Of another vocabulary with as many pieces, only this tells.
        written = Vocabulary.load(folder / _TOKENIZER)
        write_json(folder / _OUR_FINGERPRINT, {"sha256": written.fingerprint})


def load_pretrained(path: str | os.PathLike, dtype: Any = None) -> Pretrained:
    """Opens a run directory or a KerasHub T5 preset directory.

    Args:
        path: of the run or of the preset.
        dtype: Keras dtype policy; None is that of the preset.

    Raises:
        InputError: not such a directory, an unfinished run, or a vocabulary
            that the model was not trained with.
    """
    import keras_hub

    folder = preset_dir(path)
    vocabulary = Vocabulary.load(folder / _TOKENIZER)
    _check_fingerprint(folder, vocabulary)
    options = {} if dtype is None else {"dtype": dtype}
    try:
        with contextlib.redirect_stderr(None):
            backbone = keras_hub.models.T5Backbone.from_preset(
                str(folder), **options
            )
    except (OSError, ValueError, LookupError) as error:
        raise InputError(
            f"is not a whole preset ({error})", where=str(folder)
        ) from None
    vocabulary.check_rows(backbone.vocabulary_size, str(folder))
    ours = folder / _OUR_CONFIG
    config = from_dict(read_json(ours)) if ours.is_file() else None
    return Pretrained(backbone, vocabulary, config)


def _check_fingerprint(folder: pathlib.Path, vocabulary: Vocabulary) -> None:
    """Refuses a swapped vocabulary; presets from elsewhere do not say."""
    path = folder / _OUR_FINGERPRINT
    if not path.is_file():
        return
    expected = read_json(path).get("sha256")
    if vocabulary.fingerprint != expected:
        raise InputError(
            "is not the vocabulary that the model was trained with",
            where=str(folder / _TOKENIZER), got=vocabulary.fingerprint[:16],
            expected=str(expected)[:16],
            remedy="Put back the vocabulary that was saved with the preset",
        )  # fmt: skip


def preset_dir(path: str | os.PathLike) -> pathlib.Path:
    """Returns the preset directory at `path` or in the run at `path`.

    Raises:
        InputError: there is none.
    """
    path = pathlib.Path(path)
    for folder in (path, path / "preset"):
        if (folder / "config.json").is_file() and (
            folder / _TOKENIZER
        ).is_file():
            return folder
    unfinished = (path / "checkpoints").is_dir()
    raise InputError(
        "the run is not finished: it holds checkpoints and no preset"
        if unfinished
        else "is neither a run directory nor a KerasHub T5 preset",
        where=str(path),
        expected=f"config.json and {_TOKENIZER}, here or in preset/",
        remedy="Let the run finish: the same command goes on with it"
        if unfinished
        else "",
    )
