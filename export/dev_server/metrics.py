"""Prometheus metrics of one server.

dev_server_requests_total{api, code}    requests by outcome
dev_server_request_seconds{api}         histogram of their latency
dev_server_batches_total                calls of the model
dev_server_batched_rows_total           rows of these calls
"""

from __future__ import annotations

import prometheus_client

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # Seconds.
# The samples that are exposed: without the creation times that the library
# adds to each of them.
_SAMPLES = (
    "dev_server_requests_total",
    "dev_server_request_seconds_bucket",
    "dev_server_request_seconds_sum",
    "dev_server_request_seconds_count",
    "dev_server_batches_total",
    "dev_server_batched_rows_total",
)


class Metrics:
    """Requests by outcome, their latency, and the sizes of batches."""

    def __init__(self) -> None:
        # Not the library's default registry: two servers of one process would
        # add to the same counters.
        registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "dev_server_requests",
            "Requests by interface and canonical status code.",
            ("api", "code"),
            registry=registry,
        )
        self._seconds = prometheus_client.Histogram(
            "dev_server_request_seconds",
            "Seconds from the arrival of a request to its answer.",
            ("api",),
            registry=registry,
            buckets=_BOUNDS,
        )
        self._batches = prometheus_client.Counter(
            "dev_server_batches",
            "Batched calls of the model.",
            registry=registry,
        )
        self._rows = prometheus_client.Counter(
            "dev_server_batched_rows",
            "Rows of all batched calls.",
            registry=registry,
        )
        self._exposed = registry.restricted_registry(_SAMPLES)

    def request(self, api: str, code: str, seconds: float) -> None:
        """Counts one request.

        Args:
            api: "grpc" or "rest".
            code: canonical name of the status, "OK" for success.
            seconds: from arrival to answer.
        """
        self._requests.labels(api, code).inc()
        self._seconds.labels(api).observe(seconds)

    def batch(self, rows: int) -> None:
        """Counts one batched call of the model."""
        self._batches.inc()
        self._rows.inc(rows)

    def text(self) -> str:
        """Returns all metrics in Prometheus' text format (`CONTENT_TYPE`)."""
        return prometheus_client.generate_latest(self._exposed).decode()
