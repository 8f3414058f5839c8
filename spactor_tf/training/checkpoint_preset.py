"""A preset from any checkpoint of a run, finished or not.

A checkpoint has the configuration and the vocabulary beside all variables, so
the run's data need not be there. A fine-tuning run takes the sizes of its model
from the preset that it started from, which must be.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from runkit import InputError, read_json
from runkit.files import check_folder
from spactor_tf.config.continuation import read_config
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.config.pretrain import PretrainConfig
from spactor_tf.data.vocabulary import Vocabulary
from spactor_tf.inference.pretrained import load_pretrained, save_pretrained
from spactor_tf.model import t5
from spactor_tf.model.pretrainer import SpactorPretrainer
from spactor_tf.model.t5_trainer import T5Trainer
from spactor_tf.training.checkpointing import CheckpointStore
from spactor_tf.training.optimizers import build_optimizer
from spactor_tf.training.scaled_optimizers import evaluation_weights


@dataclasses.dataclass(frozen=True)
class _Parts:
    """A run's model and what its preset says of it."""

    model: T5Trainer
    config: PretrainConfig | None
    task_length: int | None = None


def checkpoint_preset(
    run_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    step: int | None = None,
) -> int:
    """Writes the model of a checkpoint as a KerasHub preset.

    Args:
        run_dir: of a run of pre-training or fine-tuning.
        output_dir: directory of the preset; may not hold anything else.
        step: of the checkpoint; None takes the newest that can be read.

    Returns:
        The step of the checkpoint.

    Raises:
        InputError: no checkpoint, none of this step (the message names the
            nearest), a damaged one, or `output_dir` holds something.
    """
    store = CheckpointStore(run_dir)
    step_asked = _existing_step(store, step)
    _check_output(pathlib.Path(output_dir))
    folder = store.path(step_asked)
    vocabulary = Vocabulary.load(folder / "vocabulary.model")
    parts = _parts(folder, vocabulary)
    model = parts.model
    variables = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
    }
    state = store.restore(variables, step)
    if state is None:  # It was there: somebody has just deleted it.
        raise InputError("has no checkpoint", where=str(store.folder))
    trained_with = str(state.get("vocabulary"))
    if not vocabulary.has_fingerprint(trained_with):
        raise InputError(
            "is not the vocabulary that the model was trained with",
            where=str(folder / "vocabulary.model"),
            got=vocabulary.fingerprint[:16],
            expected=trained_with[:16],
        )
    with evaluation_weights(model.optimizer):
        save_pretrained(
            output_dir,
            model.backbone,
            vocabulary,
            parts.config,
            parts.task_length,
        )
    return int(state["step"])


def _existing_step(store: CheckpointStore, step: int | None) -> int:
    """Returns the step, or the newest whole one; refuses an absent one."""
    steps = store.steps()
    if not steps:
        run = store.folder.parent
        raise InputError(
            "has no checkpoint" if run.is_dir() else "no such directory",
            where="--run_dir",
            got=str(run),
            expected=f"a run with {store.folder.name}/step-...",
        )
    if step is None:
        whole = store.newest_whole()
        if whole is None:
            raise store.unreadable(steps)
        return whole
    if step not in steps:
        nearest = min(steps, key=lambda known: (abs(known - step), known))
        raise InputError(
            "has no checkpoint of this step",
            where="--step",
            got=step,
            expected=", ".join(map(str, steps)),
            remedy=f"The nearest is --step={nearest}",
        )
    return step


def _check_output(folder: pathlib.Path) -> None:
    """Refuses a directory that holds something else than a preset."""
    check_folder(folder, where="--output_dir")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            "is not empty",
            where="--output_dir",
            got=str(folder),
            remedy="Name another directory",
        )


def _parts(folder: pathlib.Path, vocabulary: Vocabulary) -> _Parts:
    """Builds the model of a checkpoint, without its weights."""
    path = folder / "config.json"
    values = read_json(path)
    if isinstance(values, dict) and "task" in values:
        return _finetuned(read_config(path, FinetuneConfig)[0], vocabulary)
    config, _ = read_config(path, PretrainConfig)
    model = SpactorPretrainer(config, vocabulary)
    _compile(model, config)
    return _Parts(model, config)


def _finetuned(config: FinetuneConfig, vocabulary: Vocabulary) -> _Parts:
    try:
        start = load_pretrained(config.init_from)
    except InputError as error:
        raise InputError(
            f"the sizes of the model are those of what the run started from, "
            f"which cannot be opened ({error.what})",
            where="--run_dir",
            got=config.init_from,
            remedy="Put it back there; a relative path is read from here",
        ) from None
    model = T5Trainer(
        dataclasses.replace(
            t5.backbone_config(start.backbone), dropout=config.dropout
        ),
        vocabulary,
        seed=config.seed,
        dtype=config.dtype,
    )
    _compile(model, config)
    return _Parts(model, start.config, config.data.input_length)


def _compile(model: T5Trainer, config: Any) -> None:
    """Gives the model the optimizer whose slots the checkpoint holds."""
    steps = max(config.train_steps, 1)
    model.compile(optimizer=build_optimizer(config.optimizer, steps))
