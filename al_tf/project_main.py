r"""A labeling project: batches out, answers in, for as long as it lives.

    python -m al_tf.project_main --project=DIR --action=create \
        --dataset=jsonl:pool.jsonl:text:label --id_column=id \
        --classes=ham,spam --init_from=runs/pretrained
    python -m al_tf.project_main --project=DIR --action=next --tool=label_studio
    python -m al_tf.project_main --project=DIR --action=labels --labels=FILE

    create    a project over a pool; --start_labels takes the pool's labels
    next      writes the next batch for people, --tool says for which tool
    labels    takes a file of answers, complete or not, of any tool
    classes   adds --classes
    grow      adds the examples of --dataset to the pool
    status    says where the project stands, and writes its report

Every action can be killed at any moment and given again.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import flags

from al_tf.active_learning_main import EMBED_BATCH_SIZE, load_encoder
from al_tf.label_tools.readers import FORMS
from al_tf.label_tools.tasks import TOOLS
from al_tf.loop.config import CONFIG_FLAGS
from al_tf.pools.pool import Examples
from al_tf.project import outside
from al_tf.project.creation import read_facts
from al_tf.project.examples import parts
from al_tf.project.examples.features import given_rows
from al_tf.project.project import Project
from al_tf.project.report import in_lines, write_report
from al_tf.project.settings import LEARNERS, VOTES, Settings
from runkit import InputError, report, run_binary
from runkit.datasets import LABELED_KINDS, forms
from runkit.errors import check_choice
from runkit.flag_values import Flag, check_table
from runkit.quality import metrics_library

FLAGS = flags.FLAGS
_DEFAULTS = Settings("")
# Fields of both kinds of settings, with the same meaning and default.
_OF_THE_LOOP = ("target_cluster_size", "margin_batch_size")
_SETTINGS = (
    Flag(
        "dataset",
        f"Pool, or the part that joins it: {forms(LABELED_KINDS, label=True)}.",
        default="",
    ),
    Flag("id_column", "Field of ids; default: row numbers.", default=""),
    Flag(
        "test",
        "Test set: a split, another pool, or the fraction of the labeled "
        "examples that is held out.",
        default="",
    ),
    Flag("classes", "Class names, separated by commas.", list, []),
    Flag(
        "multilabel", "An example may have any number of classes.", bool, False
    ),
    Flag(
        "learner",
        "Model over fixed embeddings.",
        default=_DEFAULTS.learner,
        choices=LEARNERS,
    ),
    Flag(
        "init_from",
        "Encoder of texts: a run, or a T5 of KerasHub or Hugging Face.",
        default="",
    ),
    Flag(
        "embeddings",
        "Embeddings of your own, [n, d]: .npy, or a table with ids.",
        default="",
    ),
    Flag(
        "text_length",
        "Tokens read of each text.",
        int,
        _DEFAULTS.text_length,
        least=2,
    ),
    Flag(
        "batch_size",
        "Examples in a batch.",
        int,
        _DEFAULTS.batch_size,
        least=1,
    ),
    *(flag for flag in CONFIG_FLAGS if flag.name in _OF_THE_LOOP),
    Flag(
        "votes",
        "How the labels of several people become one.",
        default=_DEFAULTS.votes,
        choices=VOTES,
    ),
    Flag(
        "min_votes",
        "Labels that an example needs before it counts.",
        int,
        _DEFAULTS.min_votes,
        least=1,
    ),
    Flag("seed", "Random seed of all choices.", int, _DEFAULTS.seed, least=0),
)
FLAG_TABLE = (
    Flag("project", "Folder of the project.", required=True),
    Flag("action", "What to do: see above.", default="status"),
    *_SETTINGS,
    Flag(
        "start_labels",
        "With --action=create: take the labels that the pool has.",
        bool,
        False,
    ),
    Flag("size", "With --action=next: examples of this batch.", int, least=1),
    Flag(
        "probabilities",
        "With --action=next: probabilities of your own model, [n, classes], a "
        "file with ids or in the order of the pool.",
        default="",
    ),
    Flag(
        "tool",
        "Tool that the tasks are for, or that wrote the labels.",
        default="",
    ),
    Flag("labels", "With --action=labels: file of answers.", default=""),
    Flag(
        "label_column",
        "With --action=labels: column, control or question that holds them.",
        default="label",
    ),
    Flag(
        "annotator",
        "With --action=labels: who answered, where the file does not say.",
        default="",
    ),
    Flag(
        "accept_changed_labels",
        "With --action=labels: answers that differ from earlier ones replace "
        "them.",
        bool,
        False,
    ),
    Flag(
        "any_example",
        "With --action=labels: the whole pool may be labeled, not only what "
        "was asked for.",
        bool,
        False,
    ),
    Flag(
        "target",
        "With --action=status: the accuracy you want; the report then "
        "forecasts how many labels it takes.",
        float,
        positive=True,
    ),
)


def settings() -> Settings:
    """The settings of a new project, from the flags."""
    if not FLAGS.dataset:
        raise InputError("is missing", where="--dataset")
    fields = {flag.name: getattr(FLAGS, flag.name) for flag in _SETTINGS}
    fields["classes"] = tuple(filter(None, FLAGS.classes))
    return Settings(**fields)


def embedder(given: Settings) -> Callable[[Examples], np.ndarray] | None:
    """Embeds texts by the encoder of the settings, opened on first use."""
    if not given.init_from:
        return None
    encoders: list[Any] = []

    def embed(examples: Examples) -> np.ndarray:
        if not encoders:
            encoders.append(load_encoder(given.init_from, examples))
        (encoder,) = encoders
        texts = examples.inputs.tolist()
        return encoder.embed(texts, given.text_length, EMBED_BATCH_SIZE)

    return embed


def open_project(folder: str) -> Project:
    """Opens a project that is there, with its encoder."""
    given = read_facts(pathlib.Path(folder)).settings
    return Project(folder, embedder(given))


def main(argv: Sequence[str]) -> None:
    """Does one action and says where the project stands."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    check_choice(FLAGS.action, ACTIONS, where="--action")
    metrics_library(extra="active-learning")
    ACTIONS[FLAGS.action]()


def create() -> None:
    """Creates the project, or finds it there."""
    project = Project.create(FLAGS.project, settings())
    if FLAGS.start_labels:
        print(f"labels of the pool: {project.take_pool_labels().new} new")
    print(in_lines(project))
    given = project.settings
    if project.pool.kind == "text" and not given.embeddings + given.init_from:
        print(
            "warning: only the first batch can be chosen: later ones need "
            "--embeddings or --init_from, which a project has from its "
            "creation on"
        )


def next_batch() -> None:
    """Chooses and writes the next batch."""
    tool = FLAGS.tool or "csv"
    check_choice(tool, ("csv", *TOOLS), where="--tool")
    project, given = open_project(FLAGS.project), None
    if FLAGS.probabilities:
        pool, test = project.pool, project.test
        counted = [pool] if parts.is_apart(pool, test) else [pool, test]
        given = given_rows(
            FLAGS.probabilities,
            pool,
            "--probabilities",
            num_rows=max(int(p.rows.max(initial=-1)) + 1 for p in counted),
        )
    batch = project.next_batch(FLAGS.size, given)
    files = outside.write_batch(project, batch, tool)
    print(f"batch {batch.name}: {len(batch.ids)} examples, {batch.strategy}")
    for path in files:
        print(f"  {path}")
    print(
        "Label as many as you like, then give the file back:\n"
        f"  --action=labels --labels={files[0] if tool == 'csv' else 'EXPORT'}"
    )


def labels() -> None:
    """Takes a file of answers."""
    if not FLAGS.labels:
        raise InputError("is missing", where="--labels")
    if FLAGS.tool and FLAGS.tool != "csv":
        check_choice(FLAGS.tool, FORMS, where="--tool")
    project = Project(FLAGS.project)
    taken = project.take_file(
        pathlib.Path(FLAGS.labels),
        tool={"csv": "table"}.get(FLAGS.tool, FLAGS.tool),
        label=FLAGS.label_column,
        annotator=FLAGS.annotator,
        accept_changes=FLAGS.accept_changed_labels,
        any_example=FLAGS.any_example,
    )
    print(
        f"{FLAGS.labels}: {taken.new} new answers, {taken.amended} amended, "
        f"{taken.same} known"
    )
    print(in_lines(project))


def classes() -> None:
    """Adds classes."""
    names = [*filter(None, FLAGS.classes)]
    if not names:
        raise InputError("is missing", where="--classes")
    project = Project(FLAGS.project)
    project.add_classes(names)
    print(in_lines(project))


def grow() -> None:
    """Adds examples to the pool."""
    if not FLAGS.dataset:
        raise InputError("is missing", where="--dataset")
    project = Project(FLAGS.project)
    project.grow(FLAGS.dataset, FLAGS.embeddings)
    print(in_lines(project))


def check_target(target: float | None) -> None:
    """Refuses a --target that no accuracy can be."""
    if target is not None and target >= 1:
        raise InputError(
            "is not an accuracy",
            where="--target",
            got=target,
            expected="above 0, below 1",
        )


def status() -> None:
    """Says where the project stands, and writes its report."""
    check_target(FLAGS.target)
    project = Project(FLAGS.project)
    print(in_lines(project))
    with report.optional(project.folder / "report.html"):
        print(f"report: {write_report(project, FLAGS.target)}")


ACTIONS: dict[str, Callable[[], None]] = {
    "create": create,
    "next": next_batch,
    "labels": labels,
    "classes": classes,
    "grow": grow,
    "status": status,
}


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
