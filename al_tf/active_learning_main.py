r"""The whole loop: label a little, train, choose, label, train, compare.

    python -m al_tf.active_learning_main --dataset=npz:pool.npz \
        --strategies=cluster_margin,margin,random --seeds=0,1,2 \
        --seed_size=100 --batch_size=100 --rounds=5 --output_dir=runs/al

Pools: tfds:NAME[:SPLIT], jsonl:PATH:TEXT_FIELD:LABEL_FIELD, npz:PATH (see
`al_tf.pools`). The same command goes on with a run that was killed, and with
one that waits for people (--oracle=people): exit code 75 says that there is
something to label, and where. `curves.csv` and `report.html` are in the
output directory.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from al_tf.learners import image_learner
from al_tf.learners.head_learner import HEADS, HeadLearner
from al_tf.learners.protocol import Learner
from al_tf.loop import curves
from al_tf.loop.config import LoopConfig
from al_tf.loop.label_store import check_same_run, write_config
from al_tf.loop.loop import Loop
from al_tf.loop.oracles import LabelOracle, Oracle, PeopleOracle
from al_tf.pools import held_out
from al_tf.pools import near_copies as near_duplicates
from al_tf.pools.pool import Examples
from runkit import InputError, run_binary
from runkit.errors import InterruptedRun, check_choice
from runkit.files import remove_leftovers, write_npy
from runkit.flag_values import check_flags, definers, output_folder
from runkit.quality import metrics_library

if TYPE_CHECKING:
    from spactor_tf.inference.pretrained import Pretrained

FLAGS = flags.FLAGS
LEARNERS = ("auto", *HEADS, "image", "text")
ORACLES = ("labels", "people")
_AUTO = {"embedding": "linear", "image": "image", "text": "text"}
_KINDS = {"image": ("image",), "text": ("text",)}
_DEFAULTS = LoopConfig()
# (flag, help); these are settings of `LoopConfig` under the same name.
_CONFIG_FLAGS = (
    ("strategies", "Names, separated by commas."),
    ("seeds", "Numbers, separated by commas: repetitions."),
    ("seed_size", "Labeled examples to begin with."),
    ("batch_size", "Examples labeled in each round."),
    ("rounds", "Batches after the seed set."),
    ("seed_set", "random, or stratified by class."),
    ("missing_classes", "Seed set without a class: refuse, or allow."),
    ("metric", "accuracy or average_precision; the latter for multi-label."),
    (
        "target_accuracy",
        "Of the table of labels needed; default: random's lowest.",
    ),
    ("target_cluster_size", "Mean size of the clusters."),
    ("margin_batch_size", "Uncertain examples Cluster-Margin picks from."),
)


def _define_flags(values: flags.FlagValues = FLAGS) -> None:
    text, number, real, switch = definers(values)
    text("dataset", None, "Pool; see --help. Required.")
    text("test", "", "Test set: a split, a pool, or the fraction held out.")
    text("classes", "", "Class names, separated by commas, of a jsonl or npz.")
    text("learner", "auto", ", ".join(LEARNERS) + ".")
    text("init_from", "", "Run or T5 preset: encoder of texts.")
    text("oracle", "labels", "labels (of the data set) or people.")
    text("output_dir", None, "Folder of the run. Required.")
    number("near_copies", 0, "Least size of planted families; 0: none.")
    number("train_steps", None, "Steps of a training (image, text), at least.")
    real("train_epochs", None, "Passes over the labeled examples, at least.")
    real("learning_rate", None, "Largest (image, text).")
    number("text_length", 128, "Tokens that are read of a text.")
    switch("warm_start", False, "Train on from the last weights.")
    for name, explanation in _CONFIG_FLAGS:
        default = getattr(_DEFAULTS, name)
        if isinstance(default, tuple):
            text(name, ",".join(map(str, default)), explanation)
        elif name in ("target_accuracy", "target_cluster_size"):
            real(name, default, explanation)
        elif isinstance(default, str):
            text(name, default, explanation)
        else:
            number(name, default, explanation)


def main(argv: Sequence[str]) -> None:
    """Checks everything, then runs, then reports."""
    del argv
    config = config_from_flags(FLAGS)
    check_flags(
        FLAGS,
        required=("dataset", "output_dir"),
        positive=("train_steps", "train_epochs", "learning_rate"),
        least={"text_length": 2, "near_copies": 0},
    )
    metrics_library()
    folder = output_folder(FLAGS)
    pool, test = open_examples(FLAGS)
    kind = learner_kind(FLAGS, pool)
    oracle: Oracle = LabelOracle(pool)
    if check_choice(FLAGS.oracle, ORACLES, where="--oracle") == "people":
        oracle = PeopleOracle(pool, folder)
        _check_one_run(config)
    loop = Loop(config, pool, test, oracle, folder)
    loop.check()
    settings = _settings(config, pool, test, kind)
    check_same_run(folder, settings)
    # The last that can be refused: nothing was written so far.
    encoder = load_encoder(FLAGS, pool)
    write_config(folder, settings)
    remove_leftovers(folder)
    try:
        loop.run(make_learner(FLAGS, kind, pool, test, folder, encoder))
    except InterruptedRun:
        _report(loop, settings, folder)
        raise
    _report(loop, settings, folder)


def _report(loop: Loop, settings: dict[str, Any], folder: pathlib.Path) -> None:
    from al_tf.loop.labeled_export import write_labeled
    from al_tf.loop.report import write_report

    rows = curves.collect(loop)
    if not rows:
        return
    write_labeled(loop)
    curves.write_curves(folder / "curves.csv", rows)
    page = write_report(loop, rows, settings, folder)
    print(f"curves: {folder / 'curves.csv'}\nreport: {page}", flush=True)


def config_from_flags(values: Any) -> LoopConfig:
    """Returns the checked settings.

    Raises:
        InputError: a wrong value, with the nearest known name.
    """
    fields = {name: getattr(values, name) for name, _ in _CONFIG_FLAGS}
    fields["strategies"] = tuple(_listed(values.strategies))
    try:
        fields["seeds"] = tuple(int(n) for n in _listed(values.seeds))
    except ValueError:
        raise InputError(
            "are whole numbers, separated by commas",
            where="--seeds", got=values.seeds,
        ) from None  # fmt: skip
    config = LoopConfig(**fields)
    config.validate()
    return config


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _check_one_run(config: LoopConfig) -> None:
    for name in ("strategies", "seeds"):
        if len(getattr(config, name)) > 1:
            raise InputError(
                "people label for one strategy and one seed",
                where=f"--{name}", got=getattr(config, name),
            )  # fmt: skip


def open_examples(values: Any) -> tuple[Examples, Examples]:
    """Reads pool and test set, and plants near-copies in the pool."""
    pool, test = held_out.open_pool_and_test(
        values.dataset, values.test, _listed(values.classes)
    )
    if values.near_copies:
        pool, _ = near_duplicates.plant(pool, values.near_copies)
    return pool, test


def learner_kind(values: Any, pool: Examples) -> str:
    """Returns the name of the learner, checked against the pool.

    Raises:
        InputError: an unknown name, one for another kind of pool, images of
            the wrong shape, or no encoder for texts.
    """
    kind = check_choice(values.learner, LEARNERS, where="--learner")
    if kind == "auto":
        kind = _AUTO[pool.kind]
    if pool.kind not in _KINDS.get(kind, (pool.kind,)):
        raise InputError(
            f"learns from {kind}s, and the pool holds {pool.kind}s",
            where="--learner", got=kind, expected=_AUTO[pool.kind],
        )  # fmt: skip
    if kind == "image":
        image_learner.check_images(pool.inputs)
    if pool.kind == "text":
        if not values.init_from:
            raise InputError(
                "is missing: texts need an encoder", where="--init_from",
                expected="a pre-training run or a KerasHub T5 preset",
            )  # fmt: skip
        from spactor_tf.inference.pretrained import preset_dir

        preset_dir(values.init_from)
    return kind


def load_encoder(values: Any, pool: Examples) -> Pretrained | None:
    """Opens the encoder that a pool of texts needs."""
    if pool.kind != "text":
        return None
    from spactor_tf.inference.pretrained import load_pretrained

    return load_pretrained(values.init_from)


def make_learner(
    values: Any,
    kind: str,
    pool: Examples,
    test: Examples,
    folder: pathlib.Path,
    encoder: Pretrained | None = None,
) -> Learner:
    """Builds a learner over the inputs of pool and test set."""
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
            inputs, len(pool.classes), **common,
            options=image_learner.ImageOptions(**training),
        )  # fmt: skip
    from spactor_tf.classifier.text_learner import TextLearner, TextOptions

    assert encoder is not None
    return TextLearner(
        inputs.tolist(), pool.classes, encoder, **common,
        options=TextOptions(length=values.text_length, **training),
    )  # fmt: skip


def _features(
    values: Any,
    kind: str,
    inputs: np.ndarray,
    folder: pathlib.Path,
    encoder: Pretrained | None,
) -> np.ndarray:
    """Fixed embeddings of any pool; those of texts are kept on disk."""
    if kind == "embedding":
        return inputs
    if kind == "image":
        flat = inputs.reshape(len(inputs), -1)
        return flat.astype(np.float32) / 255
    from al_tf.inputs.embeddings import open_npy
    from spactor_tf.classifier.classifier import TextClassifier

    path = folder / "features.npy"
    if not path.exists():
        assert encoder is not None
        reader = TextClassifier(
            encoder, ("no", "yes"), length=values.text_length
        )
        write_npy(path, reader.embed(inputs.tolist()))
    return np.array(open_npy(path))


def _settings(
    config: LoopConfig, pool: Examples, test: Examples, kind: str
) -> dict[str, Any]:
    """What config.json holds: all that a round depends on."""
    fields = dataclasses.asdict(config)
    names = (
        "dataset",
        "init_from",
        "oracle",
        "near_copies",
        "train_steps",
        "train_epochs",
        "learning_rate",
        "text_length",
        "warm_start",
    )
    return {
        **{
            k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()
        },
        **{name: getattr(FLAGS, name) for name in names},
        "learner": kind,
        "pool": {"examples": len(pool), "fingerprint": pool.fingerprint},
        "test": {"examples": len(test), "fingerprint": test.fingerprint},
    }


def run() -> None:
    """Entry point of the console script."""
    if "near_copies" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
