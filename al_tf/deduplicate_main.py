r"""Finds near copies in a pool or a corpus, and says which rows to keep.

    python -m al_tf.deduplicate_main --embeddings=pool/ \
        --distance_threshold=0.05 --output_dir=deduplicated

    python -m al_tf.deduplicate_main --dataset=jsonl:corpus.jsonl:text \
        --output_dir=deduplicated

With embeddings (or --init_from, a model that makes them of the texts) rows
within the threshold are near copies; a dataset alone is searched for equal
texts. The output directory holds `kept.csv`, `dropped.csv` (dropped_id,
kept_id, distance), `summary.json`, `report.html`, and with --dataset
`kept.jsonl`, which is a dataset itself. It appears whole or not at all.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags, logging

from al_tf.clustering.options import METRIC_FLAG
from al_tf.duplicates.find import KEEP, Duplicates, find_duplicates
from al_tf.duplicates.page import write_page
from al_tf.duplicates.results import Outcome, write_files
from al_tf.duplicates.texts import Corpus
from al_tf.inputs.column_flags import EMBEDDING_FLAG, ID_FLAG, SCORE_FLAGS
from al_tf.inputs.embeddings import Embeddings
from al_tf.inputs.ids import ExampleIds, naming, positions
from al_tf.inputs.pool_files import read_pool
from al_tf.selection import round_files
from runkit import InputError, atomic_directory, report, run_binary
from runkit.datasets import TEXT_KINDS, forms
from runkit.files import lock_directory, remove_leftovers
from runkit.flag_values import Flag, check_table, output_folder

FLAGS = flags.FLAGS
EMBED_BATCH_SIZE = 256
FLAG_TABLE = (
    Flag("embeddings", round_files.EMBEDDINGS_HELP, default=""),
    Flag(
        "dataset",
        "Texts, alone (equal texts are copies), with --init_from, or with the "
        f"--embeddings of the same texts: {forms(TEXT_KINDS)}.",
        default="",
    ),
    Flag(
        "init_from",
        "Encoder of the texts: a run, or a T5 of KerasHub or Hugging Face.",
        default="",
    ),
    Flag("text_length", "Tokens read of each text.", int, 128, least=2),
    Flag("output_dir", "New directory for the results.", required=True),
    Flag(
        "distance_threshold",
        "Largest distance of near copies, for cosine 1 - similarity; 0: exact "
        "copies.",
        float,
        least=0,
    ),
    METRIC_FLAG,
    Flag(
        "keep",
        "Which of near copies is preferred: the first in the order of ids or "
        "rows, the nearest to the mean of its group, or the one with the "
        "smallest margin.",
        default="first",
        choices=KEEP,
    ),
    *round_files.ANSWER_FLAGS,
    Flag(
        "exact",
        "Exact neighbors, or ScaNN; auto: exact if that takes minutes.",
        default="auto",
        choices=("auto", "true", "false"),
    ),
    Flag("seed", "Random seed of the sample for ScaNN's recall.", int, 0),
    ID_FLAG,
    EMBEDDING_FLAG,
    *SCORE_FLAGS,
)


def main(argv: Sequence[str]) -> None:
    """Checks everything, finds, writes."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    check_flags_together()
    folder = output_folder(FLAGS)
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
    check_new(folder)
    outcome = find()
    # The directory appears as a whole, so its lock lies beside it.
    with lock_directory(folder, beside=True):
        check_new(folder)
        remove_leftovers(folder.parent, folder.name)
        with atomic_directory(folder, replace=True) as made:
            write_files(made, outcome)
            with report.optional(folder / "report.html"):
                write_page(made, outcome)
    kept, rows = len(outcome.found.kept), len(outcome.found.owner)
    print(f"kept {kept:,} of {rows:,} rows: {folder / 'kept.csv'}")
    if (folder / "report.html").exists():
        print(f"report: {folder / 'report.html'}")


def check_flags_together() -> None:
    """Refuses flags that do not go together.

    Raises:
        InputError: no source, a threshold without distances or the other way
            round, margins that nothing looks at.
    """
    if not (FLAGS.embeddings or FLAGS.dataset):
        raise InputError(
            "is missing",
            where="--embeddings",
            expected="--embeddings, --dataset, or both",
        )
    if FLAGS.init_from and (FLAGS.embeddings or not FLAGS.dataset):
        raise InputError(
            "makes embeddings of texts",
            where="--init_from",
            got=FLAGS.init_from,
            expected="--dataset, and no --embeddings",
        )
    has_distances = bool(FLAGS.embeddings or FLAGS.init_from)
    if has_distances and FLAGS.distance_threshold is None:
        raise InputError(
            "is missing",
            where="--distance_threshold",
            expected="the largest distance of near copies, such as 0.05 for "
            "cosine",
        )
    for name in ("distance_threshold", "keep"):
        given = getattr(FLAGS, name)
        if not has_distances and given not in (None, "first"):
            raise InputError(
                "texts alone have no distances: equal ones are copies, and "
                "the first is kept",
                where=f"--{name}",
                got=given,
                remedy="Give --init_from or --embeddings too",
            )
    scores = [n for n in round_files.SCORES if getattr(FLAGS, n)]
    if FLAGS.keep == "most_uncertain":
        round_files.given_scores(FLAGS)
    elif scores:
        raise InputError(
            "is looked at by --keep=most_uncertain only",
            where=f"--{scores[0]}",
            got=getattr(FLAGS, scores[0]),
        )


def check_new(folder: pathlib.Path) -> None:
    """Refuses a directory that holds anything."""
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            "holds files already",
            where="--output_dir",
            got=str(folder),
            remedy="Name a new directory, or delete this one",
        )


def find() -> Outcome:
    """Reads what the flags name, and finds its copies."""
    corpus = None
    if FLAGS.dataset:
        corpus = Corpus(FLAGS.dataset, FLAGS.id_column or "")
    column = FLAGS.id_column or "example_id"
    names = (
        "embeddings dataset init_from distance_threshold metric keep margins "
        "probabilities logits seed"
    )
    settings = {
        name: getattr(FLAGS, name)
        for name in names.split()
        if getattr(FLAGS, name) not in (None, "")
    }
    if corpus is not None and not (FLAGS.embeddings or FLAGS.init_from):
        owner = corpus.copies()
        found = Duplicates(owner, np.zeros(len(owner)), {})
        return Outcome(found, settings, named(corpus), column, corpus)
    places = None
    if corpus is not None and FLAGS.init_from:
        pool = embed(corpus)
    else:
        pool = read_pool(
            FLAGS.embeddings,
            id_column=FLAGS.id_column,
            embedding_column=FLAGS.embedding_column,
        )
        if corpus is not None:
            places = places_of(corpus, pool)
        if pool.ids is not None:
            column = FLAGS.id_column or "id"
    margins = None
    if FLAGS.keep == "most_uncertain":
        margins = round_files.read_scores(FLAGS, pool.ids, pool.shape[0])
    with naming(pool.ids):
        found = find_duplicates(
            pool,
            FLAGS.distance_threshold,
            metric=FLAGS.metric,
            keep=FLAGS.keep,
            margins=margins,
            exact="auto" if FLAGS.exact == "auto" else FLAGS.exact == "true",
            seed=FLAGS.seed,
            verbose=True,
        )
    return Outcome(found, settings, pool.ids, column, corpus, places)


def named(corpus: Corpus) -> ExampleIds | None:
    """The ids of a corpus that is the pool."""
    ids = corpus.ids()
    return None if ids is None else ids.settled()


def embed(corpus: Corpus) -> Embeddings:
    """Embeds the texts of a corpus with the encoder of --init_from."""
    from spactor_tf.inference.pretrained import load_pretrained

    ids = named(corpus)
    encoder = load_pretrained(FLAGS.init_from, needs_decoder=False)
    rows = corpus.embed(
        lambda texts: encoder.embed(texts, FLAGS.text_length, EMBED_BATCH_SIZE)
    )
    return Embeddings((rows,), ("--dataset",), ids)


def places_of(corpus: Corpus, pool: Embeddings) -> np.ndarray:
    """Returns the pool's row of each text.

    Raises:
        InputError: other texts than those of the embeddings.
    """
    ids = corpus.ids()
    if (ids is None) != (pool.ids is None):
        raise InputError(
            "texts and embeddings are joined by ids or by their places",
            where="--dataset, --embeddings",
            got="ids in one of the two",
            remedy="Name the ids' column in both, --id_column=NAME, or none: "
            "--id_column=",
        )
    if ids is not None and pool.ids is not None:
        return positions(pool.ids, ids, "--dataset", is_complete=True)
    count = sum(len(texts) for _, texts in corpus.blocks())
    if count != pool.shape[0]:
        raise InputError(
            "not one text for each embedding",
            where="--dataset",
            got=count,
            expected=str(pool.shape[0]),
        )
    return np.arange(count)


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
