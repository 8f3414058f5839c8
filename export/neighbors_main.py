r"""Exports the nearest examples of a pool as a SavedModel.

    python -m export.neighbors_main --run_dir=runs/classifier \
        --embeddings=scores/embeddings.npy --clustering=clusters \
        --output_dir=served/neighbors

The embeddings come from the model of --run_dir (`export.score_main` writes
them), the clustering from `al_tf.select_main` over the same rows. A server of
the result answers a text with its nearest examples and the cluster that the
text would fall in.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from al_tf.inputs.column_flags import EMBEDDING_FLAG, ID_FLAG
from runkit import run_binary
from runkit.flag_values import Flag, check_table

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag(
        "run_dir",
        "Run, preset or classifier that embeds texts; without it, queries are "
        "embeddings.",
    ),
    Flag(
        "embeddings",
        "Embeddings of the pool: files as for al_tf.select_main.",
        required=True,
    ),
    Flag(
        "clustering",
        "Directory of the clustering of these embeddings.",
        required=True,
    ),
    Flag(
        "output_dir",
        "Base path to serve; the version becomes a folder in it.",
        required=True,
    ),
    Flag("model_name", "Name under which it is served.", default="neighbors"),
    Flag(
        "version",
        "Number of the version; by default the next that is neither written "
        "nor being written.",
        int,
    ),
    Flag(
        "num_neighbors",
        "Number of neighbors returned for each query.",
        int,
        10,
        positive=True,
    ),
    Flag(
        "use_scann",
        "Search approximately, for a TF Serving with ScaNN's ops.",
        bool,
        False,
    ),
    ID_FLAG,
    EMBEDDING_FLAG,
)


def main(argv: Sequence[str]) -> None:
    """Reads flags, exports, prints where."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    from al_tf.clustering.result import load_clustering
    from al_tf.clustering.store import check_ids
    from al_tf.inputs.pool_files import read_pool

    clustering = load_clustering(FLAGS.clustering)
    embeddings = read_pool(
        FLAGS.embeddings,
        id_column=FLAGS.id_column,
        embedding_column=FLAGS.embedding_column,
    )
    check_ids(FLAGS.clustering, embeddings.ids)
    clustering.check_pool(embeddings)
    rows, _ = embeddings.shape
    # TensorFlow takes seconds to load; bad flags are refused before.
    import numpy as np

    from export.saved_model.neighbor_index import export_neighbor_index
    from export.scoring.scorer import scored_by

    weights = scored_by(FLAGS.embeddings)
    if FLAGS.run_dir and not weights:
        print(
            "cannot tell whether --run_dir made the embeddings: there is no "
            "scoring.json of `export.score_main --model_dir` beside them",
            file=sys.stderr,
        )
    path = export_neighbor_index(
        embeddings.take(np.arange(rows)),
        clustering.cluster_ids,
        FLAGS.output_dir,
        FLAGS.version,
        num_neighbors=FLAGS.num_neighbors,
        model=FLAGS.run_dir,
        use_scann=FLAGS.use_scann,
        model_name=FLAGS.model_name,
        ids=None if embeddings.ids is None else embeddings.ids.tolist(),
        weights_sha256=weights,
    )
    print(f"version:   {path}")
    print(f"neighbors: {FLAGS.num_neighbors} of {rows:,} examples")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
