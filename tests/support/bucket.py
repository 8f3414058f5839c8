"""Object storage in memory: `s3://bucket/...` without a network."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from runkit.files import storage


class Bucket(MemoryFileSystem):
    """fsspec's file system in memory under the scheme `s3`.

    Attributes:
        store: {"/bucket/name": file}.
        failures_after: writes that succeed before all fail; None: no failure.
        gone: whether nothing can be opened.
        failures: reads that fail before the others succeed.
    """

    protocol = ("s3",)
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    failures_after: ClassVar[int | None] = None
    gone: ClassVar[bool] = False
    failures: ClassVar[int] = 0

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        name = str(path).removeprefix("s3://").strip("/")
        return f"/{name}" if name else ""

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "w" in mode and Bucket.failures_after is not None:
            if not Bucket.failures_after:
                raise OSError("the bucket is gone")
            Bucket.failures_after -= 1
        if Bucket.gone:
            raise ValueError("gone")  # Drivers' errors have no common base.
        opened = super()._open(path, mode, **options)
        if mode == "rb":
            return _Reader(opened.getvalue())
        return opened

    def cat_file(self, path: str, start: Any = None, end: Any = None) -> bytes:
        with self.open(path) as opened:
            return opened.read()[start:end]


class _Reader(io.BytesIO):
    """An object whose reads fail while the bucket says so."""

    def read(self, size: int | None = -1) -> bytes:
        if Bucket.failures:
            Bucket.failures -= 1
            super().read(size)  # A broken read may have moved the place.
            raise ValueError("broken")
        return super().read(size)


@contextlib.contextmanager
def bucket() -> Iterator[type[Bucket]]:
    """Makes `s3://` a new storage in memory, which answers at once."""
    before = fsspec.registry.get("s3")
    waits = storage.RETRY_SECONDS
    Bucket.store, Bucket.pseudo_dirs = {}, [""]
    Bucket.failures_after, Bucket.gone, Bucket.failures = None, False, 0
    fsspec.register_implementation("s3", Bucket, clobber=True)
    storage.RETRY_SECONDS = (0.0, 0.0)
    try:
        yield Bucket
    finally:
        storage.RETRY_SECONDS = waits
        if before is not None:
            fsspec.register_implementation("s3", before, clobber=True)
