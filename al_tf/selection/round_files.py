"""What a round is told and reads: its flags, scores, labels, texts."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging

from al_tf.inputs.columns import open_columns
from al_tf.inputs.embeddings import open_npy
from al_tf.inputs.ids import (
    ExampleIds,
    arrow_array,
    ids_in_blocks,
    ids_of,
    joined,
    naming,
    no_ids,
    positions,
    whole_numbers,
)
from al_tf.inputs.pool_files import (
    USUAL_IDS,
    PoolFiles,
    open_files,
    places_of,
    read_numbers,
    vector_blocks,
)
from al_tf.inputs.shards import find_shards
from al_tf.selection import batch_files
from al_tf.selection.cluster_margin import (
    check_margin_batch_size,
    default_margin_batch_size,
)
from al_tf.selection.margins import (
    check_margins,
    margin_scores,
    multilabel_margin_scores,
)
from runkit import InputError
from runkit.datasets.inputs import plain_suffix
from runkit.datasets.labels import UNKNOWN
from runkit.datasets.row_formats import csv_rows
from runkit.flag_values import Flag

SCORES = ("margins", "probabilities", "logits")
EMBEDDINGS_HELP = (
    "Embeddings of the pool, [n, d]: .npy file, table with a column of lists "
    "(Parquet, .npz, csv, JSON Lines), directory of shards, or pattern."
)
# What the current model says of the pool; see `read_scores`.
ANSWER_FLAGS = (
    Flag(
        "margins",
        "Margins of the current model, in [0, 1]; small means uncertain: .npy "
        "file [n], or a table with a column `margin`.",
        default="",
    ),
    Flag(
        "probabilities",
        "In place of margins: probabilities of the classes, [n, classes]; "
        "files as for --embeddings.",
        default="",
    ),
    Flag(
        "logits",
        "In place of margins: logits of the classes, [n, classes].",
        default="",
    ),
    Flag(
        "multilabel",
        "The probabilities are those of independent classes.",
        bool,
        False,
    ),
)
OVERWRITE_FLAG = Flag(
    "overwrite",
    "Replace the file in the report's place even if no selection wrote it.",
    bool,
    False,
)
# What to pick, and where to write it.
PICK_FLAGS = (
    Flag("batch_size", "Examples to pick.", int, required=True),
    Flag(
        "output",
        "File to write: .csv, .jsonl, .parquet, or .npy for the ids only.",
        required=True,
    ),
    Flag(
        "labeled",
        "Ids of labeled examples: .npy, text with one id per line, or a table "
        "such as an earlier batch.",
        default="",
    ),
    Flag(
        "margin_batch_size",
        "Uncertain examples to pick from; by default ten batches, at most a "
        "quarter of the unlabeled pool.",
        int,
    ),
    Flag(
        "seed",
        "Random seed for the choice within and among clusters.",
        int,
        0,
    ),
)


def asked_margin_batch_size(values: Any, num_unlabeled: int) -> int:
    """Returns k_m as the flags ask for it; the default is logged.

    Args:
        values: the flags, as attributes.
        num_unlabeled: examples that may be picked.

    Raises:
        InputError: it is impossible.
    """
    size: int | None = values.margin_batch_size
    if size is None:
        size = default_margin_batch_size(values.batch_size, num_unlabeled)
        logging.info("--margin_batch_size=%d (default)", size)
    check_margin_batch_size(size, values.batch_size, num_unlabeled)
    return size


def given_scores(values: Any) -> str:
    """Returns which one of `SCORES` the flags give.

    Raises:
        InputError: none of them, or several.
    """
    given = [name for name in SCORES if getattr(values, name)]
    if not given:
        raise InputError(
            "is missing",
            where="--margins",
            expected="one of --margins, --probabilities and --logits",
        )
    if len(given) > 1:
        raise InputError(
            "only one of these can be used",
            where=" and ".join(f"--{name}" for name in given),
        )
    return given[0]


def read_scores(
    values: Any, ids: ExampleIds | None, num_examples: int
) -> np.ndarray:
    """Reads the margins of the pool, or makes them from a model's answers.

    Args:
        values: the flags, as attributes.
        ids: of the pool by row, if it has any.
        num_examples: rows of the pool.

    Returns:
        `[num_examples]` float margins in [0, 1], by row.

    Raises:
        InputError: files that cannot be used, or that do not fit the pool.
    """
    kind = given_scores(values)
    where = f"--{kind}"
    files = open_files(getattr(values, kind), where, values.id_column)
    # Before the numbers, which may be many.
    places = places_of(files, ids)
    with naming(files.ids):
        margins = _margins(files, kind, values)
    if len(margins) != num_examples:
        raise InputError(
            "not one margin for each embedding"
            if kind == "margins"
            else f"not one row of {kind} for each embedding",
            where=where,
            got=len(margins),
            expected=str(num_examples),
        )
    if places is None:
        return margins
    by_row = np.empty_like(margins)
    by_row[places] = margins
    return by_row


def _margins(files: PoolFiles, kind: str, values: Any) -> np.ndarray:
    """Margins in the order of the files."""
    if kind == "margins":
        return check_margins(
            read_numbers(
                files,
                values.margin_column,
                ("margin", "margins"),
                "--margin_column",
            )
        )
    blocks: Iterator[np.ndarray] = vector_blocks(
        files,
        values.probabilities_column,
        (kind,),  # Never the other: a softmax more or less is not seen.
        "--probabilities_column",
    )
    scores = multilabel_margin_scores if values.multilabel else margin_scores
    return scores(blocks, from_logits=kind == "logits")


def read_labeled(values: Any, ids: ExampleIds | None) -> np.ndarray:
    """Reads which examples of the pool are labeled.

    Args:
        values: the flags, as attributes.
        ids: of the pool by row, if it has any.

    Returns:
        `[labeled]` int64 rows; the caller checks their range.

    Raises:
        InputError: files that cannot be used; duplicates and strangers among
            the ids.
    """
    path = values.labeled
    if not path:
        return np.zeros(0, np.int64)
    if ids is None and values.label_column is None:
        return batch_files.read_ids(path)
    found = _labeled_ids(values, USUAL_IDS if ids else ("example_id",))
    if ids is None:
        return whole_numbers(found, path)
    return positions(ids, found, path, is_complete=False)


def _labeled_ids(values: Any, usual: Sequence[str]) -> ExampleIds:
    """Ids in a table with an id column, or in a text with one id a line."""
    path = pathlib.Path(values.labeled)
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    suffix = plain_suffix(path)
    if suffix == ".npy":
        column = arrow_array(open_npy(path))
        return joined([(str(path), ids_of(column, str(path)), True)])
    if suffix in ("", ".txt"):
        words = [" ".join(cells).strip() for cells in csv_rows(path)]
        words = [word for word in words if word]
        if not words:
            return no_ids(is_typed=False)
        column = arrow_array(words)
        return joined([(str(path), ids_of(column, str(path)), False)])
    table, label = open_columns(path), values.label_column
    name = table.find(values.id_column or None, usual, "--id_column")
    name = name or str(table.find(usual[0], (), "--id_column"))
    where = f"{path}: column {name}"
    if label is None:
        parts = ids_in_blocks((b for (b,) in table.blocks(name)), where)
    else:
        table.find(label, (), "--label_column")
        parts = [
            ids_of(column.filter(_is_labeled(given, suffix)), where)
            for column, given in table.blocks(name, label)
        ]
    return joined([(str(path), part, table.is_typed) for part in parts])


def _is_labeled(column: Any, suffix: str) -> Any:
    """Whether rows hold a label: no blank, no NaN, in `.npz` no -1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(column.type):
        return pc.is_valid(column)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        length = pc.utf8_length(pc.utf8_trim_whitespace(column))
        return pc.fill_null(pc.greater(length, 0), False)
    if suffix == ".npz" and pa.types.is_integer(column.type):
        # As in the pools of the loop; elsewhere -1 may be a class.
        return pc.not_equal(column, UNKNOWN)
    is_float = pa.types.is_floating(column.type)
    return pc.invert(pc.is_null(column, nan_is_null=is_float))


def check_text_column(values: Any) -> None:
    """Refuses a `--text_column` that the embeddings' files do not have."""
    if not values.text_column:
        return
    files = find_shards(values.embeddings)
    for path in files:
        if plain_suffix(path) == ".npy":
            raise InputError(
                "has no columns",
                where=f"--text_column: {path}",
                expected=f"a column {values.text_column}",
            )
        open_columns(path).find(values.text_column, (), "--text_column")


def read_texts(
    values: Any, ids: ExampleIds | None, picked: np.ndarray
) -> list[str] | None:
    """Reads the texts of a batch from the files of the embeddings.

    Args:
        values: the flags, as attributes.
        ids: of the pool by row, if it has any.
        picked: `[k]` int64 rows.

    Returns:
        `[k]` texts in the order of `picked`; None without `--text_column`.

    Raises:
        InputError: a picked row without a text.
    """
    column = values.text_column
    if not column:
        return None
    files = open_files(values.embeddings, "--embeddings", values.id_column)
    places = places_of(files, ids)
    texts: dict[int, Any] = {}
    wanted, at = np.sort(picked), 0
    for number in range(len(files.paths)):
        for block in files.column(number, column):
            rows = np.arange(at, at + len(block))
            rows = rows if places is None else places[rows]
            for i in np.flatnonzero(np.isin(rows, wanted)):
                texts[int(rows[i])] = block[int(i)].as_py()
            at += len(block)
    for row, text in texts.items():
        if not isinstance(text, str):
            name = row if ids is None else ids.take(np.array([row])).tolist()[0]
            raise InputError(
                f"example {name} has no text",
                where=f"--text_column={column}",
                got=text,
            )
    return [texts[int(row)] for row in picked]
