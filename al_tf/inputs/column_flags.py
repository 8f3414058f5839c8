"""Flags that name the columns of the files of a pool."""

from __future__ import annotations

from runkit.flag_values import Flag

ID_FLAG = Flag(
    "id_column",
    "Column of ids, texts or whole numbers, by which all files are joined; "
    "default: `id` where it is there; empty: rows are known by their places.",
)
EMBEDDING_FLAG = Flag(
    "embedding_column",
    "Column of the embeddings; default: `embedding`, or the only column of "
    "lists.",
)
SCORE_FLAGS = (
    Flag("margin_column", "Column of the margins; default: `margin`."),
    Flag(
        "probabilities_column",
        "Column of the probabilities or logits, a list in every row; default: "
        "`probabilities` or `logits`.",
    ),
)
LABEL_FLAG = Flag(
    "label_column",
    "Column of the labels in --labeled; rows without a label do not count as "
    "labeled. Default: every row counts.",
)
TEXT_FLAG = Flag(
    "text_column",
    "Column of texts in the files of the embeddings, which the output then "
    "shows.",
)
