"""A browser without a window, driven over the DevTools protocol."""

import asyncio
import base64
import contextlib
import itertools
import json
import pathlib
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))),
    "",
)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
_START_SECONDS = 60
_CODES = {"Enter": 13, "Escape": 27}


class Tab:
    """One tab.

    Args:
        socket: of its DevTools.

    Attributes:
        errors: what its scripts and its policy complained of.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.errors: list[str] = []
        self._socket, self._numbers = socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            found = json.loads(message.data)
            if "id" in found:
                self._waiting.pop(found["id"]).set_result(found)
            elif found["method"] == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(found["params"])[:1000])
            elif found["method"] == "Log.entryAdded":
                entry = found["params"]["entry"]
                # A lost connection, or a refusal that the page shows.
                if entry["source"] != "network":
                    self.errors.append(entry["text"])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Returns the result of a command of the protocol."""
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._socket.send_json(
            {"id": number, "method": method, "params": params}
        )
        found = await asyncio.wait_for(answer, 60)
        if "error" in found:
            raise AssertionError(f"{method}: {found['error']}")
        return found["result"]

    async def look(self, expression: str) -> Any:
        """Returns the value of an expression in the page."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise AssertionError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    async def wait_for(self, expression: str, seconds: float = 30) -> Any:
        """Waits until an expression is true, and returns its value."""
        end, error = time.monotonic() + seconds, ""
        while time.monotonic() < end:
            try:
                found = await self.look(expression)
            except AssertionError as problem:
                # A page that is being loaded has no names yet.
                found, error = None, str(problem)
            if found:
                return found
            await asyncio.sleep(0.01)
        text = await self.look("document.body.innerText")
        raise AssertionError(f"never {expression} {error}:\n{text[:2000]}")

    async def open(self, url: str) -> None:
        """Goes to an address."""
        await self.call("Page.navigate", url=url)
        await self.wait_for("document.readyState === 'complete'")

    async def press(self, key: str) -> None:
        """Presses and releases one key."""
        fields: dict[str, Any] = {"key": key}
        if key in _CODES:
            fields["windowsVirtualKeyCode"] = _CODES[key]
            fields["text"] = "\r" if key == "Enter" else ""
        else:
            fields["text"] = key
        await self.call("Input.dispatchKeyEvent", type="keyDown", **fields)
        fields.pop("text")
        await self.call("Input.dispatchKeyEvent", type="keyUp", **fields)

    async def resize(self, width: int, height: int) -> None:
        """Makes the page as wide and high as a screen."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    async def darken(self, is_dark: bool) -> None:
        """Asks for the dark or the light colors."""
        value = "dark" if is_dark else "light"
        feature = {"name": "prefers-color-scheme", "value": value}
        await self.call("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self, path: pathlib.Path, whole: bool = False) -> None:
        """Writes a PNG of what is seen, or of the whole page."""
        found = await self.call(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=whole,
        )
        path.write_bytes(base64.b64decode(found["data"]))


class Browser:
    """A browser that runs; `browser()` starts one."""

    def __init__(self, session: aiohttp.ClientSession, port: int):
        self._session, self._port = session, port

    async def tab(self, url: str) -> Tab:
        """Opens a tab at an address."""
        address = f"http://127.0.0.1:{self._port}/json/new?about:blank"
        async with self._session.put(address) as answer:
            target = await answer.json()
        socket = await self._session.ws_connect(
            target["webSocketDebuggerUrl"], max_msg_size=0
        )
        made = Tab(socket)
        for domain in ("Page", "Runtime", "Log"):
            await made.call(f"{domain}.enable")
        await made.open(url)
        return made


@contextlib.asynccontextmanager
async def browser(folder: pathlib.Path) -> AsyncIterator[Browser]:
    """Runs a browser whose profile is a new folder."""
    log = (folder / "chromium.log").open("w")
    profile = folder / "profile"
    process = subprocess.Popen(
        [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=log,
        stderr=log,
    )
    try:
        end, port_file = (
            time.monotonic() + _START_SECONDS,
            profile / "DevToolsActivePort",
        )
        while not (port_file.exists() and port_file.read_text().strip()):
            if process.poll() is not None or time.monotonic() > end:
                text = (folder / "chromium.log").read_text()
                raise AssertionError(f"no browser: {text[-2000:]}")
            await asyncio.sleep(0.05)
        port = int(port_file.read_text().split()[0])
        async with aiohttp.ClientSession() as session:
            yield Browser(session, port)
    finally:
        process.terminate()
        process.wait(60)
        log.close()
