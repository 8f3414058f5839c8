"""`gs://` in a process of its own, for TensorFlow's driver in this one."""

import contextlib
import pathlib
import shutil
import subprocess
import sys
import unittest

from tests.support.storage import gcs_server

needs_openssl = unittest.skipUnless(
    shutil.which("openssl"), "needs openssl, which makes a certificate"
)


@contextlib.contextmanager
def google(folder, log=subprocess.DEVNULL):
    """Answers for `gs://` while the block runs.

    Args:
        folder: of buckets; its certificate and key are written beside it.
        log: file that gets a line for each read: name, first byte, bytes.

    Yields:
        Environment of processes that are to reach it.
    """
    folder = pathlib.Path(folder)
    certificate = folder.parent / "certificate.pem"
    key = folder.parent / "key.pem"
    names = ",".join(f"DNS:{host}" for host in gcs_server.HOSTS)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-subj", "/CN=emulator", "-addext", f"subjectAltName={names}"),
            *("-keyout", key, "-out", certificate),
        ],
        capture_output=True,
        check=True,
    )
    server = subprocess.Popen(
        [sys.executable, gcs_server.__file__, folder, certificate, key],
        stdout=subprocess.PIPE,
        stderr=log,
    )
    with server, contextlib.ExitStack() as stack:
        stack.callback(server.kill)
        port = int(server.stdout.readline())
        yield {
            "https_proxy": f"http://127.0.0.1:{port}",
            "CURL_CA_BUNDLE": str(certificate),
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "anyone",
            "NO_GCE_CHECK": "true",
        }
