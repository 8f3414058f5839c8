r"""Picks the next batch of examples to label, from files.

    python -m al_tf.select_main --embeddings=E.npy --margins=M.npy \
        --batch_size=1000 --output=batch/ids.csv --clustering=clusters

The first run clusters the pool and keeps neighbors and clusters in
`--clustering`; later rounds, with new margins, only pick. A page next to the
output, `ids.report.html` for `ids.csv`, shows what was picked. Pools that one
machine is too small for: `al_tf.select_shards_main`, on Ray.
"""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Iterator, Sequence

import numpy as np
from absl import flags, logging

from al_tf.clustering import build as build_clustering
from al_tf.clustering import store as clustering_store
from al_tf.clustering.options import CLUSTER_FLAGS, asked_options
from al_tf.clustering.result import Clustering, load_clustering
from al_tf.inputs.column_flags import (
    EMBEDDING_FLAG,
    ID_FLAG,
    LABEL_FLAG,
    SCORE_FLAGS,
    TEXT_FLAG,
)
from al_tf.inputs.embeddings import Embeddings
from al_tf.inputs.pool_files import naming, read_pool
from al_tf.selection import (
    batch_files,
    cluster_margin,
    round_files,
    select_report,
)
from al_tf.selection.candidates import labeled_to_unlabeled, unlabeled_ids
from runkit import InputError, run_binary
from runkit.files import lock_directory, remove_leftovers
from runkit.flag_values import Flag, check_table

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag("embeddings", round_files.EMBEDDINGS_HELP, required=True),
    *round_files.ANSWER_FLAGS,
    *round_files.PICK_FLAGS,
    Flag(
        "clustering",
        "Directory that keeps neighbors and clusters between rounds.",
        default="",
    ),
    *CLUSTER_FLAGS,
    Flag(
        "exact",
        "Exact neighbors, or ScaNN; auto: exact if that takes minutes.",
        default="auto",
        choices=("auto", "true", "false"),
    ),
    round_files.OVERWRITE_FLAG,
    ID_FLAG,
    EMBEDDING_FLAG,
    *SCORE_FLAGS,
    LABEL_FLAG,
    TEXT_FLAG,
)


def main(argv: Sequence[str]) -> None:
    """Reads, clusters or reuses clusters, picks, writes."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    output = pathlib.Path(FLAGS.output)
    batch_files.check_output(output)
    if not FLAGS.overwrite:
        select_report.check_side_files(output)
    # What was chosen and what was measured is part of the answer.
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
    # Everything that can be refused is refused before the long work.
    scores = round_files.given_scores(FLAGS)
    round_files.check_text_column(FLAGS)
    embeddings = read_pool(
        FLAGS.embeddings,
        id_column=FLAGS.id_column,
        embedding_column=FLAGS.embedding_column,
    )
    margins = round_files.read_scores(
        FLAGS, embeddings.ids, embeddings.shape[0]
    )
    labeled = round_files.read_labeled(FLAGS, embeddings.ids)
    n = embeddings.shape[0]
    unlabeled = unlabeled_ids(
        labeled_to_unlabeled(labeled, n), n, FLAGS.batch_size
    )
    margin_batch_size = round_files.asked_margin_batch_size(
        FLAGS, len(unlabeled)
    )
    began = time.monotonic()
    with _kept_clusters(), naming(embeddings.ids):
        clustering = _clustering(embeddings)
    clustered = time.monotonic()
    ids = cluster_margin.select_batch(
        margins,
        clustering.cluster_ids,
        batch_size=FLAGS.batch_size,
        margin_batch_size=margin_batch_size,
        unlabeled=unlabeled,
        seed=FLAGS.seed,
    )
    seconds = {
        "clustering": clustered - began,
        "selection": time.monotonic() - clustered,
    }
    named = _named_batch(embeddings, ids)
    batch_files.write_batch(output, ids, margins, clustering.cluster_ids, named)
    settings = {
        "embeddings": FLAGS.embeddings,
        scores: getattr(FLAGS, scores),
        "labeled": FLAGS.labeled or "none",
        "batch size": FLAGS.batch_size,
        "margin batch size": margin_batch_size,
        "metric": FLAGS.metric,
        "seed": FLAGS.seed,
    }
    picked = select_report.Round(
        ids, margins, unlabeled, clustering, settings, seconds
    )
    page = select_report.write_report(picked, embeddings, output)
    logging.info("wrote %s and %s", output, page)


@contextlib.contextmanager
def _kept_clusters() -> Iterator[None]:
    """Keeps other processes away from `--clustering`, if it is given."""
    if not FLAGS.clustering:
        yield
        return
    kept = pathlib.Path(FLAGS.clustering)
    clustering_store.check_replaceable(kept)
    # The directory is replaced as a whole.
    with lock_directory(kept, where="--clustering", beside=True):
        remove_leftovers(kept)
        remove_leftovers(kept.parent, kept.name)
        yield


def _named_batch(
    embeddings: Embeddings, rows: np.ndarray
) -> batch_files.NamedBatch:
    """Names the batch as its files do, with the texts if they are wanted."""
    texts = round_files.read_texts(FLAGS, embeddings.ids, rows)
    if embeddings.ids is None:
        return batch_files.NamedBatch("example_id", rows.tolist(), texts)
    ids = embeddings.ids.take(rows).tolist()
    return batch_files.NamedBatch(FLAGS.id_column or "id", ids, texts)


def _clustering(embeddings: Embeddings) -> Clustering:
    """Loads the clusters, or makes and keeps them."""
    folder, threshold = FLAGS.clustering, FLAGS.distance_threshold
    if folder and clustering_store.is_clustering(folder):
        found = load_clustering(folder)
        clustering_store.check_ids(folder, embeddings.ids)
        _refuse_other_settings(found)
        logging.info("clusters reused from %s", folder)
        if threshold is None or threshold == found.distance_threshold:
            found.check_pool(embeddings)
            return found
        logging.info("cut at the smaller threshold %g", threshold)
        return found.cut(threshold, embeddings)
    asked = _asked_exact()
    options = asked_options(
        FLAGS, embeddings.shape[0], "auto" if asked is None else asked
    )
    made = build_clustering.cluster_pool(
        embeddings, options, cache=folder or None, verbose=True
    )
    if folder:
        made.save(folder, ids=embeddings.ids)
    return made


def _asked_exact() -> bool | None:
    """The index that --exact asks for; None: either."""
    return {"auto": None, "true": True, "false": False}[FLAGS.exact]


def _refuse_other_settings(found: Clustering) -> None:
    """A kept clustering must be the one that the flags ask for.

    Flags that were not given ask for nothing.
    """
    info = found.info
    for what, asked, had in (
        ("metric", FLAGS.metric, found.metric),
        ("mean cluster size", FLAGS.target_cluster_size, info.get("target")),
        (
            "number of neighbors",
            FLAGS.num_neighbors,
            info.get("num_neighbors"),
        ),
        ("kind of index (exact)", _asked_exact(), info.get("exact")),
    ):
        if asked is not None and asked != had:
            raise InputError(
                f"the kept clusters have another {what}",
                where="--clustering",
                got="none" if had is None else had,
                expected=str(asked),
                remedy="Name another directory, or leave the flag out",
            )
    asked = FLAGS.distance_threshold
    if asked is not None and asked > found.distance_threshold:
        raise InputError(
            "the kept clusters end at a smaller distance threshold",
            where="--clustering",
            got=found.distance_threshold,
            expected=f"at least {asked}",
            remedy="Name another directory, or leave the flag out",
        )


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
