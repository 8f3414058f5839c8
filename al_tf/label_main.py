r"""A page in the browser where one person labels the batches of a project.

    python -m al_tf.label_main --project=DIR --annotator=eve

Open the address that it prints. Every key is saved in the project as it is
pressed; the server can be killed and started again at any moment. It answers
on this machine only, and only to addresses with its token. Several people run
one each, with ports of their own.
"""

from __future__ import annotations

import os
import pathlib
import socket
import sys
from collections.abc import Sequence

from absl import flags

from al_tf.project.creation import read_facts
from al_tf.project.project import ANNOTATOR
from al_tf.project_main import check_target, open_project
from runkit import InputError, run_binary
from runkit.errors import cannot_listen
from runkit.flag_values import Flag, check_table
from runkit.quality import metrics_library

FLAGS = flags.FLAGS
HOST = "127.0.0.1"
FLAG_TABLE = (
    Flag("project", "Folder of the project.", required=True),
    Flag("port", "Port to listen at; 0 takes a free one.", int, 8765, least=0),
    Flag("annotator", "Name of the person who labels.", default=ANNOTATOR),
    Flag(
        "copy_distance",
        "Cosine distance up to which two examples of a cluster are copies.",
        float,
        0.05,
        least=0,
    ),
    Flag(
        "target",
        "Accuracy that is wanted; forecasts the labels needed.",
        float,
        positive=True,
    ),
)


def listen(port: int) -> socket.socket:
    """Takes a port of this machine.

    Raises:
        InputError: it is in use, or not permitted.
    """
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise cannot_listen(error, HOST, port) from None


def main(argv: Sequence[str]) -> None:
    """Serves the page until SIGTERM or SIGINT."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    check_target(FLAGS.target)
    metrics_library(extra="active-learning")
    try:
        from al_tf.label_page.access import sole_page
        from al_tf.label_page.server import LabelPage, serve
        from al_tf.label_page.session import Session
    except ModuleNotFoundError as error:
        raise InputError(
            "is not installed",
            where=str(error.name),
            remedy="pip install 'spactor-al[labeling]'",
        ) from None

    folder = pathlib.Path(FLAGS.project)
    read_facts(folder)  # Before a folder of the page is made.
    with (
        listen(FLAGS.port) as bound,
        sole_page(folder, FLAGS.annotator) as token,
    ):
        session = Session(
            open_project(FLAGS.project),
            FLAGS.annotator,
            copy_distance=FLAGS.copy_distance,
            target=FLAGS.target,
        )
        page = LabelPage(session, token)
        port = bound.getsockname()[1]
        print(f"labeling page: http://{HOST}:{port}/{token}/", flush=True)
        serve(page, bound)
        if not page.is_idle(seconds=1.0):
            # A model is being trained, or the pool embedded. Nothing of it is
            # on disk before it is whole, and nobody waits for it any more.
            sys.stdout.flush()
            os._exit(0)


def run() -> None:
    """Entry point of the console script."""
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
