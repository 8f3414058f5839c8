r"""Runs the active-learning loop and compares selection strategies.

    python -m al_tf.active_learning_main --dataset=npz:pool.npz \
        --strategies=cluster_margin,margin,random --seeds=0,1,2 \
        --seed_size=100 --batch_size=100 --rounds=5 --output_dir=runs/al

The same command resumes a run that was killed, and one that waits for people
(--oracle=people): it then ends with exit code 75 and says what has to be
labeled, and where. `curves.csv` and `report.html` are in the output directory.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from al_tf.learners import image_learner
from al_tf.learners.head_learner import HEADS, HeadLearner, plain_features
from al_tf.learners.protocol import Learner
from al_tf.loop import amendments, curves
from al_tf.loop.config import CONFIG_FLAGS, LoopConfig, config_from_flags
from al_tf.loop.label_store import Settings, check_same_run, write_config
from al_tf.loop.loop import Loop
from al_tf.loop.oracles import LabelOracle, Oracle, PeopleOracle
from al_tf.pools import held_out, near_copies
from al_tf.pools.pool import Examples
from runkit import InputError, report, run_binary
from runkit.datasets import LABELED_KINDS, forms
from runkit.errors import InterruptedRun
from runkit.files import lock_directory, remove_leftovers, write_npy
from runkit.flag_values import Flag, check_table, output_folder
from runkit.quality import metrics_library

if TYPE_CHECKING:
    from spactor_tf.inference.pretrained import Pretrained

FLAGS = flags.FLAGS
LEARNERS = ("auto", *HEADS, "image", "text")
ORACLES = ("labels", "people")
_AUTO = {"embedding": "linear", "image": "image", "text": "text"}
_KINDS = {"image": ("image",), "text": ("text",)}
# The last bits of `features.npy` may depend on it.
EMBED_BATCH_SIZE = 256
FLAG_TABLE = (
    Flag(
        "dataset",
        f"Pool to choose from: {forms(LABELED_KINDS, label=True)}.",
        required=True,
    ),
    Flag("id_column", "Field or npz array of ids; default: row numbers."),
    Flag(
        "test",
        "Test set: a split of the pool's data set, another pool, or the "
        "fraction of the pool that is held out.",
        default="",
    ),
    Flag(
        "classes",
        "Class names, separated by commas, where the pool does not name them.",
        list,
        [],
    ),
    Flag(
        "learner",
        "Model to train; auto chooses by the kind of pool.",
        default="auto",
        choices=LEARNERS,
    ),
    Flag(
        "init_from",
        "Encoder of texts: a run, or a T5 of KerasHub or Hugging Face.",
        default="",
    ),
    Flag(
        "oracle",
        "Who labels: the data set's labels, or people through files.",
        default="labels",
        choices=ORACLES,
    ),
    Flag("output_dir", "Directory of the run.", required=True),
    Flag(
        "near_copies",
        "Plant near-copies of the pool's examples, in families of at least "
        "this size; 0 plants none.",
        int,
        0,
        least=0,
    ),
    Flag(
        "train_steps",
        "Minimum number of optimizer steps per training (image, text).",
        int,
        positive=True,
    ),
    Flag(
        "train_epochs",
        "Minimum number of passes over the labeled examples per training "
        "(image, text).",
        float,
        positive=True,
    ),
    Flag(
        "learning_rate",
        "Peak learning rate (image, text).",
        float,
        positive=True,
    ),
    Flag("text_length", "Tokens read of each text.", int, 128, least=2),
    Flag(
        "warm_start",
        "Train each round from the last round's weights.",
        bool,
        False,
    ),
    Flag(
        "accept_changed_labels",
        "Take labels files that were changed after their round, and measure "
        "again.",
        bool,
        False,
    ),
    *CONFIG_FLAGS,
)


def main(argv: Sequence[str]) -> None:
    """Checks everything, then runs, then reports."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    config = config_from_flags(FLAGS)
    metrics_library(extra="active-learning")
    folder = output_folder(FLAGS)
    pool, test = open_examples(FLAGS)
    kind = learner_kind(FLAGS, pool)
    oracle: Oracle = LabelOracle(pool)
    if FLAGS.oracle == "people":
        oracle = PeopleOracle(pool, folder)
        for name in ("strategies", "seeds"):
            if len(getattr(config, name)) > 1:
                raise InputError(
                    "people label for one strategy and one seed",
                    where=f"--{name}",
                    got=getattr(config, name),
                )
    loop = Loop(config, pool, test, oracle, folder)
    loop.check()
    settings = _settings(config, pool, test, kind)
    check_same_run(folder, settings)
    # The last thing that can be refused: nothing has been written so far.
    encoder = load_encoder(FLAGS.init_from, pool)
    with lock_directory(folder):
        # Another run may have begun here meanwhile.
        check_same_run(folder, settings)
        if isinstance(oracle, PeopleOracle):
            store = loop.store(config.strategies[0], config.seeds[0])
            changed = amendments.changed_labels(store, oracle, config.rounds)
            if not FLAGS.accept_changed_labels:
                amendments.refuse_changed(store, changed)
            amendments.amend(store, changed)
        write_config(folder, settings)
        remove_leftovers(folder)
        try:
            loop.run(make_learner(FLAGS, kind, pool, test, folder, encoder))
        except InterruptedRun:
            _report(loop, settings, folder)
            raise
        _report(loop, settings, folder)


def _report(loop: Loop, settings: Settings, folder: pathlib.Path) -> None:
    from al_tf.loop.labeled_export import write_labeled
    from al_tf.loop.report import write_report

    rows = curves.collect(loop)
    if not rows:
        return
    write_labeled(loop)
    curves.write_curves(folder / "curves.csv", rows)
    print(f"curves: {folder / 'curves.csv'}", flush=True)
    with report.optional(folder / "report.html"):
        page = write_report(loop, rows, settings, folder)
        print(f"report: {page}", flush=True)


def open_examples(values: flags.FlagValues) -> tuple[Examples, Examples]:
    """Reads pool and test set, and plants near-copies in the pool."""
    pool, test = held_out.open_pool_and_test(
        values.dataset,
        values.test,
        [*filter(None, values.classes)],
        values.id_column or "",
    )
    if values.near_copies:
        pool, _ = near_copies.plant(pool, values.near_copies)
    return pool, test


def learner_kind(values: flags.FlagValues, pool: Examples) -> str:
    """Returns the name of the learner, checked against the pool.

    Raises:
        InputError: a learner of another kind of pool, images of the wrong
            shape, or no encoder for texts.
    """
    kind = values.learner
    if kind == "auto":
        kind = _AUTO[pool.kind]
    if pool.kind not in _KINDS.get(kind, (pool.kind,)):
        raise InputError(
            f"learns from {kind}s, but the pool holds {pool.kind}s",
            where="--learner",
            got=kind,
            expected=" or ".join(dict.fromkeys([_AUTO[pool.kind], *HEADS])),
        )
    if kind == "image":
        image_learner.check_images(pool.inputs)
    if pool.kind == "text":
        if not values.init_from:
            raise InputError(
                "is missing: texts need an encoder",
                where="--init_from",
                expected="a run, or a T5 of KerasHub or Hugging Face",
            )
        from spactor_tf.inference.pretrained import preset_dir

        preset_dir(values.init_from, needs_decoder=False)
    return kind


def load_encoder(init_from: str, pool: Examples) -> Pretrained | None:
    """Opens the encoder that a pool of texts needs."""
    if pool.kind != "text":
        return None
    from spactor_tf.inference.pretrained import load_pretrained

    return load_pretrained(init_from, needs_decoder=False)


def make_learner(
    values: flags.FlagValues,
    kind: str,
    pool: Examples,
    test: Examples,
    folder: pathlib.Path,
    encoder: Pretrained | None = None,
) -> Learner:
    """Builds a learner over the inputs of pool and test set.

    Args:
        values: the flags.
        kind: from `learner_kind`.
        pool: examples to choose from.
        test: examples to measure on.
        folder: directory of the run, for embeddings that are computed once.
        encoder: from `load_encoder`.
    """
    inputs = np.concatenate([pool.inputs, test.inputs])
    common = {"multilabel": pool.multilabel, "warm_start": values.warm_start}
    training = {
        name: getattr(values, name)
        for name in ("train_steps", "train_epochs", "learning_rate")
        if getattr(values, name) is not None
    }
    if kind in HEADS:
        rows = _features(values, pool.kind, inputs, folder, encoder)
        return HeadLearner(rows, len(pool.classes), head=kind, **common)
    import tensorflow as tf

    # A resumed run has to compute the same bits.
    tf.config.experimental.enable_op_determinism()
    if kind == "image":
        return image_learner.ImageLearner(
            inputs,
            len(pool.classes),
            **common,
            options=image_learner.ImageOptions(**training),
        )
    from spactor_tf.classifier.text_learner import TextLearner, TextOptions

    assert encoder is not None
    return TextLearner(
        inputs.tolist(),
        pool.classes,
        encoder,
        **common,
        options=TextOptions(length=values.text_length, **training),
    )


def _features(
    values: flags.FlagValues,
    kind: str,
    inputs: np.ndarray,
    folder: pathlib.Path,
    encoder: Pretrained | None,
) -> np.ndarray:
    """`[n, d]` float32 for a head; those of texts are kept on disk."""
    if kind != "text":
        return plain_features(kind, inputs)
    from al_tf.inputs.embeddings import open_npy

    path = folder / "features.npy"
    if not path.exists():
        assert encoder is not None
        length, batch_size = values.text_length, EMBED_BATCH_SIZE
        write_npy(path, encoder.embed(inputs.tolist(), length, batch_size))
    return np.array(open_npy(path))


def _settings(
    config: LoopConfig, pool: Examples, test: Examples, kind: str
) -> Settings:
    """What config.json holds: everything that a round depends on."""
    fields = dataclasses.asdict(config)
    names = (
        "dataset id_column init_from oracle near_copies train_steps "
        "train_epochs learning_rate text_length warm_start"
    )
    return {
        **{
            k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()
        },
        **{name: getattr(FLAGS, name) for name in names.split()},
        "learner": kind,
        "pool": {"examples": len(pool), "fingerprint": pool.fingerprint},
        "test": {"examples": len(test), "fingerprint": test.fingerprint},
    }


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
