"""Where and how the development server listens."""

from __future__ import annotations

import dataclasses
import math

from export.saved_model.versions import LARGEST_BATCH, MOST_REQUEST_ROWS
from runkit.checks import LONGEST_SECONDS, require, require_positive

# Field -> its unit, in seconds.
_TIMES = {
    "batch_timeout_micros": 1e-6,
    "model_config_file_poll_wait_seconds": 1.0,
    "poll_seconds": 1.0,
    "request_timeout_seconds": 1.0,
}
_MOST_BATCH_THREADS = 1024


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Where and how the development server listens.

    Attributes:
        model_name: name in requests of the model in the base path.
        model_config_file: `models.config` of several models, instead of one
            base path; "" for none.
        model_config_file_poll_wait_seconds: seconds between two looks at that
            file; 0 reads it once.
        allow_version_labels_for_unavailable_models: take labels of versions
            that are not served yet.
        host: interface to listen on.
        port: for gRPC; 0 takes a free one.
        rest_api_port: for REST and metrics; 0 takes a free one.
        rest_api_enable_cors_support: let pages of other sites call.
        enable_batching: run concurrent requests as one batch.
        max_batch_size: most rows of one call of the model; a request with more
            is run in parts.
        max_request_rows: most rows of a request; one with more is refused.
        batch_timeout_micros: microseconds that a request waits for others.
        num_batch_threads: most batches that run at once; 0 means one for each
            processor.
        max_waiting: most requests in the queue of a signature.
        max_message_bytes: largest request, in bytes.
        request_timeout_seconds: seconds to wait for the model's answer.
        poll_seconds: seconds between two looks for a newer version.
        workers: most requests answered at once, of gRPC and of REST each.
    """

    model_name: str = "t5"
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: float = 0.0
    allow_version_labels_for_unavailable_models: bool = False
    host: str = "127.0.0.1"
    port: int = 8500
    rest_api_port: int = 8501
    rest_api_enable_cors_support: bool = False
    enable_batching: bool = True
    max_batch_size: int = LARGEST_BATCH
    max_request_rows: int = MOST_REQUEST_ROWS
    batch_timeout_micros: int = 0
    num_batch_threads: int = 0
    max_waiting: int = 1000
    max_message_bytes: int = 16 * 2**20
    request_timeout_seconds: float = 60.0
    poll_seconds: float = 1.0
    workers: int = 32

    def validate(self) -> None:
        """Raises InputError for options out of range."""
        for name in ("port", "rest_api_port"):
            value = getattr(self, name)
            require(
                0 <= value < 2**16,
                "is not a port",
                name,
                value,
                expected="0 to 65535",
            )
        require_positive(
            self,
            "server",
            "max_batch_size",
            "max_request_rows",
            "max_waiting",
            "poll_seconds",
            "max_message_bytes",
            "request_timeout_seconds",
            "workers",
        )
        require(
            self.max_message_bytes < 2**31,
            "is too large",
            "max_message_bytes",
            self.max_message_bytes,
            expected="below 2**31, as gRPC has it",
        )
        for name in (
            "batch_timeout_micros",
            "num_batch_threads",
            "model_config_file_poll_wait_seconds",
        ):
            value = getattr(self, name)
            require(0 <= value < math.inf, "is negative", name, value)
        for name, unit in _TIMES.items():
            value = getattr(self, name)
            require(
                value * unit <= LONGEST_SECONDS,
                "is too long a time",
                name,
                value,
                expected=f"<= {LONGEST_SECONDS / unit:g}",
            )
        require(
            self.num_batch_threads <= _MOST_BATCH_THREADS,
            "is too large",
            "num_batch_threads",
            self.num_batch_threads,
            expected=f"<= {_MOST_BATCH_THREADS}; each signature has as many",
        )
