"""Counters in Prometheus' text format."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Metrics:
    """Requests by outcome, their latency, and the sizes of batches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter = Counter()
        self._latency: dict[str, list[int]] = defaultdict(
            lambda: [0] * (len(_SECONDS) + 1)
        )
        self._seconds: dict[str, float] = defaultdict(float)
        self._batches, self._rows = 0, 0

    def request(self, api: str, code: str, seconds: float) -> None:
        """Counts one request.

        Args:
            api: "grpc" or "rest".
            code: canonical name, "OK" for a good one.
            seconds: from arrival to answer.
        """
        with self._lock:
            self._requests[api, code] += 1
            self._seconds[api] += seconds
            bucket = sum(seconds > bound for bound in _SECONDS)
            self._latency[api][bucket] += 1

    def batch(self, rows: int) -> None:
        """Counts one joined call of the model."""
        with self._lock:
            self._batches += 1
            self._rows += rows

    def text(self) -> str:
        """Returns all metrics in Prometheus' text format."""
        with self._lock:
            lines = ["# TYPE dev_server_requests_total counter"]
            for (api, code), count in sorted(self._requests.items()):
                labels = f'api="{api}",code="{code}"'
                lines.append(f"dev_server_requests_total{{{labels}}} {count}")
            lines.append("# TYPE dev_server_request_seconds histogram")
            for api in sorted(self._latency):
                lines += self._histogram(api)
            lines += [
                "# TYPE dev_server_batches_total counter",
                f"dev_server_batches_total {self._batches}",
                "# TYPE dev_server_batched_rows_total counter",
                f"dev_server_batched_rows_total {self._rows}",
            ]
        return "\n".join(lines) + "\n"

    def _histogram(self, api: str) -> list[str]:
        name, total, lines = "dev_server_request_seconds", 0, []
        bounds = [*map(str, _SECONDS), "+Inf"]
        for bound, count in zip(bounds, self._latency[api], strict=True):
            total += count
            labels = f'api="{api}",le="{bound}"'
            lines.append(f"{name}_bucket{{{labels}}} {total}")
        lines.append(f'{name}_sum{{api="{api}"}} {self._seconds[api]:.6f}')
        lines.append(f'{name}_count{{api="{api}"}} {total}')
        return lines
