"""Which requests a version brings with it: to warm up, and to be verified."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import tensorflow as tf

from export.saved_model.records import Request, Tensors, write_records
from export.saved_model.versions import (
    CLASSIFY_SIGNATURE,
    VERIFICATION,
    WARM_UP,
)
from spactor_tf.config.search_options import SearchOptions

Text = bytes | str
# (signature, texts) -> inputs with one row per text.
InputsFor = Callable[[str, list[Text]], Tensors]

_WARM_UP_TEXTS = ("A short text.", "A text of some more words, to be read.")
_WARM_UP_BATCHES = (1, 8)
# Empty, very long, not UTF-8, outside the basic plane, right to left.
HARD_TEXTS = (
    b"",
    b"The cat sat on the mat. " * 1700,
    b"broken \xff\xfe\xc3( bytes \x00 end",
    "emoji \U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467".encode(),
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd".encode(),
    b"plain words again",
)
_HARD_BATCHES = (0, 1, 3, 6)
STORED_TEXTS = (*_WARM_UP_TEXTS, *HARD_TEXTS)


def inputs_for(
    signature: str,
    texts: Iterable[Text],
    options: SearchOptions | None = None,
) -> dict[str, tf.Tensor]:
    """Returns the inputs of a signature that reads these texts.

    Args:
        signature: its name.
        texts: one per row.
        options: largest length and number of beams of a request that has
            options of its own; None means the defaults.

    Returns:
        {input name: tensor [rows]}: serialized tf.Examples with the feature
        `text` for the Classify call, the texts themselves elsewhere, and
        greedy, sampled and beam search in turn where a request chooses.
    """
    if signature == "generate_with_options":
        return _with_options(list(texts), options or SearchOptions())
    if signature != CLASSIFY_SIGNATURE:
        return {"text": tf.constant(list(texts), tf.string)}
    examples = []
    for text in texts:
        value = text.encode() if isinstance(text, str) else text
        example = tf.train.Example()
        example.features.feature["text"].bytes_list.value.append(value)
        examples.append(example.SerializeToString())
    return {"inputs": tf.constant(examples, tf.string)}


def _with_options(
    texts: list[Text], options: SearchOptions
) -> dict[str, tf.Tensor]:
    kind = tf.range(len(texts)) % 3
    full = tf.fill([len(texts)], options.max_output_length)
    return {
        "text": tf.constant(texts, tf.string),
        "max_length": tf.where(kind == 1, (full + 1) // 2, full),
        "temperature": tf.where(kind == 1, 0.7, 0.0),
        "seed": tf.range(len(texts), dtype=tf.int64),
        "num_beams": tf.where(kind == 2, options.num_beams, 1),
    }


def write_stored_requests(
    folder: pathlib.Path,
    name: str,
    functions: Mapping[str, Callable[..., Tensors]],
    inputs_for: InputsFor = inputs_for,
) -> dict[str, int]:
    """Writes the requests to warm up and to verify, with eager answers.

    Args:
        folder: of the version.
        name: of the model.
        functions: {signature: function of its inputs as keywords}.
        inputs_for: makes the inputs of a signature from texts.

    Returns:
        {file: how many requests it holds}.
    """

    def requests(
        texts: Iterable[Text], sizes: Iterable[int]
    ) -> Iterator[Request]:
        for signature in functions:
            for size in sizes:
                batch = list(itertools.islice(itertools.cycle(texts), size))
                yield signature, inputs_for(signature, batch)

    return {
        path: write_records(
            folder / path, name, functions, requests(texts, sizes)
        )
        for path, texts, sizes in (
            (WARM_UP, _WARM_UP_TEXTS, _WARM_UP_BATCHES),
            (VERIFICATION, HARD_TEXTS, _HARD_BATCHES),
        )
    }
