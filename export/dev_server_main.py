r"""Serves exported versions for development, with TF Serving's interfaces.

Example:
    python -m export.dev_server_main --model_base_path=served/t5
    curl localhost:8501/v1/models/t5:predict \
      -d '{"signature_name": "embed", "instances": ["some text"]}'

It is not TF Serving: no TLS, no authentication, one process. Several models,
policies and labels come from a `models.config`:

    python -m export.dev_server_main --model_config_file=/models/models.config
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import threading
from collections.abc import Sequence

from absl import flags

from export.dev_server.options import ServerOptions
from export.saved_model import server_config
from runkit import InputError, run_binary
from runkit.flag_values import Flag, check_table
from runkit.signals import on_termination

FLAGS = flags.FLAGS
# Fields of `ServerOptions`; their ranges are checked there.
_OPTION_FLAGS = (
    Flag(
        "model_name",
        "Name in requests of the model in --model_base_path.",
        default=ServerOptions.model_name,
    ),
    Flag(
        "model_config_file",
        "A ModelServerConfig in text format, instead of --model_base_path.",
        default=ServerOptions.model_config_file,
    ),
    Flag(
        "model_config_file_poll_wait_seconds",
        "Seconds between checks of that file; 0 reads it once.",
        float,
        ServerOptions.model_config_file_poll_wait_seconds,
    ),
    Flag(
        "allow_version_labels_for_unavailable_models",
        "Take labels of versions that are not served yet.",
        bool,
        ServerOptions.allow_version_labels_for_unavailable_models,
    ),
    Flag(
        "host",
        "Interface to listen on; 0.0.0.0 means all.",
        default=ServerOptions.host,
    ),
    Flag("port", "gRPC port; 0 takes a free one.", int, ServerOptions.port),
    Flag(
        "rest_api_port",
        "REST port; 0 takes a free one.",
        int,
        ServerOptions.rest_api_port,
    ),
    Flag(
        "rest_api_enable_cors_support",
        "Let pages of other sites call the REST API.",
        bool,
        ServerOptions.rest_api_enable_cors_support,
    ),
    Flag(
        "enable_batching",
        "Run concurrent requests as one batch.",
        bool,
        ServerOptions.enable_batching,
    ),
    Flag(
        "max_batch_size",
        "Largest number of rows in one call of the model; longer requests are "
        "run in parts.",
        int,
        ServerOptions.max_batch_size,
    ),
    Flag(
        "max_request_rows",
        "Largest number of rows in a request.",
        int,
        ServerOptions.max_request_rows,
    ),
    Flag(
        "batch_timeout_micros",
        "Microseconds that a request waits for others to join its batch.",
        int,
        ServerOptions.batch_timeout_micros,
    ),
    Flag(
        "num_batch_threads",
        "Most batches that run at once; 0 means one for each processor.",
        int,
        ServerOptions.num_batch_threads,
    ),
    Flag(
        "max_message_bytes",
        "Largest request, in bytes.",
        int,
        ServerOptions.max_message_bytes,
    ),
    Flag(
        "request_timeout_seconds",
        "Seconds to wait for the model's answer.",
        float,
        ServerOptions.request_timeout_seconds,
    ),
    Flag(
        "poll_seconds",
        "Seconds between checks of the base path.",
        float,
        ServerOptions.poll_seconds,
    ),
)
FLAG_TABLE = (
    Flag(
        "model_base_path",
        "Directory with one folder per version, named by its number.",
    ),
    Flag(
        "batching_parameters_file",
        "A BatchingParameters in text format, instead of --max_batch_size, "
        "--max_request_rows, --batch_timeout_micros and --num_batch_threads.",
    ),
    *_OPTION_FLAGS,
)


def main(argv: Sequence[str]) -> None:
    """Reads flags, serves until SIGTERM or SIGINT, then drains."""
    del argv
    check_table(FLAG_TABLE, FLAGS)
    options = ServerOptions(
        **{flag.name: getattr(FLAGS, flag.name) for flag in _OPTION_FLAGS}
    )
    if FLAGS.batching_parameters_file:
        limits = _batching()
        options = dataclasses.replace(
            options,
            max_batch_size=limits.max_batch_size,
            max_request_rows=limits.max_request_rows,
            batch_timeout_micros=limits.batch_timeout_micros,
            max_waiting=limits.max_waiting,
            num_batch_threads=limits.num_batch_threads,
        )
    options.validate()
    # TensorFlow takes seconds to load; bad flags are refused before.
    try:
        from export.dev_server.rest_api import NOTICE
        from export.dev_server.server import DevServer
    except ModuleNotFoundError as error:
        raise InputError(
            "is not installed",
            where=str(error.name),
            remedy="pip install 'spactor-al[serving]'",
        ) from None

    stop = threading.Event()
    with on_termination(lambda *_: stop.set()):
        server = DevServer(FLAGS.model_base_path or None, options)
        server.start()
        ready = {
            "ready": NOTICE,
            "models": {
                name: list(server.manager.states(name))
                for name in server.manager.names()
            },
            "port": server.port,
            "rest_api_port": server.rest_api_port,
        }
        print(json.dumps(ready), flush=True)
        stop.wait()
        server.stop()


def _batching() -> server_config.BatchLimits:
    """Limits out of the batching file, which nothing else may set.

    Raises:
        InputError: a flag that the file replaces, or a bad file.
    """
    path = pathlib.Path(FLAGS.batching_parameters_file)
    limits = server_config.read_batching(path)
    names = limits._fields
    given = [name for name in names if name in FLAGS and FLAGS[name].present]
    if not FLAGS.enable_batching:
        given.append("noenable_batching")
    if given:
        raise InputError(
            "does not go together with " + ", ".join(f"--{n}" for n in given),
            where="--batching_parameters_file",
            got=FLAGS.batching_parameters_file,
        )
    return limits


def run() -> None:
    """Entry point of the console script."""
    # TensorFlow imports Keras 3 with itself unless told to take the older one,
    # which comes when it is asked for: never, here.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    run_binary(main, FLAG_TABLE)


if __name__ == "__main__":
    run()
