"""A development server with TF Serving's gRPC and REST interfaces.

It loads versions as TF Serving does and speaks its protocols, for laptops and
tests. It is not TF Serving: one model, no TLS, no authentication. By default
it listens on the loopback interface only.
"""

from __future__ import annotations

import functools
import http.server
import os
import pathlib
import socketserver
import threading
from concurrent import futures
from typing import Any

import grpc

from export.dev_server import grpc_api, rest_api
from export.dev_server.batching import Batcher
from export.dev_server.metrics import Metrics
from export.dev_server.model_store import ModelStore
from export.dev_server.options import ServerOptions
from export.dev_server.servable import Servable
from export.dev_server.service import DevService
from runkit import InputError


class _HttpServer(http.server.ThreadingHTTPServer):
    # A thread waits for its client between requests; shutdown must not wait
    # for the thread.
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing about clients that went away."""


class DevServer:
    """A server that runs from `start()` to `stop()`.

    Args:
        model_base_path: holds versions with integer names.
        options: where and how the server listens.

    Attributes:
        metrics: of this server alone.
        store: the served versions.
        port: for gRPC, from `start()` on.
        rest_api_port: for REST, from `start()` on.
    """

    def __init__(
        self, model_base_path: str | os.PathLike, options: ServerOptions
    ):
        options.validate()
        self._options = options
        self.metrics = Metrics()
        self.store = ModelStore(
            pathlib.Path(model_base_path), self._load, options.poll_seconds
        )
        self._service = DevService(
            options.model_name,
            self.store,
            self.metrics,
            options.request_timeout_seconds,
        )

    def _load(self, path: pathlib.Path) -> Servable:
        options = self._options
        make = functools.partial(
            Batcher,
            max_batch_size=options.max_batch_size,
            timeout_seconds=options.batch_timeout_micros / 1e6,
            max_waiting=options.max_waiting,
            observe=self.metrics.batch,
        )
        return Servable(
            path,
            make if options.enable_batching else None,
            rows_per_call=options.max_batch_size,
            rows_per_request=options.max_request_rows,
        )

    def start(self) -> None:
        """Takes the ports, loads the newest version, then answers requests.

        Raises:
            InputError: a port is in use, or no version can be served.
        """
        self._grpc, self.port = self._open_grpc()
        try:
            self._http = self._open_http()
        except InputError:
            self._grpc.stop(None)
            raise
        self.rest_api_port = self._http.server_address[1]
        try:
            self.store.start()
        except InputError:
            self._http.server_close()
            self._grpc.stop(None)
            raise
        self._grpc.start()
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def _open_grpc(self) -> tuple[grpc.Server, int]:
        options = self._options
        size = options.max_message_bytes
        server = grpc.server(
            futures.ThreadPoolExecutor(options.workers),
            options=[
                # Otherwise two servers could silently share a port.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", size),
            ],
        )
        grpc_api.add_services(server, self._service)
        try:
            port = server.add_insecure_port(f"{options.host}:{options.port}")
        except RuntimeError:
            port = 0
        if not port:
            raise _port_in_use("port", options.port)
        return server, port

    def _open_http(self) -> socketserver.TCPServer:
        options = self._options
        handler = rest_api.make_handler(
            self._service, options.max_message_bytes
        )
        address = (options.host, options.rest_api_port)
        try:
            return _HttpServer(address, handler)
        except OSError:
            raise _port_in_use("rest_api_port", options.rest_api_port) from None

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Refuses new requests, answers the running ones, frees the model.

        Args:
            grace_seconds: time that running gRPC requests have to end.
        """
        self.store.refuse()  # Also requests of open connections.
        stopped = self._grpc.stop(grace_seconds)
        self._http.shutdown()
        self._http.server_close()
        stopped.wait()
        self.store.stop()


def _port_in_use(name: str, port: int) -> InputError:
    return InputError(
        "the port is in use or not permitted",
        where=f"--{name}",
        got=port,
        remedy="Choose another, or 0 for a free one",
    )
