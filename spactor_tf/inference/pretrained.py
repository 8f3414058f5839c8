"""Finished models: a KerasHub preset that any T5 code opens.

`save_pretrained` writes backbone and tokenizer as a preset of
`keras_hub.models.T5Seq2SeqLM`; `load_pretrained` opens such a directory, or a
run directory that holds one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from runkit import InputError, atomic_directory, read_json, write_json
from runkit.checks import require_finite
from runkit.minibatches import in_batches
from spactor_tf.config.fields import from_dict, to_dict
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.encoding import encode_texts
from spactor_tf.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    import keras
    import keras_hub
    import tensorflow as tf

    from spactor_tf.model.t5 import Backbone

_TOKENIZER = "assets/tokenizer/vocabulary.spm"
_OUR_CONFIG = "spactor_config.json"
_OUR_FINGERPRINT = "spactor_vocabulary.json"
_OUR_TASK = "spactor_task.json"


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A pre-trained, perhaps fine-tuned T5.

    Attributes:
        backbone: `keras_hub.models.T5Backbone`.
        vocabulary: its vocabulary.
        config: of its pre-training run; None for any other preset.
        task_length: tokens of an input of the tasks it was fine-tuned on; None
            if it was not fine-tuned.
    """

    backbone: Backbone
    vocabulary: Vocabulary
    config: PretrainConfig | None
    task_length: int | None = None

    @property
    def input_length(self) -> int | None:
        """Tokens of an input in the last training; None if unknown."""
        if self.task_length is None and self.config is not None:
            return self.config.corruption.input_length
        return self.task_length

    def language_model(self, length: int = 128) -> keras_hub.models.T5Seq2SeqLM:
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
        """Searches for what the sentinels of each text stand for.

        Args:
            texts: with sentinels `<extra_id_0>`, ... where text is missing.
            max_span: most tokens of each missing piece, at least 1.

        Returns:
            For each text the target, "<extra_id_0> span <extra_id_1> ...".
        """
        from spactor_tf.inference.filling import GapFiller

        filler = GapFiller(self.backbone, self.vocabulary, self.encoder)
        inputs = encode_texts(self.vocabulary, texts)
        answers = []
        for number in range(len(inputs)):
            target = filler.target(inputs.row(number), max_span)[:-1]
            is_gap = np.isin(target, self.vocabulary.sentinel_ids)
            spans = np.split(target, np.flatnonzero(is_gap)[1:])
            # A sentinel and the text after it, each without outer spaces.
            words = [
                self.vocabulary.decode(part).strip()
                for span in spans
                if len(span)
                for part in (span[:1], span[1:])
            ]
            answers.append(" ".join(words))
        return answers

    def tokens(self, texts: Sequence[str], length: int = 128) -> np.ndarray:
        """Returns `[texts, length]` int32 ids: cut, ended by EOS, padded.

        Args:
            texts: any, also none.
            length: most tokens read of each text, EOS included.
        """
        return encode_texts(self.vocabulary, texts, length).padded(length)

    @functools.cached_property
    def encoder(self) -> keras.Model:
        """The encoder alone; it shares the backbone's weights.

        See `spactor_tf.model.t5.build_encoder`.
        """
        from spactor_tf.model.t5 import build_encoder

        return build_encoder(self.backbone)

    def pool(self, tokens: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Means of the encoder's states over the tokens of each row.

        Args:
            tokens: `[batch, length]` int32, padded.
            training: whether dropout is on.

        Returns:
            `[batch, hidden_dim]` float32.
        """
        import tensorflow as tf

        from spactor_tf.model.t5 import mean_pool

        mask = tf.cast(tf.not_equal(tokens, self.vocabulary.pad_id), tf.int32)
        states = self.encoder(
            {"encoder_token_ids": tokens, "encoder_padding_mask": mask},
            training=training,
        )
        return mean_pool(states, mask)

    def embed(
        self,
        texts: Sequence[str],
        length: int = 128,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Means of the encoder's states over the tokens of each text.

        The weights are read as they are at the time of the call.

        Args:
            texts: any, also none.
            length: most tokens read of each text, EOS included.
            batch_size: texts per call of the encoder; the last call is filled
                up with padding. None takes 32, or all texts if they are fewer.

        Returns:
            `[texts, hidden_dim]` float32.

        Raises:
            InputError: not a sequence of texts.
        """
        tokens = self.tokens(texts, length)
        if batch_size is None:
            batch_size = min(32, max(1, len(tokens)))
        (vectors,) = in_batches(
            lambda rows: [self._traced_pool(rows)],
            tokens,
            batch_size,
            filler=self.vocabulary.pad_id,
        )
        return vectors

    @functools.cached_property
    def _traced_pool(self) -> Callable[[np.ndarray], tf.Tensor]:
        import tensorflow as tf

        shape = tf.TensorSpec([None, None], tf.int32)
        return tf.function(self.pool, input_signature=[shape], autograph=False)


def save_pretrained(
    path: str | os.PathLike,
    backbone: Backbone,
    vocabulary: Vocabulary,
    config: PretrainConfig | None = None,
    task_length: int | None = None,
) -> None:
    """Writes a KerasHub preset, replacing an older one of the same name.

    Args:
        path: directory of the preset.
        backbone: the T5 body.
        vocabulary: its vocabulary; it is saved with a piece for every row of
            the embedding, since a model may generate any of them.
        config: of the pre-training run, saved with the preset.
        task_length: see `Pretrained`.
    """
    vocabulary = vocabulary.padded(backbone.vocabulary_size)
    model = Pretrained(backbone, vocabulary, config, task_length)
    length = model.input_length or 512
    with atomic_directory(path, replace=True) as folder:
        model.language_model(length).save_to_preset(str(folder))
        if config is not None:
            write_json(folder / _OUR_CONFIG, to_dict(config))
        if task_length is not None:
            write_json(folder / _OUR_TASK, {"input_length": task_length})
        # Only this tells another vocabulary with as many pieces.
        written = Vocabulary.load(folder / _TOKENIZER)
        write_json(folder / _OUR_FINGERPRINT, {"sha256": written.fingerprint})


def load_pretrained(
    path: str | os.PathLike, dtype: str | keras.DTypePolicy | None = None
) -> Pretrained:
    """Opens a run directory or a KerasHub T5 preset directory.

    Args:
        path: of the run or of the preset.
        dtype: Keras dtype policy; None is that of the preset.

    Raises:
        InputError: not such a directory, an unfinished run, a vocabulary that
            the model was not trained with, or weights that are not finite.
    """
    import keras_hub

    from spactor_tf.model.t5 import mask_warning_ignored

    folder = preset_dir(path)
    vocabulary = Vocabulary.load(folder / _TOKENIZER)
    _check_fingerprint(folder, vocabulary)
    options = {} if dtype is None else {"dtype": dtype}
    try:
        with contextlib.redirect_stderr(None), mask_warning_ignored():
            backbone = keras_hub.models.T5Backbone.from_preset(
                str(folder), **options
            )
    except (OSError, ValueError, LookupError) as error:
        raise InputError(
            f"is not a whole preset ({error})", where=str(folder)
        ) from None
    vocabulary.check_rows(backbone.vocabulary_size, str(folder))
    require_finite(
        ((v.path, np.asarray(v.value)) for v in backbone.variables),
        "the weights",
        str(folder),
        "Export it again from an earlier checkpoint",
    )
    ours, task = folder / _OUR_CONFIG, folder / _OUR_TASK
    config = from_dict(read_json(ours)) if ours.is_file() else None
    task_length = (
        read_json(task).get("input_length") if task.is_file() else None
    )
    return Pretrained(backbone, vocabulary, config, task_length)


def _check_fingerprint(folder: pathlib.Path, vocabulary: Vocabulary) -> None:
    """Refuses a swapped vocabulary; other presets have no fingerprint."""
    path = folder / _OUR_FINGERPRINT
    if not path.is_file():
        return
    expected = read_json(path).get("sha256")
    if vocabulary.fingerprint != expected:
        raise InputError(
            "is not the vocabulary that the model was trained with",
            where=str(folder / _TOKENIZER),
            got=vocabulary.fingerprint[:16],
            expected=str(expected)[:16],
            remedy="Put back the vocabulary that was saved with the preset",
        )


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
    if not path.is_dir():
        raise InputError(
            "is a file" if path.is_file() else "no such directory",
            where=str(path),
            expected="a run directory or a KerasHub T5 preset",
        )
    unfinished = (path / "checkpoints").is_dir()
    raise InputError(
        "the run is not finished: it holds checkpoints and no preset"
        if unfinished
        else "is neither a run directory nor a KerasHub T5 preset",
        where=str(path),
        expected=f"config.json and {_TOKENIZER}, here or in preset/",
        remedy="Let the run finish: the same command resumes it"
        if unfinished
        else "",
    )
