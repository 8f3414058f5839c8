r"""Scores a pool for Cluster-Margin with a local or served model.

Example:
    python -m export.score_main --model_dir=served/t5/1 \
      --dataset=jsonl:pool.jsonl:text --output_dir=scores
    python -m export.score_main --server=localhost:8500 --model_name=t5 ...
    python -m al_tf.select_main --embeddings=scores/embeddings.npy \
      --margins=scores/margins.npy --batch_size=100 --output=ids.csv

With --id_column, scores.parquet is both of these files, joined by id.
With --engine, every file of the pool is a shard of its own, with ids; many
workers score them, and rows that cannot be scored become dead letters:

    python -m export.score_main --model_dir=served/t5/1 --engine=ray \
      --dataset='parquet:pool/*.parquet:text' --id_column=id \
      --output_dir=scores
    python -m al_tf.select_shards_main --embeddings=scores/scores \
      --margins=scores/scores --batch_size=100 --output=ids.csv --engine=ray

The same command resumes an interrupted scoring.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from al_tf.distributed.costs.page import write_page
from al_tf.distributed.options import (
    asked_engine,
    check_engine_flags,
    engine_flags,
)
from export.client import TRANSPORTS
from export.model_sources import LocalModel, ServedModel, served_model
from export.scoring.parallel import DTYPES, score_files
from export.scoring.scorer import BATCH_BYTES, score_pool, write_table
from export.scoring.shards import pool_files
from export.scoring.texts import pool_ids, pool_texts
from runkit import InputError, report, run_binary
from runkit.datasets import TEXT_KINDS, forms
from runkit.files import lock_directory
from runkit.flag_values import Flag, check_table, output_folder

FLAGS = flags.FLAGS
FLAG_TABLE = (
    Flag("model_dir", "Directory of one exported version."),
    Flag("server", "Address host:port to ask instead of --model_dir."),
    Flag(
        "transport",
        "How to reach the server.",
        default="grpc",
        choices=TRANSPORTS,
    ),
    Flag("model_name", "Name of the model on the server.", default="t5"),
    Flag(
        "dataset",
        f"Pool of texts: {forms(TEXT_KINDS)}.",
        required=True,
    ),
    Flag("output_dir", "Directory to write the scores to.", required=True),
    Flag(
        "id_column",
        "Field of the pool's table that holds ids; the scores are then also "
        "written as scores.parquet.",
    ),
    Flag("shard_size", "Texts per file.", int, 4096, positive=True),
    Flag("batch_size", "Most texts per request.", int, 64, positive=True),
    Flag(
        "batch_bytes",
        "Most bytes of text per request, padding included: long texts in large "
        "requests outgrow the processor's caches.",
        int,
        BATCH_BYTES,
        positive=True,
    ),
    *engine_flags(
        "Score every file of the pool as a shard of its own: in this process, "
        "or on a Ray cluster. Without it, all texts are one stream.",
        None,
    ),
    Flag(
        "embedding_dtype",
        f"Of the embeddings that --engine writes; default: {DTYPES[0]}.",
        choices=DTYPES,
    ),
    Flag(
        "most_dead",
        "With --engine: share of rows that cannot be scored above which the "
        "run ends; default: 0.01.",
        float,
        least=0,
    ),
)


def asked_model(values: Any) -> LocalModel | ServedModel:
    """Returns the model that the flags ask for.

    Args:
        values: the flags as attributes.

    Raises:
        InputError: not exactly one of a directory and a server, a directory
            that is not an exported version, or a server that does not answer.
    """
    if bool(values.model_dir) == bool(values.server):
        raise InputError(
            "exactly one of the two is needed", where="--model_dir, --server"
        )
    if values.model_dir:
        return LocalModel(str(pathlib.Path(values.model_dir).absolute()))
    return served_model(
        values.server, values.model_name, values.transport, values.batch_size
    )


def main(argv: Sequence[str]) -> None:
    """Reads flags, scores, prints where the scores are."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    output_folder(FLAGS)
    check_engine_flags(FLAGS)
    if FLAGS.engine:
        score_by_file()
        return
    if FLAGS.embedding_dtype or FLAGS.most_dead is not None:
        raise InputError(
            "is for --engine only",
            where="--embedding_dtype, --most_dead",
            remedy="Give --engine=local too",
        )
    texts, ids = pool_texts(FLAGS.dataset), None
    if FLAGS.id_column:
        ids = pool_ids(FLAGS.dataset, FLAGS.id_column)
    model = asked_model(FLAGS)
    predict = model()
    with lock_directory(FLAGS.output_dir):
        scores = score_pool(
            predict,
            texts,
            FLAGS.output_dir,
            model=model.name(),
            weights_sha256=model.weights(),
            shard_size=FLAGS.shard_size,
            batch_size=FLAGS.batch_size,
            batch_bytes=FLAGS.batch_bytes,
        )
        if ids is not None:
            write_table(FLAGS.output_dir, scores, ids)
    print(f"scored {len(scores.margins):,} texts into {FLAGS.output_dir}")


def score_by_file() -> None:
    """Scores every file as a shard, on an engine."""
    if not FLAGS.id_column:
        raise InputError(
            "is missing",
            where="--id_column",
            expected="the field of ids, by which shards are joined",
        )
    files = pool_files(FLAGS.dataset, FLAGS.id_column, "--dataset")
    model = asked_model(FLAGS)
    model.name()  # Refused here before any worker begins.
    engine = asked_engine(FLAGS)
    try:
        with lock_directory(FLAGS.output_dir):
            found = score_files(
                engine,
                model,
                files,
                FLAGS.output_dir,
                batch_size=FLAGS.batch_size,
                batch_bytes=FLAGS.batch_bytes,
                dtype=FLAGS.embedding_dtype or DTYPES[0],
                most_dead=0.01 if FLAGS.most_dead is None else FLAGS.most_dead,
            )
        page = pathlib.Path(FLAGS.output_dir) / "report.html"
        with report.optional(page):
            write_page(
                page.parent,
                "",
                "Scores of a pool",
                {"model": model.name(), **found._asdict()},
                engine.costs,
                engine.workers,
            )
    finally:
        engine.close()
    print(
        f"scored {found.rows:,} texts of {found.files:,} files into "
        f"{FLAGS.output_dir}/scores"
        + f"; {found.kept:,} files were scored before"
        * bool(found.kept)
    )
    if found.dead:
        path = pathlib.Path(FLAGS.output_dir) / "dead_letters.jsonl"
        print(f"{found.dead:,} rows have no scores: {path}")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
