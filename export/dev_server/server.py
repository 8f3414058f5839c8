"""A development server with TF Serving's gRPC and REST interfaces.

It loads versions as TF Serving does and speaks its protocols, for laptops and
tests. It is not TF Serving: no TLS, no authentication. By default it listens
on the loopback interface only.
"""

from __future__ import annotations

import functools
import os
import pathlib
import socket
from collections.abc import Callable
from concurrent import futures

import grpc

from export.dev_server import grpc_api
from export.dev_server.http_server import HttpServer
from export.dev_server.metrics import Metrics
from export.dev_server.options import ServerOptions
from export.dev_server.rest_api import RestApi
from export.dev_server.service import DevService
from export.servables.batching import Batcher, Slots
from export.servables.config_watch import ConfigWatch
from export.servables.model_config import ModelConfig
from export.servables.model_manager import ModelManager
from export.servables.servable import Servable
from runkit import InputError


class DevServer:
    """A server that runs from `start()` to `stop()`.

    Args:
        model_base_path: holds versions with integer names; None where the
            options name a `models.config`.
        options: where and how the server listens.

    Attributes:
        metrics: of this server alone.
        manager: the served models.
        port: for gRPC, from `start()` on.
        rest_api_port: for REST, from `start()` on.
    """

    def __init__(
        self, model_base_path: str | os.PathLike | None, options: ServerOptions
    ):
        options.validate()
        if (model_base_path is None) == (not options.model_config_file):
            raise InputError(
                "give one of the two",
                where="--model_base_path and --model_config_file",
                got=[model_base_path, options.model_config_file],
            )
        self._base_path, self._options = model_base_path, options
        # As TF Serving's, these are those of all models together.
        self._batch_threads = options.num_batch_threads or os.cpu_count() or 1
        self._batch_slots = Slots(self._batch_threads)
        self.metrics = Metrics()
        self.manager = ModelManager(
            self._load,
            options.poll_seconds,
            options.allow_version_labels_for_unavailable_models,
        )
        self._service = DevService(
            self.manager, self.metrics, options.request_timeout_seconds
        )
        self._watch: ConfigWatch | None = None

    def _load(self, path: pathlib.Path) -> Servable:
        options = self._options
        make = functools.partial(
            Batcher,
            max_batch_size=options.max_batch_size,
            timeout_seconds=options.batch_timeout_micros / 1e6,
            max_waiting=options.max_waiting,
            observe=self.metrics.batch,
            threads=self._batch_threads,
            slots=self._batch_slots,
        )
        return Servable(
            path,
            make if options.enable_batching else None,
            rows_per_call=options.max_batch_size,
            rows_per_request=options.max_request_rows,
        )

    def start(self) -> None:
        """Takes the ports, loads the models, then answers requests.

        Raises:
            InputError: a port is in use, or a model cannot be served.
        """
        self._grpc, self.port, self._set_serving = self._open_grpc()
        try:
            self._http = self._open_http()
        except InputError:
            self._grpc.stop(None)
            raise
        self.rest_api_port = self._http.port
        try:
            self._load_models()
        except InputError:
            self._http.stop()
            self._grpc.stop(None)
            self.manager.stop()
            raise
        self._grpc.start()
        self._http.start()
        self._set_serving(True)

    def _load_models(self) -> None:
        options = self._options
        if self._base_path is None:
            self._watch = ConfigWatch(
                pathlib.Path(options.model_config_file),
                self.manager.reload,
                options.model_config_file_poll_wait_seconds,
            )
            self._watch.start()
            return
        config = ModelConfig(options.model_name, pathlib.Path(self._base_path))
        self.manager.reload({config.name: config})

    def _open_grpc(self) -> tuple[grpc.Server, int, Callable[[bool], None]]:
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
        set_serving = grpc_api.add_services(server, self._service)
        try:
            # An address of IPv6 has colons of its own.
            host = f"[{options.host}]" if ":" in options.host else options.host
            port = server.add_insecure_port(f"{host}:{options.port}")
        except RuntimeError:
            port = 0
        if not port:
            raise _not_bound("port", options.port, options.host)
        return server, port, set_serving

    def _open_http(self) -> HttpServer:
        options = self._options
        api = RestApi(self._service, options.rest_api_enable_cors_support)
        try:
            return HttpServer(
                api,
                options.host,
                options.rest_api_port,
                max_bytes=options.max_message_bytes,
                workers=options.workers,
            )
        except OSError:
            raise _not_bound(
                "rest_api_port", options.rest_api_port, options.host
            ) from None

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Refuses new requests, answers the running ones, frees the models.

        Args:
            grace_seconds: time that running requests have to end.
        """
        if self._watch is not None:
            self._watch.stop()
        self._set_serving(False)
        self.manager.refuse()  # Also requests of open connections.
        stopped = self._grpc.stop(grace_seconds)
        self._http.stop(grace_seconds)
        stopped.wait()
        self.manager.stop()


def _not_bound(name: str, port: int, host: str) -> InputError:
    try:
        socket.getaddrinfo(host, port, flags=socket.AI_PASSIVE)
        with socket.create_server(
            (host, 0),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
        ):
            pass
    except OSError as error:  # No port of this host can be had.
        return InputError(
            f"is not an address of this machine ({error.strerror})",
            where="--host",
            got=host,
            remedy="127.0.0.1 is this machine alone, 0.0.0.0 all of its "
            "interfaces",
        )
    return InputError(
        "the port is in use or not permitted",
        where=f"--{name}",
        got=port,
        remedy="Choose another, or 0 for a free one",
    )
