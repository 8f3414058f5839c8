"""Scores a pool for Cluster-Margin with an exported model, here or remote.

Example:
    python -m export.score_main --model_dir=served/t5/1 \
      --dataset=jsonl:pool.jsonl:text --output_dir=scores
    python -m export.score_main --server=localhost:8500 --model_name=t5 ...
    python -m al_tf.select_main --embeddings=scores/embeddings.npy \
      --margins=scores/margins.npy --batch_size=100 --output=ids.csv

The same command goes on with an interrupted scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from absl import flags

from export.scoring.texts import pool_texts
from runkit import InputError, run_binary
from runkit.flag_values import check_flags

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_string("model_dir", None, "One exported version.")
    flags.DEFINE_string("server", None, "host:port instead of --model_dir.")
    flags.DEFINE_string("transport", "grpc", "grpc or rest.")
    flags.DEFINE_string("model_name", "t5", "Name under which it is served.")
    flags.DEFINE_string(
        "dataset", None, "jsonl:PATH:FIELD or tfds:NAME[:SPLIT][:FEATURE]."
    )
    flags.DEFINE_string("output_dir", None, "Folder of the scores. Required.")
    flags.DEFINE_integer("shard_size", 4096, "Texts between two writes.")
    flags.DEFINE_integer("batch_size", 64, "Texts in one call.")


def open_model(values: Any) -> tuple[Any, str]:
    """Returns (predict, which model it is) of the flags.

    Raises:
        InputError: not exactly one of a directory and a server, or none that
            answers.
    """
    if bool(values.model_dir) == bool(values.server):
        raise InputError(
            "exactly one of them is needed", where="--model_dir, --server"
        )
    if values.model_dir:
        from export.saved_model.session import SessionModel
        from export.saved_model.verify import read_card

        model = SessionModel(values.model_dir)
        card = read_card(model.path)
        name = f"{card['model_name']}/{card['version']}"
        return model.run, f"{name} {card.get('vocabulary_sha256', '')[:16]}"
    from export.client import Client, RemoteError

    address, name = values.server, values.model_name
    options = {"transport": values.transport, "batch_size": values.batch_size}
    try:
        version = Client(address, name, **options).served_version()
    except RemoteError as error:
        raise InputError(str(error), where="--server", got=address) from None
    # A newer version that comes meanwhile must not mix with this one.
    client = Client(address, name, version=version, **options)
    return client.predict, f"{address} {name}/{version}"


def main(argv: Sequence[str]) -> None:
    """Reads flags, scores, says where the scores are."""
    del argv
    check_flags(FLAGS, required=("dataset", "output_dir"))
    texts = pool_texts(FLAGS.dataset)
    predict, model = open_model(FLAGS)
    from export.scoring.scorer import score_pool

    scores = score_pool(
        predict,
        texts,
        FLAGS.output_dir,
        model=model,
        shard_size=FLAGS.shard_size,
        batch_size=FLAGS.batch_size,
    )
    print(f"scored {len(scores.margins):,} texts into {FLAGS.output_dir}")


def run() -> None:
    """Entry point of the console script."""
    if "server" not in FLAGS:
        _define_flags()
    run_binary(main)


if __name__ == "__main__":
    run()
