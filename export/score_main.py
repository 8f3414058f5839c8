r"""Scores a pool for Cluster-Margin with a local or served model.

Example:
    python -m export.score_main --model_dir=served/t5/1 \
      --dataset=jsonl:pool.jsonl:text --output_dir=scores
    python -m export.score_main --server=localhost:8500 --model_name=t5 ...
    python -m al_tf.select_main --embeddings=scores/embeddings.npy \
      --margins=scores/margins.npy --batch_size=100 --output=ids.csv

With --id_column, scores.parquet is both of these files, joined by id.
The same command resumes an interrupted scoring.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from export.client import TRANSPORTS, Client, RemoteError
from export.scoring.scorer import (
    BATCH_BYTES,
    Predict,
    score_pool,
    write_table,
)
from export.scoring.texts import pool_ids, pool_texts
from runkit import InputError, run_binary
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
)


def open_model(values: Any) -> tuple[Predict, str]:
    """Returns (predict, which model it is) of the flags.

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
        from export.saved_model.session import SessionModel
        from export.saved_model.verify import read_card

        model = SessionModel(values.model_dir)
        card = read_card(model.path)
        name = f"{card['model_name']}/{card['version']}"
        return model.run, f"{name} {card.get('vocabulary_sha256', '')[:16]}"
    address, name = values.server, values.model_name
    options = {"transport": values.transport, "batch_size": values.batch_size}
    try:
        version = Client(address, name, **options).served_version()
    except RemoteError as error:
        raise InputError(str(error), where="--server", got=address) from None
    # Scores of a version that arrives later must not mix with this one's.
    client = Client(address, name, version=version, **options)
    return client.predict, f"{address} {name}/{version}"


def weights_of(model_dir: str | None) -> str:
    """Returns the SHA-256 of a version's weights; "" where it is unknown.

    Args:
        model_dir: None for a model on a server, which does not tell.
    """
    if not model_dir:
        return ""
    from export.saved_model.verify import read_card

    return read_card(pathlib.Path(model_dir)).get("weights_sha256", "")


def main(argv: Sequence[str]) -> None:
    """Reads flags, scores, prints where the scores are."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    output_folder(FLAGS)
    texts, ids = pool_texts(FLAGS.dataset), None
    if FLAGS.id_column:
        ids = pool_ids(FLAGS.dataset, FLAGS.id_column)
    predict, model = open_model(FLAGS)
    with lock_directory(FLAGS.output_dir):
        scores = score_pool(
            predict,
            texts,
            FLAGS.output_dir,
            model=model,
            weights_sha256=weights_of(FLAGS.model_dir),
            shard_size=FLAGS.shard_size,
            batch_size=FLAGS.batch_size,
            batch_bytes=FLAGS.batch_bytes,
        )
        if ids is not None:
            write_table(FLAGS.output_dir, scores, ids)
    print(f"scored {len(scores.margins):,} texts into {FLAGS.output_dir}")


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
