"""Serves exported versions for development, with TF Serving's interfaces.

Example:
    python -m export.dev_server_main --model_base_path=served/t5
    curl localhost:8501/v1/models/t5:predict \
      -d '{"signature_name": "embed", "instances": ["some text"]}'

It is not TF Serving: no TLS, one model, one process.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
from collections.abc import Sequence

from absl import flags

from export.dev_server.options import ServerOptions
from runkit import InputError, run_binary

FLAGS = flags.FLAGS
_FLAGS = (
    ("model_name", flags.DEFINE_string, "Name in requests."),
    ("host", flags.DEFINE_string, "Interface; only the loopback by default."),
    ("port", flags.DEFINE_integer, "For gRPC; 0 takes a free one."),
    ("rest_api_port", flags.DEFINE_integer, "For REST; 0 takes a free one."),
    ("enable_batching", flags.DEFINE_bool, "Join concurrent requests."),
    ("max_batch_size", flags.DEFINE_integer, "Rows of a joined call."),
    ("batch_timeout_micros", flags.DEFINE_integer, "Wait for more rows."),
    ("max_message_bytes", flags.DEFINE_integer, "Of a request."),
    ("request_timeout_seconds", flags.DEFINE_float, "For an answer."),
    ("poll_seconds", flags.DEFINE_float, "Between looks for new versions."),
)


def main(argv: Sequence[str]) -> None:
    """Reads flags, serves until SIGTERM or SIGINT, then drains."""
    del argv
    if not FLAGS.model_base_path:
        raise InputError("is missing", where="--model_base_path")
    given = {
        name: getattr(FLAGS, name)
        for name, _, _ in _FLAGS
        if getattr(FLAGS, name) is not None
    }
    options = dataclasses.replace(ServerOptions(), **given)
    options.validate()
    # TensorFlow takes seconds to load; bad flags are refused before.
    from export.dev_server.rest_api import NOTICE
    from export.dev_server.server import DevServer

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = DevServer(FLAGS.model_base_path, options)
    server.start()
    ready = {
        "ready": NOTICE,
        "model": options.model_name,
        "versions": list(server.store.states()),
        "port": server.port,
        "rest_api_port": server.rest_api_port,
    }
    print(json.dumps(ready), flush=True)
    stop.wait()
    server.stop()


def run() -> None:
    """Entry point of the console script."""
    if "model_base_path" not in FLAGS:
        flags.DEFINE_string(
            "model_base_path", None, "Holds the versions. Required."
        )
        for name, define, text in _FLAGS:
            define(name, None, text)
    run_binary(main)


if __name__ == "__main__":
    run()
