r"""Exports the nearest examples of a pool as a SavedModel.

    python -m export.neighbors_main --run_dir=runs/classifier \
        --embeddings=scores/embeddings.npy --clustering=clusters \
        --output_dir=served/neighbors

The embeddings are those that the model of --run_dir makes (`export.score_main`
writes them), the clustering is one of `al_tf.select_main` over the same rows.
A server of the result answers a text with its nearest examples and with the
cluster that it would fall in.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from runkit import run_binary
from runkit.flag_values import check_flags, definers

FLAGS = flags.FLAGS


def _define_flags(values: flags.FlagValues = FLAGS) -> None:
    text, number, _, switch = definers(values)
    text("run_dir", None, "Run, preset or classifier that embeds texts.")
    text("embeddings", None, ".npy, Parquet or a folder of shards. Required.")
    text("clustering", None, "Clustering of these embeddings. Required.")
    text("output_dir", None, "Base path to serve. Required.")
    text("model_name", "neighbors", "Name under which it is served.")
    number("version", None, "Default: one after the newest.")
    number("num_neighbors", 10, "Returned for each query.")
    switch("use_scann", False, "For a TF Serving with ScaNN's ops.")


def main(argv: Sequence[str]) -> None:
    """Reads flags, exports, says where."""
    del argv
    check_flags(FLAGS, required=("embeddings", "clustering", "output_dir"))
    from al_tf.clustering.result import load_clustering
    from al_tf.inputs.embeddings import open_embeddings

    clustering = load_clustering(FLAGS.clustering)
    embeddings = open_embeddings(FLAGS.embeddings)
    clustering.check_pool(embeddings)
    rows, _ = embeddings.shape
    # TensorFlow takes seconds to load; bad flags are refused before.
    import numpy as np

    from export.saved_model.neighbor_index import export_neighbor_index

    path = export_neighbor_index(
        embeddings.take(np.arange(rows)),
        clustering.cluster_ids,
        FLAGS.output_dir,
        FLAGS.version,
        num_neighbors=FLAGS.num_neighbors,
        model=FLAGS.run_dir,
        use_scann=FLAGS.use_scann,
        model_name=FLAGS.model_name,
    )
    print(f"version:    {path}")
    print(f"neighbors: {FLAGS.num_neighbors} of {rows:,} examples")


def run() -> None:
    """Entry point of the console script."""
    if "clustering" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
