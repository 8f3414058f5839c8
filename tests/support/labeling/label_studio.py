"""A real Label Studio server on loopback, and calls of its API.

python -m venv VENV && VENV/bin/pip install label-studio
LABEL_STUDIO=VENV/bin/label-studio python -m pytest ...
"""

import contextlib
import json
import os
import pathlib
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

PROGRAM = os.environ.get("LABEL_STUDIO", "")
_START_SECONDS = 600


class Server:
    """Calls the API of a server that runs.

    Args:
        url: without a slash at the end.
        token: of its user.
    """

    def __init__(self, url: str, token: str):
        self.url, self._token = url, token

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Returns the parsed JSON answer; bytes where it is none."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Token {self._token}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(
                f"{method} {path}: {error.code} {error.read()[:2000]!r}"
            ) from None
        try:
            return json.loads(data)
        except ValueError:
            return data


@contextlib.contextmanager
def serve(folder: pathlib.Path) -> Iterator[Server]:
    """Runs a new server whose data are in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(20)
    folder.mkdir(parents=True)
    command = [PROGRAM, "start", "--no-browser"]
    options = {
        "internal-host": "127.0.0.1",
        "port": port,
        "data-dir": folder,
        "username": "eve@example.com",
        "password": secrets.token_hex(8),
        "user-token": token,
    }
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = {
        **os.environ,
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "False",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        # The backend and its webhook are on loopback too.
        "ML_BLOCK_LOCAL_IP": "False",
        "SSRF_PROTECTION_ENABLED": "False",
    }
    # Its own interpreter must not see this one's packages.
    environment.pop("PYTHONPATH", None)
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(
        [*command, "--enable-legacy-api-token"],
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
    )
    server = Server(f"http://127.0.0.1:{port}", token)
    try:
        end = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                server.call("GET", "/health")
                break
            if process.poll() is not None or time.monotonic() > end:
                text = (folder / "server.log").read_text()
                raise AssertionError(f"no Label Studio: {text[-2000:]}")
            time.sleep(1)
        yield server
    finally:
        process.terminate()
        process.wait(60)
        log.close()
