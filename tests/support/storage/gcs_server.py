"""`gs://` for TensorFlow's own driver: Google's addresses in front of a folder.

    python tests/support/storage/gcs_server.py FOLDER CERTIFICATE KEY

The driver knows no other endpoint than www.googleapis.com. So this is a proxy
that answers in their place, with a certificate that the driver is told to
trust; no packet leaves the machine. A bucket is a folder in FOLDER; objects can
only be read. Prints its port, and on standard error a line for each range that
is read: name, first byte, bytes.
"""

import functools
import json
import pathlib
import re
import ssl
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOSTS = ("www.googleapis.com", "storage.googleapis.com")
_ABOUT = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)")


class Handler(BaseHTTPRequestHandler):
    """A client's connection, which asks for one to a host by CONNECT."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def __init__(self, folder, context, *arguments):
        self.folder, self.context = folder, context
        super().__init__(*arguments)

    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        if self.path.partition(":")[0] not in HOSTS:
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        # From here on this connection is the host's.
        self.connection = self.context.wrap_socket(
            self.connection, server_side=True
        )
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = self.connection.makefile("wb", self.wbufsize)

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        about = _ABOUT.fullmatch(path)
        bucket, name = about.groups() if about else path[1:].split("/", 1)
        file = self.folder / bucket / urllib.parse.unquote(name)
        if not file.is_file():
            self.answer(404, b"{}")
        elif about:
            found = {
                "size": str(file.stat().st_size),
                "generation": "1",
                "updated": "2026-01-01T00:00:00.000Z",
            }
            self.answer(200, json.dumps(found).encode())
        else:
            asked = re.match(r"bytes=(\d+)-(\d+)", self.headers["Range"])
            first, last = int(asked[1]), int(asked[2])
            with file.open("rb") as handle:
                handle.seek(first)
                data = handle.read(last - first + 1)
            print(file.name, first, len(data), file=sys.stderr, flush=True)
            self.answer(206 if data else 416, data)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(folder, certificate, key):
    """Answers until it is killed; prints its port when it is ready."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = functools.partial(Handler, pathlib.Path(folder), context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
