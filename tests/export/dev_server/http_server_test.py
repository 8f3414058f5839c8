"""HTTP itself: lengths, encodings, chunks, and what is no HTTP."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import gzip
import http.client
import json
import select
import socket
import zlib

from absl.testing import absltest, parameterized

from export.dev_server.options import ServerOptions
from tests.support import served

_PATH = "/v1/models/toy:predict"
_BODY = b'{"instances": ["four"]}'
_ANSWER = {"predictions": [[4, 4]]}


class HttpTest(served.ServerCase):
    def ask(self, body, headers=None, method="POST", path=_PATH, **options):
        """Returns (response, its body)."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.server.rest_api_port, timeout=60
        )
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers or {}, **options)
        response = connection.getresponse()
        return response, response.read()

    def raw(self, data):
        """Returns (status, headers and body) of an answer to plain bytes."""
        address = "127.0.0.1", self.server.rest_api_port
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(data)
            found = b""
            while part := connection.recv(1 << 16):
                found += part
        return int(found.split(b" ")[1]), found

    @parameterized.parameters(
        ("gzip", gzip.compress(_BODY)),
        ("GZIP", gzip.compress(_BODY)),
        ("deflate", zlib.compress(_BODY)),
        ("identity", _BODY),
    )
    def test_compressed_bodies(self, encoding, body):
        response, answer = self.ask(body, {"Content-Encoding": encoding})
        self.assertEqual(response.status, 200, answer)
        self.assertEqual(json.loads(answer), _ANSWER)

    def test_chunked_bodies(self):
        parts = iter([_BODY[:5], _BODY[5:]])
        response, answer = self.ask(parts, encode_chunked=True)
        self.assertEqual(response.status, 200, answer)
        self.assertEqual(json.loads(answer), _ANSWER)

    @parameterized.parameters(
        (_BODY, {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(_BODY)[:15], {"Content-Encoding": "gzip"}, 400),
        (_BODY, {"Content-Encoding": "snappy"}, 415),
        (b"x" * (17 << 20), {}, 413),
        (
            gzip.compress(bytes(100 << 20), 1),
            {"Content-Encoding": "gzip"},
            413,
        ),
    )
    def test_refused_bodies(self, body, headers, status):
        response, answer = self.ask(body, headers)
        self.assertEqual(response.status, status, answer)
        self.assertNotEmpty(json.loads(answer)["error"])
        self.assert_serves()

    def test_a_chunked_body_without_end(self):
        parts = (b"x" * (1 << 20) for _ in range(40))
        try:
            response, _ = self.ask(parts, encode_chunked=True)
        except (BrokenPipeError, ConnectionResetError):
            pass  # The server has heard enough.
        else:
            self.assertEqual(response.status, 413)
        self.assert_serves()

    @parameterized.parameters(
        (b"", 411),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Content-Length: %d\r\n" % (1 << 40), 413),
        (b"X: " + b"x" * 100_000 + b"\r\n", 400),
    )
    def test_headers(self, headers, status):
        head = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        found, answer = self.raw(head % _PATH.encode() + headers + b"\r\n")
        self.assertEqual(found, status, answer[:500])
        body = answer.partition(b"\r\n\r\n")[2]
        self.assertNotEmpty(json.loads(body)["error"])

    def test_what_is_no_http(self):
        found, answer = self.raw(b"\x16\x03\x01 hello\r\n\r\n")
        self.assertEqual(found, 400)
        self.assertIn("error", json.loads(answer.partition(b"\r\n\r\n")[2]))

    def test_expect_continue(self):
        found, answer = self.raw(
            b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s"
            % (_PATH.encode(), len(_BODY), _BODY)
        )
        self.assertEqual(found, 100)
        self.assertIn(b"HTTP/1.1 200 OK", answer)

    @parameterized.parameters(
        ("gzip", 500, True),
        ("deflate, gzip;q=0.5", 500, True),
        ("gzip;q=0", 500, False),
        ("", 500, False),
        ("gzip", 1, False),
    )
    def test_compressed_answers(self, accepted, rows, compressed):
        body = json.dumps({"instances": ["four"] * rows}).encode()
        response, answer = self.ask(body, {"Accept-Encoding": accepted})
        self.assertEqual(response.status, 200)
        self.assertEqual(
            response.headers.get("Content-Encoding"),
            "gzip" if compressed else None,
        )
        answer = gzip.decompress(answer) if compressed else answer
        self.assertLen(json.loads(answer)["predictions"], rows)

    def test_cross_origin_requests(self):
        name = "Access-Control-Allow-Origin"
        response, _ = self.ask(_BODY)
        self.assertNotIn(name, response.headers)
        with served.serving(
            self.base, rest_api_enable_cors_support=True
        ) as server:
            connection = http.client.HTTPConnection(
                "127.0.0.1", server.rest_api_port, timeout=60
            )
            for method, headers in (
                ("POST", {}),
                ("OPTIONS", {"Origin": "https://a.example"}),
            ):
                connection.request(method, _PATH, _BODY, headers)
                response = connection.getresponse()
                response.read()
                self.assertEqual(response.status, 200)
                self.assertEqual(response.headers[name], "*")
            connection.close()

    def test_unfinished_large_bodies_have_a_budget(self):
        size = 1 << 20
        head = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        part = head % (_PATH.encode(), size) + b" " * (size - 1000)
        with served.serving(self.base, max_message_bytes=size) as server:
            address = "127.0.0.1", server.rest_api_port
            opened = []
            for _ in range(20):
                connection = socket.create_connection(address, timeout=60)
                self.addCleanup(connection.close)
                with contextlib.suppress(OSError):  # Refused meanwhile.
                    connection.sendall(part)
                opened.append(connection)
            # Sixteen of the largest size are read at once.
            refused, _, _ = select.select(opened, [], [], 60)
            self.assertNotEmpty(refused)
            self.assertIn(b" 429 ", refused[0].recv(1 << 16))
            # A small one always finds room.
            client = http.client.HTTPConnection(*address, timeout=60)
            client.request("POST", _PATH, _BODY)
            self.assertEqual(json.load(client.getresponse()), _ANSWER)
            client.close()

    def test_options_are_checked(self):
        for name, value in (
            ("workers", 0),
            ("max_message_bytes", 0),
            ("max_message_bytes", 2**31),
            # What the system's clocks and threads cannot do.
            ("batch_timeout_micros", 10**18),
            ("request_timeout_seconds", 1e300),
            ("poll_seconds", 1e300),
            ("model_config_file_poll_wait_seconds", 1e300),
            ("num_batch_threads", 10**6),
        ):
            with self.assertRaisesRegex(ValueError, name):
                ServerOptions(**{name: value}).validate()


if __name__ == "__main__":
    absltest.main()
