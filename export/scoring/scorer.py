"""Scores a pool with an exported model, shard by shard.

The model may be local (`SessionModel`) or on a server (`Client`): both answer
the signature `classify`. A shard that is on disk is not scored again, so an
interrupted run resumes where it stopped.

    OUTPUT/scoring.json       which model scored it, its weights, shard size
    OUTPUT/shards/00000.npz   embeddings, margins, SHA-256 of the texts
    OUTPUT/embeddings.npy, margins.npy, example_ids.npy    when all are done
    OUTPUT/scores.parquet                                  for a pool with ids
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from runkit import (
    InputError,
    Progress,
    atomic_write,
    read_json,
    write_json,
)
from runkit.checks import require
from runkit.files import DAMAGED_ARRAYS

SIGNATURE = "classify"
BATCH_BYTES = 1 << 14
_TABLE_ROWS = 8192  # Of a row group.
_FACTS, _WEIGHTS = "scoring.json", "weights_sha256"
# (signature, inputs) -> outputs: `SessionModel.run` or `Client.predict`.
Predict = Callable[[str, Mapping[str, Any]], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class PoolScores:
    """What Cluster-Margin needs to know about a pool.

    Attributes:
        example_ids: [rows] int64, the rows of the pool.
        embeddings: [rows, hidden_dim] float32.
        margins: [rows] float32, small means uncertain.
    """

    example_ids: np.ndarray
    embeddings: np.ndarray
    margins: np.ndarray


def score_pool(
    predict: Predict,
    texts: Iterable[bytes | str],
    output_dir: str | os.PathLike,
    *,
    model: str,
    shard_size: int = 4096,
    batch_size: int = 64,
    batch_bytes: int = BATCH_BYTES,
    total: int | None = None,
    weights_sha256: str = "",
) -> PoolScores:
    """Scores every text, or resumes an interrupted scoring.

    Args:
        predict: answers `classify` for {"text": [...]}.
        texts: of the pool, in the order of their example ids.
        output_dir: see the module docstring.
        model: identifies the model that answers; a folder with scores of
            another one is refused.
        shard_size: texts per file.
        batch_size: most texts per call of `predict`.
        batch_bytes: most bytes per call, each text counted as long as the
            longest; a longer text is a call of its own. Long texts in large
            calls are slower: what a layer computes no longer fits into the
            processor's caches.
        total: number of texts for the progress display, if known.
        weights_sha256: from the model's card, if known; written down so that
            nobody mixes the embeddings with those of another model.

    Returns:
        The scores, mapped from the written files.

    Raises:
        InputError: the folder holds scores of another model or other texts,
            or there are no texts.
    """
    require(shard_size > 0, "must be positive", "shard_size", shard_size)
    require(batch_size > 0, "must be positive", "batch_size", batch_size)
    require(batch_bytes > 0, "must be positive", "batch_bytes", batch_bytes)
    folder = pathlib.Path(output_dir)
    facts = {"model": model, "shard_size": shard_size}
    if weights_sha256:
        facts[_WEIGHTS] = weights_sha256
    claim(folder, facts)
    progress = Progress(total, "texts", "scoring")
    encoded = (t.encode() if isinstance(t, str) else t for t in texts)
    paths: list[pathlib.Path] = []
    rows = 0
    while shard := list(itertools.islice(encoded, shard_size)):
        path = folder / "shards" / f"{len(paths):05d}.npz"
        if not _is_whole(path, shard):
            scores = score_texts(predict, shard, batch_size, batch_bytes)
            with atomic_write(path, "wb") as handle:
                np.savez(
                    handle, allow_pickle=False, digest=_digest(shard), **scores
                )
        paths.append(path)
        rows += len(shard)
        progress.update(rows)
    require(rows > 0, "there are no texts", "texts", rows)
    return _join(folder, paths, rows)


def write_table(
    output_dir: str | os.PathLike, scores: PoolScores, ids: np.ndarray
) -> pathlib.Path:
    """Writes `scores.parquet` with id, margin and embedding of each text.

    Args:
        output_dir: of the scores.
        scores: from `score_pool`.
        ids: [rows] str or int.

    Returns:
        The file, which `al_tf.select_main` takes as embeddings and margins.
    """
    path = pathlib.Path(output_dir) / "scores.parquet"
    write_rows(path, ids, scores.embeddings, scores.margins)
    return path


def write_rows(
    path: pathlib.Path,
    ids: Sequence[Any] | np.ndarray,
    embeddings: np.ndarray,
    margins: np.ndarray,
    facts: Mapping[bytes, bytes] | None = None,
) -> None:
    """Writes id, margin and embedding of each text as Parquet.

    Args:
        path: to be written.
        ids: `[rows]` str or int.
        embeddings: `[rows, d]` float16 or float32.
        margins: `[rows]` float32.
        facts: metadata of the file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows, dim = embeddings.shape
    is_text = len(ids) > 0 and isinstance(ids[0], str)
    number = pa.from_numpy_dtype(embeddings.dtype)
    kinds = [
        pa.string() if is_text else pa.int64(),
        pa.float32(),
        pa.list_(number, dim),
    ]
    names = ["id", "margin", "embedding"]
    schema = pa.schema(list(zip(names, kinds, strict=True)), metadata=facts)
    with (
        atomic_write(path, "wb") as handle,
        parquet.ParquetWriter(handle, schema) as writer,
    ):
        for start in range(0, rows, _TABLE_ROWS):
            part = slice(start, start + _TABLE_ROWS)
            flat = pa.array(np.ravel(embeddings[part]))
            columns = [
                pa.array(list(ids[part]), kinds[0]),
                pa.array(np.asarray(margins[part])),
                pa.FixedSizeListArray.from_arrays(flat, type=kinds[2]),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def claim(folder: pathlib.Path, facts: dict[str, Any]) -> None:
    """Makes a folder that of some scores.

    Raises:
        InputError: it holds other scores, or anything else.
    """
    path = folder / _FACTS
    # `.lock` and the like are nobody's results.
    if not path.is_file() and list(folder.glob("[!.]*")):
        raise InputError(
            "holds files but no scores",
            where=str(folder),
            got=min(p.name for p in folder.glob("[!.]*")),
            remedy="Name an empty or a new directory",
        )
    known = read_json(path) if path.is_file() else {}
    if not isinstance(known, dict):
        raise InputError("is damaged", where=str(path), got=known)
    # A fact that older scores do not have is no difference.
    if any(known.get(key, value) != value for key, value in facts.items()):
        raise InputError(
            "holds scores of another model or shard size",
            where=str(folder),
            got=known,
            expected=str(facts),
            remedy="Choose another output directory",
        )
    write_json(path, {**known, **facts})


def scored_by(embeddings: str | os.PathLike) -> str:
    """Returns the SHA-256 of the weights that made embeddings; "": unknown.

    Args:
        embeddings: a file that `score_pool` wrote, or any other.

    Raises:
        InputError: the facts beside it are damaged.
    """
    path = pathlib.Path(embeddings).parent / _FACTS
    facts = read_json(path) if path.is_file() else {}
    return facts.get(_WEIGHTS, "") if isinstance(facts, dict) else ""


def _digest(texts: list[bytes]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def _is_whole(path: pathlib.Path, texts: list[bytes]) -> bool:
    """Whether the shard is complete; refuses one of other texts."""
    if not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as stored:
            digest = str(stored["digest"])
            whole = len(stored["margins"]) == len(texts)
            whole = whole and len(stored["embeddings"]) == len(texts)
    except DAMAGED_ARRAYS:
        return False  # Damaged: to be scored again.
    if digest != _digest(texts):
        raise InputError(
            "was scored from other texts",
            where=str(path),
            remedy="Choose another output directory",
        )
    return whole


def score_texts(
    predict: Predict, texts: list[bytes], batch_size: int, batch_bytes: int
) -> dict[str, np.ndarray]:
    """Returns the `embeddings` and `margins` of the texts of a shard."""
    # Texts of similar length share a batch, so that less of it is padding.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts: list[dict[str, np.ndarray]] = []
    at = count = 0
    while at < len(order):
        # Where all of the last batch was cut, longer texts cost no more.
        if not parts or not np.all(parts[-1].get("truncated", False)):
            fits = (
                n * len(texts[order[at + n - 1]]) <= batch_bytes
                for n in range(2, min(batch_size, len(order) - at) + 1)
            )
            count = 1 + sum(itertools.takewhile(bool, fits))
        batch = [texts[i] for i in order[at : at + count]]
        parts.append(predict(SIGNATURE, {"text": batch}))
        at += count
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return {
        "embeddings": np.concatenate([p["embedding"] for p in parts])[place],
        "margins": np.concatenate([p["margin"] for p in parts])[place],
    }


def _join(
    folder: pathlib.Path, paths: list[pathlib.Path], rows: int
) -> PoolScores:
    """Writes the three arrays with only one shard in memory at a time."""
    for name in ("embeddings", "margins"):
        with atomic_write(folder / f"{name}.npy", "wb") as handle:
            for number, path in enumerate(paths):
                with np.load(path, allow_pickle=False) as shard:
                    part = np.ascontiguousarray(shard[name], np.float32)
                if number == 0:
                    header = {
                        "descr": np.lib.format.dtype_to_descr(part.dtype),
                        "fortran_order": False,
                        "shape": (rows, *part.shape[1:]),
                    }
                    np.lib.format.write_array_header_1_0(handle, header)
                handle.write(part.tobytes())
    with atomic_write(folder / "example_ids.npy", "wb") as handle:
        np.save(handle, np.arange(rows, dtype=np.int64), allow_pickle=False)
    loaded = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("example_ids", "embeddings", "margins")
    }
    return PoolScores(**loaded)
