"""S3's REST interface in front of a folder: an emulator that may be killed.

    python tests/support/storage/s3_server.py FOLDER [PUT dies|stops|stores]

What is written is in FOLDER, so a server that is started again has it. A
bucket is a folder in it that exists already. In the middle of the PUT-th object
that is uploaded the server kills itself ("dies"), or says "waits" and answers
that client no more, whose object it forgets ("stops") or keeps ("stores").

It knows what the driver asks for: objects whole and in ranges, listings,
deletions, uploads in parts. Requests must be signed by `KEY`; signatures
are not checked.
"""

import hashlib
import os
import pathlib
import re
import signal
import sys
import threading
import urllib.parse
import uuid
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

KEY = "someone"
_STATUS = {
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NotImplemented": 501,
}


class _Refused(Exception):
    """An error of S3, by its code."""


class Handler(BaseHTTPRequestHandler):
    """One connection; the server holds `folder`, `uploads` and `dies_in`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        super().handle_expect_100()
        self.wfile.flush()  # The client waits for it.
        return True

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content_Length", len(body))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_xml(self, text, status=200):
        body = f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
        self.answer(status, body, Content_Type="application/xml")

    def handle_request(self):
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query, True))
        bucket, _, key = urllib.parse.unquote(parts.path[1:]).partition("/")
        length = int(self.headers.get("Content-Length", 0))
        try:
            signed = re.search("Credential=([^/]*)/", self.signature())
            if not signed:
                raise _Refused("AccessDenied")
            if signed[1] != KEY:
                raise _Refused("InvalidAccessKeyId")
            folder = self.server.folder / bucket
            if not (bucket and folder.is_dir()):
                raise _Refused("NoSuchBucket")
            name = folder / urllib.parse.quote(key, safe="")
            self.act(folder, key, name, query, self.body(length))
        except _Refused as error:
            code = str(error)
            self.close_connection = True  # The body may be unread.
            self.answer_xml(
                f"<Error><Code>{code}</Code></Error>", _STATUS[code]
            )

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def signature(self):
        return self.headers.get("Authorization", "")

    def body(self, length):
        if "chunked" in self.headers.get("Content-Encoding", ""):
            raise _Refused("NotImplemented")
        is_last = False
        if self.command == "PUT":
            with self.server.counting:
                self.server.puts += 1
                is_last = self.server.puts == self.server.last
        if is_last and self.server.then == "dies":
            self.rfile.read(length // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        data = self.rfile.read(length)
        if is_last and self.server.then == "stops":
            self.wait()
        return data

    def wait(self):
        print("waits", flush=True)
        threading.Event().wait()

    def act(self, folder, key, name, query, body):
        if not key and "delete" in query:
            for found in re.findall("<Key>(.*?)</Key>", body.decode()):
                key = urllib.parse.quote(found, safe="")
                (folder / key).unlink(missing_ok=True)
            self.answer_xml("<DeleteResult></DeleteResult>")
        elif not key and self.command == "GET":
            self.list(folder, query)
        elif not key and self.command == "HEAD":
            self.answer()
        elif "uploads" in query or "uploadId" in query:
            self.upload(name, key, query, body)
        elif self.command == "PUT":
            self.store(name, body)
            if (self.server.puts, self.server.then) == (
                self.server.last,
                "stores",
            ):
                self.wait()
            self.answer(ETag=f'"{hashlib.md5(body).hexdigest()}"')
        elif self.command == "DELETE":
            name.unlink(missing_ok=True)
            self.answer(204)
        elif self.command in ("GET", "HEAD"):
            self.read(name)
        else:
            raise _Refused("NotImplemented")

    def store(self, name, body):
        part = self.server.folder / f"part-{uuid.uuid4().hex}"
        part.write_bytes(body)
        part.replace(name)

    def read(self, name):
        if not name.is_file():
            raise _Refused("NoSuchKey")
        status = name.stat()
        headers = {
            "ETag": f'"{status.st_mtime_ns:x}"',
            "Last_Modified": formatdate(status.st_mtime, usegmt=True),
            "Accept_Ranges": "bytes",
            "Content_Type": "binary/octet-stream",
        }
        if self.command == "HEAD":
            self.answer(Content_Length=status.st_size, **headers)
            return
        first, last, code = 0, status.st_size - 1, 200
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first, code = int(asked[1]), 206
            last = min(last, int(asked[2] or last))
            headers["Content_Range"] = f"bytes {first}-{last}/{status.st_size}"
        with name.open("rb") as handle:
            handle.seek(first)
            self.answer(code, handle.read(last - first + 1), **headers)

    def list(self, folder, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        objects, groups = [], set()
        for path in sorted(folder.iterdir()):
            key = urllib.parse.unquote(path.name)
            if not key.startswith(prefix):
                continue
            head, found, _ = key[len(prefix) :].partition(delimiter or "\0")
            if found:
                groups.add(prefix + head + delimiter)
                continue
            status = path.stat()
            changed = formatdate(status.st_mtime, usegmt=True)
            objects.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{status.st_size}"
                f"</Size><LastModified>{changed}</LastModified></Contents>"
            )
        self.answer_xml(
            "<ListBucketResult><IsTruncated>false</IsTruncated>"
            + "".join(objects)
            + "".join(
                f"<CommonPrefixes><Prefix>{escape(group)}</Prefix>"
                "</CommonPrefixes>"
                for group in sorted(groups)
            )
            + "</ListBucketResult>"
        )

    def upload(self, name, key, query, body):
        """An object in parts, which exists when the last is there."""
        parts = self.server.uploads.setdefault(query.get("uploadId", ""), {})
        if "uploads" in query:
            number = uuid.uuid4().hex
            self.answer_xml(
                f"<InitiateMultipartUploadResult><Key>{escape(key)}</Key>"
                f"<UploadId>{number}</UploadId></InitiateMultipartUploadResult>"
            )
        elif self.command == "PUT":
            parts[int(query["partNumber"])] = body
            self.answer(ETag=f'"{hashlib.md5(body).hexdigest()}"')
        elif self.command == "POST":
            self.store(name, b"".join(parts[n] for n in sorted(parts)))
            self.answer_xml(
                f"<CompleteMultipartUploadResult><Key>{escape(key)}</Key>"
                '<ETag>"whole"</ETag></CompleteMultipartUploadResult>'
            )
        else:
            parts.clear()
            self.answer(204)


def serve(folder, last=0, then=""):
    """Answers until it is killed; prints its port when it is ready."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.folder, server.uploads = pathlib.Path(folder), {}
    server.puts, server.last, server.then = 0, int(last), then
    server.counting = threading.Lock()
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
