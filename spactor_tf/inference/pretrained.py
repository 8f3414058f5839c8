"""Finished models: a KerasHub preset that any T5 code opens.

`save_pretrained` writes backbone and tokenizer as a preset of
`keras_hub.models.T5Seq2SeqLM`, `save_hugging_face` as a folder of Hugging Face
transformers; `load_pretrained` opens either, or a run directory with a preset.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from typing import TYPE_CHECKING

import numpy as np

from runkit import InputError, atomic_directory, read_json, write_json
from runkit.checks import require_finite
from runkit.files import check_checksums, write_checksums
from spactor_tf.config.fields import from_dict, to_dict
from spactor_tf.config.model import least_weights
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.inference import hugging_face
from spactor_tf.inference.added_tokens import check_added_tokens
from spactor_tf.inference.trained_model import Pretrained as Pretrained

if TYPE_CHECKING:
    import keras

    from spactor_tf.model.t5 import Backbone

_TOKENIZER = "assets/tokenizer/vocabulary.spm"
_OUR_CONFIG = "spactor_config.json"
_OUR_FINGERPRINT = "spactor_vocabulary.json"
_OUR_TASK = "spactor_task.json"


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
        _write_facts(folder, model, folder / _TOKENIZER)


def save_hugging_face(
    path: str | os.PathLike, model: Pretrained, encoder_only: bool = False
) -> None:
    """Writes a folder that transformers opens, and `load_pretrained` too.

    Args:
        path: a new directory.
        model: what is written; its weights as float32.
        encoder_only: for `T5EncoderModel`: without the decoder.

    Raises:
        InputError: `path` exists already.
    """
    vocabulary = model.vocabulary.padded(model.backbone.vocabulary_size)
    with atomic_directory(path) as folder:
        hugging_face.write_folder(
            folder,
            model.backbone,
            vocabulary,
            model.config,
            model.input_length or 512,
            encoder_only,
        )
        _write_facts(folder, model, folder / hugging_face.TOKENIZER)


def _write_facts(
    folder: pathlib.Path, model: Pretrained, tokenizer: pathlib.Path
) -> None:
    """Writes what only this project reads of a model, checksums last."""
    if model.config is not None:
        write_json(folder / _OUR_CONFIG, to_dict(model.config))
    if model.task_length is not None:
        write_json(folder / _OUR_TASK, {"input_length": model.task_length})
    # Only this tells another vocabulary with as many pieces.
    written = Vocabulary.load(tokenizer)
    write_json(folder / _OUR_FINGERPRINT, {"sha256": written.fingerprint})
    write_checksums(folder)


def load_pretrained(
    path: str | os.PathLike,
    dtype: str | keras.DTypePolicy | None = None,
    needs_decoder: bool = True,
) -> Pretrained:
    """Opens a run, a KerasHub T5 preset or a T5 of Hugging Face.

    Args:
        path: directory of the run, of the preset, or one with `config.json`,
            `model.safetensors` and `spiece.model`.
        dtype: Keras dtype policy; None is that of the preset.
        needs_decoder: whether a folder with an encoder alone is refused. If
            not, its decoder has initial values.

    Raises:
        InputError: not such a directory, an unfinished run, another
            architecture or a layer that cannot be represented, a vocabulary
            that the model was not trained with, weights that are missing
            or not finite, or a file that is not as it was written.
    """
    folder = preset_dir(path, needs_decoder)
    foreign = hugging_face.is_hugging_face(folder)
    tokenizer = folder / (hugging_face.TOKENIZER if foreign else _TOKENIZER)
    vocabulary = Vocabulary.load(tokenizer)
    _check_fingerprint(folder, vocabulary)
    check_checksums(
        folder,
        "Write it again; after a change of your own, delete checksums.json",
    )
    if foreign:
        from spactor_tf.model.hugging_face import read_backbone

        backbone = read_backbone(folder, dtype)
        vocabulary.check_rows(backbone.vocabulary_size, str(folder))
        check_added_tokens(folder, vocabulary, backbone.vocabulary_size)
    else:
        backbone = _preset_backbone(folder, vocabulary, dtype)
    ours, task = folder / _OUR_CONFIG, folder / _OUR_TASK
    config = from_dict(read_json(ours)) if ours.is_file() else None
    task_length = _task_length(task) if task.is_file() else None
    return Pretrained(backbone, vocabulary, config, task_length)


def _task_length(path: pathlib.Path) -> int:
    """Reads the tokens of an input of the tasks."""
    stated = read_json(path)
    length = stated.get("input_length") if isinstance(stated, dict) else None
    if type(length) is not int or length < 1:
        raise InputError(
            "is not a length", where=f"{path}: input_length", got=length
        )
    return length


def _preset_backbone(
    folder: pathlib.Path,
    vocabulary: Vocabulary,
    dtype: str | keras.DTypePolicy | None,
) -> Backbone:
    """Reads and checks the backbone of a KerasHub preset."""
    import keras_hub

    from spactor_tf.model.t5 import check_activation, mask_warning_ignored

    _check_sizes(folder)
    options = {} if dtype is None else {"dtype": dtype}
    try:
        with contextlib.redirect_stderr(None), mask_warning_ignored():
            backbone = keras_hub.models.T5Backbone.from_preset(
                str(folder), **options
            )
    except Exception as error:
        # Keras, KerasHub and HDF5 raise nearly anything about foreign files.
        raise InputError(
            f"is not a whole preset ({error})", where=str(folder)
        ) from None
    check_activation(backbone, str(folder))
    vocabulary.check_rows(backbone.vocabulary_size, str(folder))
    require_finite(
        ((v.path, np.asarray(v.value)) for v in backbone.variables),
        "the weights",
        str(folder),
        "Export it again from an earlier checkpoint",
    )
    return backbone


def _check_sizes(folder: pathlib.Path) -> None:
    """Refuses sizes that the weights are too few for, before memory is taken.

    Raises:
        InputError: not a configuration of a T5, or one of a larger model.
    """
    path = folder / "config.json"
    values = read_json(path)
    fields = values.get("config") if isinstance(values, dict) else None
    if not isinstance(fields, dict):
        raise InputError("holds no configuration", where=str(path))
    sizes = {}
    for name in (
        "vocabulary_size",
        "hidden_dim",
        "num_layers",
        "intermediate_dim",
        "num_heads",
    ):
        value = fields.get(name)
        if type(value) is not int or value < 1:
            raise InputError(
                "is not a size", where=f"{path}: {name}", got=value
            )
        sizes[name] = value
    width = fields.get("key_value_dim")
    if width is not None and (type(width) is not int or width < 1):
        raise InputError(
            "is not a size", where=f"{path}: key_value_dim", got=width
        )
    epsilon = fields.get("layer_norm_epsilon", 1e-6)
    if type(epsilon) is not float or not 0 < epsilon < 1:
        raise InputError(
            "is not a small number above 0",
            where=f"{path}: layer_norm_epsilon",
            got=epsilon,
        )
    inner_dim = sizes.pop("num_heads") * (width or 1)
    least = least_weights(**sizes, inner_dim=inner_dim)
    held = sum(file.stat().st_size for file in folder.glob("*.h5"))
    # Quantized weights take half a byte at least.
    if least > 2 * held:
        raise InputError(
            "the weights are too few for the sizes of config.json",
            where=str(folder),
            got=f"{held:,} bytes of .h5 files",
            expected=f"more than {least:,} weights",
        )


def _check_fingerprint(folder: pathlib.Path, vocabulary: Vocabulary) -> None:
    """Refuses a swapped vocabulary; other presets have no fingerprint."""
    path = folder / _OUR_FINGERPRINT
    if not path.is_file():
        return
    stated = read_json(path)
    expected = stated.get("sha256") if isinstance(stated, dict) else None
    if not vocabulary.has_fingerprint(expected):
        raise InputError(
            "is not the vocabulary that the model was trained with",
            where=str(folder / _TOKENIZER),
            got=vocabulary.fingerprint[:16],
            expected=str(expected)[:16],
            remedy="Put back the vocabulary that was saved with the preset",
        )


def _tell_of_older(preset: pathlib.Path) -> None:
    """Says that a run has gone on beyond its preset."""
    run = preset.parent
    mine, its = (
        read_json(path) if path.is_file() else None
        for path in (run / "config.json", preset / _OUR_CONFIG)
    )
    if not isinstance(mine, dict):
        return
    end = mine.get("train_steps")
    if "task" in mine:  # Fine-tuning takes its results away when it goes on.
        is_older, what = not (run / "results.json").is_file(), "an earlier end"
    else:
        before = its.get("train_steps") if isinstance(its, dict) else None
        is_older, what = before not in (None, end), f"{before} steps"
    if is_older and end is not None:
        print(
            f"warning: {preset} is the model of {what}, and its run "
            f"goes on to {end}: the same command finishes it, and "
            "spactor-preset makes a preset of its newest checkpoint",
            file=sys.stderr,
        )


def preset_dir(
    path: str | os.PathLike, needs_decoder: bool = True
) -> pathlib.Path:
    """Returns the directory of the model at `path` or in the run at `path`.

    Args:
        path: see `load_pretrained`.
        needs_decoder: see `load_pretrained`.

    Raises:
        InputError: there is none, or one of Hugging Face that the small files
            show to be unfit.
    """
    path = pathlib.Path(path)
    for folder in (path, path / "preset"):
        if (folder / "config.json").is_file() and (
            folder / _TOKENIZER
        ).is_file():
            _tell_of_older(folder)
            return folder
    if hugging_face.is_hugging_face(path):
        hugging_face.check_folder(path, needs_decoder)
        return path
    if not path.is_dir():
        raise InputError(
            "is a file" if path.is_file() else "no such directory",
            where=str(path),
            expected="a run directory or a T5 of KerasHub or Hugging Face",
        )
    unfinished = (path / "checkpoints").is_dir()
    raise InputError(
        "the run is not finished: it holds checkpoints and no preset"
        if unfinished
        else "is neither a run directory nor a T5 of KerasHub or Hugging Face",
        where=str(path),
        expected=f"config.json and {_TOKENIZER}, here or in preset/; or "
        f"config.json, model.safetensors and {hugging_face.TOKENIZER}",
        remedy="Let the run finish: the same command resumes it. Or make a "
        "preset of its newest checkpoint by spactor-preset"
        if unfinished
        else "",
    )
