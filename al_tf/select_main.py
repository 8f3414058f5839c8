r"""Picks the next batch to label, from files.

    python -m al_tf.select_main --embeddings=E.npy --margins=M.npy \
        --batch_size=1000 --output=batch/ids.csv --clustering=clusters

The first run clusters the pool and keeps neighbors and clusters in
`--clustering`; later rounds, with new margins, only pick. A page
`report.html` beside the output shows what was picked.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Sequence
from typing import Any

from absl import flags, logging

from al_tf.clustering import build as build_clustering
from al_tf.clustering import store as clustering_store
from al_tf.clustering.result import Clustering, load_clustering
from al_tf.inputs.embeddings import Embeddings, open_embeddings
from al_tf.inputs.preparation import METRICS
from al_tf.selection import batch_files, cluster_margin, select_report
from al_tf.selection.candidates import labeled_to_unlabeled, unlabeled_ids
from runkit import InputError, run_binary
from runkit.files import remove_leftovers

_EMBEDDINGS = flags.DEFINE_string(
    "embeddings", None, ".npy or Parquet file, or folder of shards, [n, d]"
)
_MARGINS = flags.DEFINE_string(
    "margins", None, ".npy file [n] in [0, 1]; small = uncertain"
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "examples to pick")
_OUTPUT = flags.DEFINE_string(
    "output", None, "file to write: .csv, .parquet or .npy (ids alone)"
)
_CLUSTERING = flags.DEFINE_string(
    "clustering", "", "directory that keeps neighbors and clusters"
)
_LABELED = flags.DEFINE_string(
    "labeled", "", "ids that have labels: .npy, or text with one id a line"
)
_MARGIN_BATCH_SIZE = flags.DEFINE_integer(
    "margin_batch_size",
    None,
    "uncertain examples to pick from; default: ten batches, at most a quarter "
    "of the unlabeled pool",
)
_DISTANCE_THRESHOLD = flags.DEFINE_float(
    "distance_threshold", None, "largest average linkage within a cluster"
)
_TARGET_CLUSTER_SIZE = flags.DEFINE_float(
    "target_cluster_size", None, "mean cluster size instead; default 10"
)
_METRIC = flags.DEFINE_string("metric", "cosine", ", ".join(METRICS))
_NUM_NEIGHBORS = flags.DEFINE_integer(
    "num_neighbors", None, "length of the candidate lists; default 16"
)
_EXACT = flags.DEFINE_enum(
    "exact", "auto", ["auto", "true", "false"], "exact neighbors, or ScaNN"
)
_SEED = flags.DEFINE_integer("seed", 0, "of the random choices")


def main(argv: Sequence[str]) -> None:
    """Reads, clusters or reuses clusters, picks, writes."""
    del argv
    output = pathlib.Path(_required(_OUTPUT))
    batch_files.check_output(output)
    # What was chosen and what was measured is part of the answer.
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
    batch_size: int = _required(_BATCH_SIZE)
    embeddings = open_embeddings(_required(_EMBEDDINGS))
    n = embeddings.shape[0]
    margins = batch_files.read_margins(_required(_MARGINS))
    if len(margins) != n:
        raise InputError(
            "not one margin for each embedding",
            where="--margins",
            got=len(margins),
            expected=str(n),
        )
    # Everything that can be refused is refused before the long work.
    labeled = batch_files.read_ids(_LABELED.value)
    unlabeled = labeled_to_unlabeled(labeled, n)
    unlabeled_ids(unlabeled, n, batch_size)
    margin_batch_size = _margin_batch_size(batch_size, len(unlabeled))
    cluster_margin.check_margin_batch_size(
        margin_batch_size, batch_size, len(unlabeled)
    )
    if _CLUSTERING.value:
        kept = pathlib.Path(_CLUSTERING.value)
        clustering_store.check_replaceable(kept)
        remove_leftovers(kept)
        remove_leftovers(kept.parent, kept.name)
    began = time.monotonic()
    clustering = _clustering(embeddings)
    clustered = time.monotonic()
    ids = cluster_margin.select_batch(
        margins,
        clustering.cluster_ids,
        batch_size=batch_size,
        margin_batch_size=margin_batch_size,
        unlabeled=unlabeled,
        seed=_SEED.value,
    )
    seconds = {
        "clustering": clustered - began,
        "selection": time.monotonic() - clustered,
    }
    batch_files.write_batch(output, ids, margins, clustering.cluster_ids)
    settings = _settings(margin_batch_size)
    picked = select_report.Round(
        ids, margins, unlabeled, clustering, settings, seconds
    )
    page = select_report.write_report(picked, embeddings, output.parent)
    logging.info("wrote %s and %s", output, page)


def _required(flag: flags.FlagHolder) -> Any:
    if flag.value is None or flag.value == "":
        raise InputError("is required", where=f"--{flag.name}")
    return flag.value


def _margin_batch_size(batch_size: int, num_unlabeled: int) -> int:
    if _MARGIN_BATCH_SIZE.value is not None:
        return _MARGIN_BATCH_SIZE.value
    chosen = cluster_margin.default_margin_batch_size(batch_size, num_unlabeled)
    logging.info("--margin_batch_size=%d (default)", chosen)
    return chosen


def _clustering(embeddings: Embeddings) -> Clustering:
    """Loads the clusters, or makes and keeps them."""
    folder = _CLUSTERING.value
    if folder and clustering_store.is_clustering(folder):
        found = load_clustering(folder)
        found.check_pool(embeddings)
        _refuse_other_settings(found)
        logging.info("clusters reused from %s", folder)
        asked = _DISTANCE_THRESHOLD.value
        if asked is None or asked == found.distance_threshold:
            return found
        logging.info("cut at the smaller threshold %g", asked)
        return found.cut(asked, embeddings)
    size = _TARGET_CLUSTER_SIZE.value
    if size is None and _DISTANCE_THRESHOLD.value is None:
        size = float(min(10, embeddings.shape[0]))
        logging.info("--target_cluster_size=%g (default)", size)
    made = build_clustering.cluster_embeddings(
        embeddings,
        distance_threshold=_DISTANCE_THRESHOLD.value,
        target_cluster_size=size,
        metric=_METRIC.value,
        num_neighbors=16
        if _NUM_NEIGHBORS.value is None
        else _NUM_NEIGHBORS.value,
        exact={"true": True, "false": False}.get(_EXACT.value, "auto"),
        seed=_SEED.value,
        cache=folder or None,
        verbose=True,
    )
    if folder:
        made.save(folder)
    return made


def _refuse_other_settings(found: Clustering) -> None:
    """A kept clustering must be the one that the flags ask for.

    Flags that were not given ask for nothing.
    """
    kept = {**found.info, "metric": found.metric}
    for what, flag, key in (
        ("metric", _METRIC, "metric"),
        ("mean cluster size", _TARGET_CLUSTER_SIZE, "target"),
        ("number of neighbors", _NUM_NEIGHBORS, "num_neighbors"),
        ("kind of index (exact)", _EXACT, "exact"),
    ):
        asked, had = _asked(flag), kept.get(key)
        if asked is not None and asked != had:
            raise InputError(
                f"the kept clusters have another {what}",
                where="--clustering",
                got=had,
                expected=str(asked),
                remedy="Name another directory, or leave the flag out",
            )
    asked = _DISTANCE_THRESHOLD.value
    if asked is not None and asked > found.distance_threshold:
        raise InputError(
            "the kept clusters end at a smaller distance threshold",
            where="--clustering",
            got=found.distance_threshold,
            expected=f"at least {asked}",
            remedy="Name another directory, or leave the flag out",
        )


def _asked(flag: flags.FlagHolder) -> Any:
    """The value of a flag, None if it chooses nothing."""
    choices = {"auto": None, "true": True, "false": False}
    return choices.get(flag.value, flag.value)


def _settings(margin_batch_size: int) -> dict[str, Any]:
    return {
        "embeddings": _EMBEDDINGS.value,
        "margins": _MARGINS.value,
        "labeled": _LABELED.value or "none",
        "batch_size": _BATCH_SIZE.value,
        "margin_batch_size": margin_batch_size,
        "metric": _METRIC.value,
        "seed": _SEED.value,
    }


def run() -> None:
    """Entry point of the console script."""
    run_binary(main)


if __name__ == "__main__":
    run()
