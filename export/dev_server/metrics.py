"""Prometheus metrics of one server, under TF Serving's names.

:tensorflow:serving:request_count{model_name, status}
:tensorflow:serving:request_latency{model_name, API, entrypoint}
:tensorflow:serving:runtime_latency{model_name, API, runtime}
:tensorflow:serving:request_example_counts{model}
:tensorflow:serving:request_example_count_total{model}
:tensorflow:serving:batching_session:wrapped_run_count
:tensorflow:serving:batching_session:processed_batch_size

Latencies are in microseconds; those of requests are of successful ones only.
The last one is a histogram of the rows of each call of the model.
"""

from __future__ import annotations

from collections.abc import Iterable

import prometheus_client
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_PREFIX = ":tensorflow:serving:"
_RUNTIME = "TF1"  # What TF Serving calls a session.
_MICROSECONDS = [10 * 1.8**power for power in range(33)]
_COUNTS = [2.0**power for power in range(15)]


class Metrics:
    """Requests by outcome, their latency, and the sizes of batches."""

    def __init__(self) -> None:
        # Not the library's default registry: two servers of one process would
        # add to the same counters.
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = self._counter(
            "request_count",
            "The total number of requests.",
            ("model_name", "status"),
        )
        self._latency = self._histogram(
            "request_latency",
            "Wall time in microseconds of requests.",
            ("model_name", "API", "entrypoint"),
            _MICROSECONDS,
        )
        self._runtime = self._histogram(
            "runtime_latency",
            "Wall time in microseconds of the model.",
            ("model_name", "API", "runtime"),
            _MICROSECONDS,
        )
        self._examples = self._histogram(
            "request_example_counts",
            "The number of tensorflow.Examples per request.",
            ("model",),
            _COUNTS,
        )
        self._all_examples = self._counter(
            "request_example_count_total",
            "The total number of tensorflow.Examples.",
            ("model",),
        )
        self._batches = self._counter(
            "batching_session:wrapped_run_count",
            "Total count of run calls on the wrapped session.",
        )
        self._rows = self._histogram(
            "batching_session:processed_batch_size",
            "Rows of a batched call.",
            (),
            _COUNTS,
        )

    def _counter(
        self, name: str, text: str, labels: tuple[str, ...] = ()
    ) -> prometheus_client.Counter:
        counter = prometheus_client.Counter(
            _PREFIX + name, text, labels, registry=None
        )
        self._registry.register(_AsNamed(_PREFIX + name, counter))
        return counter

    def _histogram(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        buckets: list[float],
    ) -> prometheus_client.Histogram:
        histogram = prometheus_client.Histogram(
            _PREFIX + name, text, labels, registry=None, buckets=buckets
        )
        self._registry.register(_AsNamed(_PREFIX + name, histogram))
        return histogram

    def request(
        self, model: str, api: str, entrypoint: str, code: str, seconds: float
    ) -> None:
        """Counts one request.

        Args:
            model: its name.
            api: "Predict", "Classify" and so on; over REST in lower case.
            entrypoint: "GRPC" or "REST".
            code: canonical name of the status, "OK" for success.
            seconds: from arrival to answer.
        """
        self._requests.labels(model, code).inc()
        if code == "OK":
            self._latency.labels(model, api, entrypoint).observe(1e6 * seconds)

    def runtime(self, model: str, api: str, seconds: float) -> None:
        """Notes how long the model took for a request."""
        self._runtime.labels(model, api, _RUNTIME).observe(1e6 * seconds)

    def examples(self, model: str, count: int) -> None:
        """Counts the `tf.Example`s of one request."""
        self._examples.labels(model).observe(count)
        self._all_examples.labels(model).inc(count)

    def batch(self, rows: int) -> None:
        """Counts one batched call of the model."""
        self._batches.inc()
        self._rows.observe(rows)

    def text(self) -> str:
        """Returns all metrics in Prometheus' text format (`CONTENT_TYPE`)."""
        return prometheus_client.generate_latest(self._registry).decode()


class _AsNamed(Collector):
    """A metric under its own name.

    The library adds `_total` to the names of counters, and creation times to
    all; TF Serving has neither.
    """

    def __init__(self, name: str, inner: Collector):
        self._name, self._inner = name, inner

    def describe(self) -> Iterable[Metric]:
        return []  # Otherwise the registry collects to learn the names.

    def collect(self) -> Iterable[Metric]:
        for metric in self._inner.collect():
            kind = "unknown" if metric.type == "counter" else metric.type
            found = Metric(self._name, metric.documentation, kind)
            for sample in metric.samples:
                if sample.name.endswith("_created"):
                    continue
                name = sample.name
                if kind == "unknown":
                    name = self._name
                found.add_sample(name, sample.labels, sample.value)
            yield found
