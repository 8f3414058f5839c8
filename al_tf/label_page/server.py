"""The routes of the labeling page, and who may call them.

    GET  /TOKEN/              the page
    GET  /TOKEN/view          what a tab shows: ?tab=NAME[&earlier=1]
    GET  /TOKEN/copies        near copies of an example: ?place=N
    GET  /TOKEN/image         an image of the pool: ?place=N
    POST /TOKEN/answer        saves an answer and returns the next view
    POST /TOKEN/undo          withdraws an answer and shows its example again
    POST /TOKEN/next          lets the project choose its next batch

Every address begins with the token. The host must be this machine's own name,
so that no other site's name leads here, and no other origin may ask. What goes
wrong is said in JSON: 400 no page asks that, 403, 404, 409 the answer does not
fit any more, 503 try again later.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import pathlib
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from concurrent import futures
from typing import Any

from absl import logging
from aiohttp import web

from al_tf.label_page.session import (
    MOST_COPIES,
    Conflict,
    Malformed,
    Seen,
    Session,
)
from runkit import InputError
from runkit.signals import on_termination

PAGE = pathlib.Path(__file__).with_name("page.html")
HOSTS = ("127.0.0.1", "localhost", "[::1]")
_MOST_BYTES = 1 << 18
# For answers that are being saved when the server is told to stop.
_GRACE_SECONDS = 5.0
_TAB = re.compile(r"[\w-]{1,64}")
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "al-label",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def content_security_policy(page: str) -> str:
    """Allows a page its own script and style, its images and its server."""
    sources = {}
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        sources[tag] = f"'sha256-{base64.b64encode(digest).decode()}'"
    return (
        f"default-src 'none'; script-src {sources['script']}; "
        f"style-src {sources['style']}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


class LabelPage:
    """The page of one session as an application of aiohttp.

    Args:
        session: the session whose calls are made one after the other, in a
            thread.
        token: the token that every address begins with.

    Attributes:
        app: to be served.
    """

    def __init__(self, session: Session, token: str):
        self._session, self._token = session, token
        self._page = PAGE.read_text(encoding="utf-8")
        self._policy = content_security_policy(self._page)
        self._worker = futures.ThreadPoolExecutor(1, "session")
        self._choosing: futures.Future[Any] | None = None
        self.app = web.Application(
            middlewares=[self._guard], client_max_size=_MOST_BYTES
        )
        self.app.add_routes(
            [
                web.get("/{token}/", self.page),
                web.get("/{token}/view", self.view),
                web.get("/{token}/copies", self.copies),
                web.get("/{token}/image", self.image),
                web.post("/{token}/answer", self.answer),
                web.post("/{token}/undo", self.undo),
                web.post("/{token}/next", self.next_batch),
            ]
        )

    def is_idle(self, seconds: float) -> bool:
        """Whether nothing runs any more, waiting for it for some seconds."""
        try:
            self._worker.submit(int).result(seconds)
        except TimeoutError:
            return False
        return not self._session.mates.is_preparing

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Refuses strangers; turns every error into JSON."""
        try:
            self._check_caller(request)
            response = await handler(request)
        except web.HTTPException as error:
            response = _problem(error.status, error.text or error.reason)
        except Malformed as error:
            response = _problem(400, str(error))
        except Conflict as error:
            response = _problem(409, str(error))
        except InputError as error:
            response = _problem(503, str(error))
        except OSError as error:
            response = _problem(503, f"The project cannot be used: {error}.")
        except Exception:
            logging.exception("labeling page")
            response = _problem(500, "internal error; the server's log says it")
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", self._policy)
        return response

    def _check_caller(self, request: web.Request) -> None:
        host = request.headers.get("Host", "")
        if re.sub(r":\d+$", "", host) not in HOSTS:
            raise web.HTTPForbidden(text="This is not the server's own name.")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise web.HTTPForbidden(text="Pages of other origins may not ask.")
        path = request.raw_path.partition("?")[0]
        given = path.removeprefix("/").partition("/")[0]
        if not secrets.compare_digest(
            given.encode("utf-8", "replace"), self._token.encode()
        ):
            raise web.HTTPForbidden(
                text="Open the whole address that the program printed."
            )

    def _call(
        self, function: Callable[..., Any], *args: Any
    ) -> futures.Future[Any]:
        """Calls the session in its thread, unless it is taken for minutes."""
        if self._choosing is not None and not self._choosing.done():
            raise InputError("The next batch is being chosen")
        return self._worker.submit(function, *args)

    async def page(self, request: web.Request) -> web.Response:
        """The page itself."""
        del request
        return web.Response(text=self._page, content_type="text/html")

    async def view(self, request: web.Request) -> web.Response:
        """What a tab shows."""
        show = functools.partial(
            self._session.view,
            _tab(request.query),
            earlier=request.query.get("earlier") == "1",
        )
        return await _answer(self._call(show))

    async def copies(self, request: web.Request) -> web.Response:
        """Near copies of an example."""
        place = _place_of(request)
        return await _answer(self._call(self._session.copies, place))

    async def image(self, request: web.Request) -> web.Response:
        """One image, which the browser may keep."""
        call = self._call(self._session.image, _place_of(request))
        return web.Response(
            body=await asyncio.wrap_future(call),
            content_type="image/png",
            headers={"Cache-Control": "private, max-age=3600"},
        )

    async def answer(self, request: web.Request) -> web.Response:
        """Saves an answer, then returns what comes next."""
        body = await _body(request)
        tab, seen = _tab(body), _seen(body)
        how, classes = body.get("state"), body.get("classes")
        if not isinstance(how, str):
            raise Malformed("is not a text", where="state", got=how)
        if not isinstance(classes, list) or not all(
            isinstance(name, str) for name in classes
        ):
            raise Malformed("is not a list of texts", where="classes")

        def save() -> dict[str, Any]:
            self._session.answer(seen, how, classes)
            earlier = body.get("earlier") is True
            return self._session.view(tab, earlier=earlier)

        return await _answer(self._call(save))

    async def undo(self, request: web.Request) -> web.Response:
        """Withdraws an answer, then returns its example."""
        body = await _body(request)
        tab, seen = _tab(body), _seen(body)

        def withdraw() -> dict[str, Any]:
            self._session.undo(seen)
            return self._session.view(tab, place=seen[0].place)

        return await _answer(self._call(withdraw))

    async def next_batch(self, request: web.Request) -> web.Response:
        """Lets the project choose, which may take minutes."""
        body = await _body(request)
        tab, after = _tab(body), body.get("after")
        if after is not None and not isinstance(after, str):
            raise Malformed("is not the name of a batch", where="after")

        def choose() -> dict[str, Any]:
            self._session.next_batch(after)
            return self._session.view(tab)

        self._choosing = self._call(choose)
        return await _answer(self._choosing)


def _problem(status: int, what: str) -> web.Response:
    return web.json_response({"error": what}, status=status)


async def _answer(call: futures.Future[Any]) -> web.Response:
    return web.json_response(await asyncio.wrap_future(call))


def _place_of(request: web.Request) -> int:
    text = request.query.get("place", "")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Malformed("is not a number", where="place", got=text)
    return int(text)


def _tab(fields: Mapping[str, Any]) -> str:
    tab = fields.get("tab")
    if not isinstance(tab, str) or not _TAB.fullmatch(tab):
        raise Malformed("is not a name of a tab", where="tab", got=tab)
    return tab


def _seen(body: dict[str, Any]) -> list[Seen]:
    """The examples of an answer."""
    found = body.get("answers")
    if not isinstance(found, list) or not 0 < len(found) <= MOST_COPIES + 1:
        raise Malformed("is not a list of examples", where="answers")
    for pair in found:
        # Not isinstance: True is an int too.
        is_pair = isinstance(pair, list) and [*map(type, pair)] == [int, int]
        if not is_pair or min(pair) < 0:
            raise Malformed(
                "is not an example and a revision", where="answers", got=pair
            )
    return [Seen(*pair) for pair in found]


async def _body(request: web.Request) -> dict[str, Any]:
    """The object that a page sent."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Send application/json.")
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Malformed("is not JSON", where="the body") from None
    if not isinstance(body, dict):
        raise Malformed("is not an object", where="the body")
    return body


def serve(page: LabelPage, bound: socket.socket) -> None:
    """Serves a page until SIGTERM or SIGINT.

    Args:
        page: to be served.
        bound: a socket that listens already.
    """

    async def run() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        with on_termination(lambda *_: loop.call_soon_threadsafe(stop.set)):
            runner = web.AppRunner(
                page.app, access_log=None, shutdown_timeout=_GRACE_SECONDS
            )
            await runner.setup()
            await web.SockSite(runner, bound).start()
            await stop.wait()
            await runner.cleanup()

    asyncio.run(run())
