r"""Picks the next batch of a pool in shards, on one machine or on many.

    python -m al_tf.select_shards_main --embeddings=pool/ --margins=margins/ \
        --batch_size=1000 --output=batch/ids.csv --engine=ray \
        --ray_address=auto --num_parts=64 --state=state

The clusters are exact, and clusters and batch are those that
`al_tf.select_main --exact=true` finds in the same files; with --exact=false the
neighbors come from ScaNN, and their recall is measured. A run that was stopped
goes on from `--state`. Beside the output, `ids.report.html` and
`ids.stages.json` for `ids.csv` tell what each stage cost.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags, logging

from al_tf.clustering.options import (
    CLUSTER_FLAGS,
    ClusteringOptions,
    asked_options,
)
from al_tf.distributed.cluster import (
    DistributedClusters,
    Layout,
    cluster_shards,
)
from al_tf.distributed.costs.page import FIGURES, write_page
from al_tf.distributed.costs.watch import SELECT, Watch, phase_seconds
from al_tf.distributed.engine import Engine
from al_tf.distributed.options import asked_engine, engine_flags
from al_tf.distributed.selection import select_from_parts
from al_tf.distributed.stages.choice import ScoredPart
from al_tf.distributed.stages.preparation import Shard, shards_of
from al_tf.distributed.state import check_state
from al_tf.inputs.column_flags import (
    EMBEDDING_FLAG,
    ID_FLAG,
    LABEL_FLAG,
    SCORE_FLAGS,
)
from al_tf.inputs.pool_files import naming
from al_tf.selection import batch_files, round_files, select_report
from al_tf.selection.candidates import labeled_to_unlabeled, unlabeled_ids
from runkit import report, run_binary, write_json
from runkit.files import lock_directory
from runkit.flag_values import Flag, check_table

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag("embeddings", round_files.EMBEDDINGS_HELP, required=True),
    *round_files.ANSWER_FLAGS,
    *round_files.PICK_FLAGS,
    Flag(
        "state",
        "Directory from which a run that was stopped goes on; with several "
        "machines, one that all of them see.",
        default="",
    ),
    *CLUSTER_FLAGS,
    Flag(
        "exact",
        "Exact neighbors, or ScaNN's in every part.",
        default="true",
        choices=("true", "false"),
    ),
    *engine_flags("Where to compute: this process, or a Ray cluster.", "local"),
    Flag(
        "num_parts",
        "Parts of the pool, each the work of one worker at a time.",
        int,
        4,
        least=1,
    ),
    Flag(
        "part_gigabytes",
        "Refuse parts for which a worker needs more memory.",
        float,
        16.0,
        positive=True,
    ),
    Flag(
        "finish_rows",
        "So few clusters are finished by one machine.",
        int,
        200_000,
        least=0,
    ),
    round_files.OVERWRITE_FLAG,
    ID_FLAG,
    EMBEDDING_FLAG,
    *SCORE_FLAGS,
    LABEL_FLAG,
)


def main(argv: Sequence[str]) -> None:
    """Reads, clusters, picks, writes."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    output = pathlib.Path(FLAGS.output)
    batch_files.check_output(output)
    if not FLAGS.overwrite:
        select_report.check_side_files(output, FIGURES)
    if FLAGS.state:
        check_state(pathlib.Path(FLAGS.state))
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
    round_files.given_scores(FLAGS)
    # Everything that can be refused is refused before the long work.
    engine = asked_engine(FLAGS)
    try:
        _select(engine, output)
    finally:
        engine.close()


def _select(engine: Engine, output: pathlib.Path) -> None:
    """Clusters and picks on an engine; writes the batch and the costs."""
    shards, ids = shards_of(
        FLAGS.embeddings, FLAGS.id_column, FLAGS.embedding_column
    )
    n = sum(len(shard.places) for shard in shards)
    margins = round_files.read_scores(FLAGS, ids, n)
    labeled = round_files.read_labeled(FLAGS, ids)
    unlabeled = unlabeled_ids(
        labeled_to_unlabeled(labeled, n), n, FLAGS.batch_size
    )
    size = round_files.asked_margin_batch_size(FLAGS, len(unlabeled))
    options = asked_options(FLAGS, n, FLAGS.exact == "true").checked(n)
    watch = Watch(
        phase_seconds(n, FLAGS.num_parts, exact=options.exact is not False)
    )
    with naming(ids):
        clusters = _clusters(engine, shards, options, watch)
    watch(SELECT, 0.0, "")
    parts = [
        engine.put(ScoredPart(rows, margins[rows], clusters.cluster_ids[rows]))
        for rows in np.array_split(
            unlabeled, min(FLAGS.num_parts, len(unlabeled))
        )
    ]
    batch = select_from_parts(
        engine,
        parts,
        num_unlabeled=len(unlabeled),
        batch_size=FLAGS.batch_size,
        margin_batch_size=size,
        seed=FLAGS.seed,
    )
    named = None
    if ids is not None:
        names = ids.take(batch).tolist()
        named = batch_files.NamedBatch(FLAGS.id_column or "id", names)
    batch_files.write_batch(output, batch, margins, clusters.cluster_ids, named)
    _write_costs(output, engine, clusters, n)


def _clusters(
    engine: Engine,
    shards: list[Shard],
    options: ClusteringOptions,
    watch: Watch,
) -> DistributedClusters:
    """Clusters the pool; nobody else uses the state meanwhile."""
    layout = Layout(
        FLAGS.num_parts,
        FLAGS.finish_rows,
        int(FLAGS.part_gigabytes * 2**30),
    )
    if not FLAGS.state:
        return cluster_shards(
            engine, shards, options, layout, on_progress=watch
        )
    state = pathlib.Path(FLAGS.state)
    with lock_directory(state, where="--state", beside=True):
        return cluster_shards(
            engine, shards, options, layout, state=state, on_progress=watch
        )


def _write_costs(
    output: pathlib.Path,
    engine: Engine,
    clusters: DistributedClusters,
    num_examples: int,
) -> None:
    """Writes what each stage cost beside the output."""
    path = output.parent / f"{output.stem}.stages.json"
    costs = {
        name: dataclasses.asdict(cost) for name, cost in engine.costs.items()
    }
    facts = {
        "examples": num_examples,
        "clusters": num_examples - len(clusters.merge_distances),
        "distance_threshold": clusters.distance_threshold,
        "rounds": clusters.rounds,
        "recall": clusters.recall,
        "parts": FLAGS.num_parts,
    }
    write_json(path, {**facts, "stages": costs})
    logging.info("wrote %s and %s", output, path)
    page = output.parent / f"{output.stem}.report.html"
    with report.optional(page):
        written = write_page(
            output.parent,
            f"{output.stem}.",
            "Cluster-Margin in parts",
            {name.replace("_", " "): value for name, value in facts.items()},
            engine.costs,
            engine.workers,
        )
        logging.info("wrote %s", written)


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
