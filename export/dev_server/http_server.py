"""HTTP for the REST API: aiohttp's event loop in front of threads.

As TF Serving does, one loop reads and writes all connections, and a fixed pool
of threads answers. Large bodies have two threads of their own, so that they
keep neither the others waiting nor more than two of them in memory as objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

from aiohttp import web

from export.dev_server.rest_api import Answer, RestApi, error_answer

_BODY_SECONDS = 30.0  # For a body to arrive.
_HEADER_SECONDS = 30.0  # For the first request of a connection to begin.
_IDLE_SECONDS = 75.0  # Between the requests of a connection.
_LINGER_SECONDS = 30.0  # After the stop, for connections that are still open.
_BACKLOG = 1024
_LARGE = 1 << 18  # Bytes of a body that the threads for large ones answer.
_LARGE_THREADS = 2
# Bodies that are being read, in largest requests. Small ones always find room.
_BUDGET = 16
_ENCODINGS = ("", "identity", "gzip", "deflate")
_SERVER = "spactor-al-dev-server"


class HttpServer:
    """Answers HTTP requests from `start()` to `stop()`.

    The port is taken, and connections wait in line, from the beginning.

    Args:
        api: answers.
        host: interface to listen on.
        port: 0 takes a free one.
        max_bytes: largest body, uncompressed.
        workers: most requests answered at once.

    Attributes:
        port: the one that was taken.

    Raises:
        OSError: the port is in use, or not permitted.
    """

    def __init__(
        self,
        api: RestApi,
        host: str,
        port: int,
        *,
        max_bytes: int,
        workers: int,
    ):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server(
            (host, port), family=family, backlog=_BACKLOG
        )
        self.port: int = self._socket.getsockname()[1]
        self._api, self._max_bytes = api, max_bytes
        self._buffered = 0  # Bytes of bodies that are being read.
        self._running = 0  # Requests.
        self._small = futures.ThreadPoolExecutor(workers, "rest")
        self._large = futures.ThreadPoolExecutor(_LARGE_THREADS, "rest-large")
        self._stop: Callable[[], object] = self._socket.close
        self._started, self._stopped = threading.Event(), threading.Event()

    def start(self) -> None:
        """Begins to accept connections."""
        run = threading.Thread(
            target=lambda: asyncio.run(self._serve()), daemon=True
        )
        run.start()
        self._started.wait()

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Accepts no more connections and waits for running requests.

        Open connections are answered for some time still, by an API that may
        refuse.

        Args:
            grace_seconds: time that running requests have to end.
        """
        with contextlib.suppress(RuntimeError):  # It has ended already.
            self._stop()
        if self._started.is_set():
            self._stopped.wait(grace_seconds)

    async def _serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stop.set)
        connections = _Connections(
            self._handle,
            access_log=None,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=2.0,
        )
        runner = web.ServerRunner(connections)
        await runner.setup()
        site = web.SockSite(runner, self._socket, backlog=_BACKLOG)
        await site.start()
        self._started.set()
        await stop.wait()
        await site.stop()
        while self._running:
            await asyncio.sleep(0.01)
        self._stopped.set()
        end = loop.time() + _LINGER_SECONDS
        while connections.connections and loop.time() < end:
            await asyncio.sleep(0.1)
        await runner.cleanup()
        self._small.shutdown(wait=False)
        self._large.shutdown(wait=False)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await self._body(request)
        if isinstance(body, Answer):
            response = _response(body)
            # What is left of the body would be read as a request.
            response.force_close()
            return response
        self._running += 1
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._large if len(body) > _LARGE else self._small,
                self._api.answer,
                request.method,
                request.raw_path,
                body,
                request.headers,
            )
        finally:
            self._running -= 1
        response = _response(answer)
        if self._stopped.is_set():
            response.force_close()
        return response

    async def _body(self, request: web.BaseRequest) -> bytes | Answer:
        """Reads the body; returns the answer instead where it is refused."""
        headers = request.headers
        if request.method == "POST" and not (
            "Content-Length" in headers or "Transfer-Encoding" in headers
        ):
            return error_answer(411, "Content-Length is missing")
        if not request.can_read_body:
            return b""
        encoding = headers.get("Content-Encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            return error_answer(
                415, f"Content-Encoding must be gzip or deflate, not {encoding}"
            )
        if (request.content_length or 0) > self._max_bytes:
            return self._too_large()
        if headers.get("Expect", "").strip().lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                return await self._read(request)
        except TimeoutError:
            return error_answer(408, "the body did not arrive in time")
        except web.RequestPayloadError as error:
            return error_answer(400, f"Malformed body: {str(error)[:200]}")

    async def _read(self, request: web.BaseRequest) -> bytes | Answer:
        body = bytearray()
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                self._buffered += len(chunk)
                if len(body) > self._max_bytes:
                    return self._too_large()
                if (
                    len(body) > _LARGE
                    and self._buffered > _BUDGET * self._max_bytes
                ):
                    return error_answer(429, "too many large requests at once")
            return bytes(body)
        finally:
            self._buffered -= len(body)

    def _too_large(self) -> Answer:
        return error_answer(
            413, f"the body has more than {self._max_bytes} bytes"
        )


class _Connection(web.RequestHandler):
    """One connection, whose errors are JSON."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Returns the answer to what is no HTTP, or to an internal error."""
        text = "internal error" if status == 500 else "Malformed HTTP request"
        if message and status != 500:
            text = f"{text}: {message[:200]}"
        response = _response(error_answer(status, text))
        response.force_close()
        return response


class _Connections(web.Server):
    """All connections; one that sends no request for long is closed."""

    def __init__(self, handler: Any, **options: Any):
        super().__init__(handler, request_factory=self.begin_request, **options)
        self._options = options
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def __call__(self) -> web.RequestHandler:
        """Returns the handler of a new connection."""
        loop = asyncio.get_running_loop()
        return _Connection(self, loop=loop, **self._options)

    def connection_made(
        self, handler: web.RequestHandler, transport: asyncio.Transport
    ) -> None:
        """Starts the time that a first request has to begin."""
        super().connection_made(handler, transport)
        loop = asyncio.get_running_loop()
        self._silent[handler] = loop.call_later(
            _HEADER_SECONDS, transport.abort
        )

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forgets a connection."""
        self._begun(handler)
        super().connection_lost(handler, exc)

    def _begun(self, handler: web.RequestHandler) -> None:
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def begin_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        """Returns a request whose headers have come."""
        self._begun(protocol)
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop)


def _response(answer: Answer) -> web.Response:
    headers = {"Server": _SERVER, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)
