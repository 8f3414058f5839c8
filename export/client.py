"""A client for TF Serving and for the development server.

client = Client("localhost:8500", "t5")
client.predict("classify", {"text": ["some text"]})["margin"]
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from export.request_inputs import checked_inputs
from export.transports import (
    GrpcTransport,
    RemoteError,
    RestTransport,
    Transport,
)
from runkit import InputError
from runkit.checks import LONGEST_SECONDS, require
from runkit.errors import check_choice

TRANSPORTS = ("grpc", "rest")
# Failures that may pass. Trying again is safe: signatures have no side effects.
_TRY_AGAIN = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"})


class Client:
    """Calls the signatures of one model; over gRPC, threads may share it.

    Args:
        address: "host:port", without a scheme.
        model_name: name under which the model is served.
        transport: "grpc", "rest" or an object that sends the requests.
        version: None means the newest.
        batch_size: most rows of one request; longer inputs are split.
        deadline_seconds: for one `predict` with all its requests and retries.
        retries: further attempts for each request.
        first_pause_seconds: before the first retry; each pause is twice as
            long as the one before, and shortened by a random part of up to a
            half, so that many clients do not retry at once.
        sleep: waits; replaced in tests.

    Raises:
        InputError: an address without a port, an unknown transport, or a
            number out of range.
    """

    def __init__(
        self,
        address: str,
        model_name: str = "t5",
        *,
        transport: str | Transport = "grpc",
        version: int | None = None,
        batch_size: int = 64,
        deadline_seconds: float = 60.0,
        retries: int = 5,
        first_pause_seconds: float = 0.1,
        sleep: Callable[[float], None] = time.sleep,
    ):
        if isinstance(transport, str):
            check_choice(transport, TRANSPORTS, where="transport")
        host, _, port = address.rpartition(":")
        is_port = port.isdecimal() and port.isascii() and int(port) < 2**16
        if not host or "/" in address or not is_port:
            raise InputError(
                "is not an address",
                where="address",
                got=address,
                expected="host:port",
            )
        for name, least, value in (
            ("batch_size", 1, batch_size),
            ("retries", 0, retries),
        ):
            require(
                value >= least,
                "is too small",
                name,
                value,
                expected=f">= {least}",
            )
        require(
            0 <= deadline_seconds <= LONGEST_SECONDS,
            "is not a time",
            "deadline_seconds",
            deadline_seconds,
            expected=f"0 to {LONGEST_SECONDS:g}",
        )
        if isinstance(transport, str):
            kind = GrpcTransport if transport == "grpc" else RestTransport
            transport = kind(address, model_name, version)
        self._transport: Transport = transport
        self._batch_size, self._deadline = batch_size, deadline_seconds
        self._retries, self._pause = retries, first_pause_seconds
        self._sleep = sleep

    def predict(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature for any number of rows.

        Args:
            signature: its name.
            inputs: {input name: list or array of rows}, all of one length.

        Returns:
            {output name: array}, of the same types over both transports; texts
            are bytes in object arrays.

        Raises:
            InputError: a lone text, or inputs that are not rows of texts or of
                numbers, of one length.
            RemoteError: the server refuses, or all attempts failed.
        """
        inputs = checked_inputs(inputs)
        rows = len(next(iter(inputs.values())))
        end = time.monotonic() + self._deadline
        answers = [
            self._call(
                signature,
                {k: v[i : i + self._batch_size] for k, v in inputs.items()},
                end,
            )
            for i in range(0, max(rows, 1), self._batch_size)
        ]
        return {
            name: np.concatenate([answer[name] for answer in answers])
            for name in answers[0]
        }

    def _call(
        self, signature: str, inputs: Mapping[str, Any], end: float
    ) -> dict[str, np.ndarray]:
        pause = self._pause
        for attempt in range(self._retries + 1):
            left = end - time.monotonic()
            if left <= 0:
                raise RemoteError("DEADLINE_EXCEEDED", "out of time")
            try:
                return self._transport.call(signature, inputs, left)
            except RemoteError as error:
                if error.code not in _TRY_AGAIN or attempt == self._retries:
                    raise
            self._sleep(min(pause * random.uniform(0.5, 1.0), left))
            pause *= 2
        raise AssertionError("unreachable")

    def served_version(self) -> int:
        """Returns the version that answers now.

        Raises:
            RemoteError: the server does not answer.
        """
        return self._transport.served_version(self._deadline)

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()
