"""What a model answers: by generation, or by ranking given options.

Rank classification scores every option by its log-likelihood given the input
(the sum over its tokens, EOS included) and takes the largest. All options of an
example are read by the decoder as one sequence over one encoding, so that each
input passes the encoder once, however many options it has. Generation decodes
with a cache, over one encoding too.

Inputs are sorted by length and cut into batches of one size, padded to a few
bucketed lengths: a handful of static shapes, each traced once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from runkit import InputError
from spactor_tf.config.search_options import SearchOptions
from spactor_tf.data.encoding import TokenRows, encode_texts
from spactor_tf.data.vocabulary import PAD_ID, Vocabulary
from spactor_tf.finetune.mixture import bucket_length
from spactor_tf.inference import token_search as search
from spactor_tf.inference.decoding import CachedDecoder, label_targets
from spactor_tf.model import t5
from spactor_tf.tasks import Example, Task

_NO_OPTION = -np.inf
_MOST_LOGITS = 1 << 28  # Of one call: 1 GiB.


class Predictor:
    """Answers of a model to texts.

    It reads the backbone's weights as they are when it is called, so one
    predictor serves all evaluations of a run and keeps its traces.

    Args:
        backbone: `keras_hub.models.T5Backbone`.
        vocabulary: its vocabulary.
        input_length: tokens read of an input, EOS included.
        target_length: tokens read of an option or generated, EOS included.
        batch_size: inputs of one call.
        search: how text is generated; `max_output_length` is overridden.

    Attributes:
        encode: (tokens, mask), both [batch, length] int32, to the encoder's
            states [batch, length, hidden_dim]; called once for each batch.
    """

    def __init__(
        self,
        backbone: Any,
        vocabulary: Vocabulary,
        input_length: int = 512,
        target_length: int = 128,
        batch_size: int = 64,
        search: SearchOptions | None = None,
    ):
        self._vocabulary = vocabulary
        self._input_length, self._target_length = input_length, target_length
        self._batch_size = batch_size
        self._search = search or SearchOptions()
        self._decoder = CachedDecoder(backbone)
        encoder = t5.build_encoder(backbone)

        def encode(tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
            names = ("encoder_token_ids", "encoder_padding_mask")
            inputs = dict(zip(names, (tokens, mask), strict=True))
            return encoder(inputs, training=False)

        self.encode: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = encode
        self._score = tf.function(self._score_batch, autograph=False)
        self._generate = tf.function(self._generate_batch, autograph=False)

    @property
    def traces(self) -> int:
        """How often the two functions were traced so far."""
        functions = (self._score, self._generate)
        return sum(f.experimental_get_tracing_count() for f in functions)

    def log_likelihoods(
        self, texts: Sequence[str], options: Sequence[Sequence[str]]
    ) -> np.ndarray:
        """Scores the options of each text.

        Args:
            texts: inputs, with the task's prefix.
            options: of each text, at least one.

        Returns:
            [texts, options] float32, sums of log-probabilities; minus infinity
            where a text has fewer options than another.
        """
        if not texts:
            return np.zeros((0, 0), np.float32)
        targets, shared = self._targets(options)
        scores = np.zeros((len(texts), targets.shape[-2]), np.float32)

        def run(rows: np.ndarray, tokens: tf.Tensor) -> None:
            chosen = targets if shared else _take(targets, rows, len(tokens))
            values = _call(self._score, tokens, tf.constant(chosen))
            scores[rows] = values.numpy()[: len(rows)]

        self._in_batches(texts, run, self._rows_for(targets))
        counts = np.array([len(own) for own in options])
        missing = np.arange(scores.shape[1]) >= counts[:, np.newaxis]
        return np.where(missing, np.float32(_NO_OPTION), scores)

    def rank(
        self, texts: Sequence[str], options: Sequence[Sequence[str]]
    ) -> list[str]:
        """Returns the likeliest option of each text; of equals the first."""
        scores = self.log_likelihoods(texts, options)
        best = scores.argmax(axis=1) if len(texts) else []
        return [own[i] for own, i in zip(options, best, strict=True)]

    def generate(
        self, texts: Sequence[str], max_length: int | None = None
    ) -> list[str]:
        """Returns the generated text of each input.

        Args:
            texts: inputs, with the task's prefix.
            max_length: tokens at most, EOS included; None is `target_length`.
        """
        length = min(max_length or self._target_length, self._target_length)
        answers = [""] * len(texts)

        def run(rows: np.ndarray, tokens: tf.Tensor) -> None:
            ids = _call(self._generate, tokens, length=length).numpy()
            for row, answer in zip(rows, ids[: len(rows)], strict=True):
                answers[row] = self._vocabulary.decode(answer)

        self._in_batches(texts, run, self._batch_size)
        return answers

    def predict(
        self, task: Task, examples: Sequence[Example], method: str = "auto"
    ) -> list[str]:
        """Returns the model's answer to each example of a task.

        Args:
            task: whose options are ranked.
            examples: of the task, labeled or not.
            method: "rank", "generate", or "auto": rank where there are
                options.

        Raises:
            InputError: "rank", and the task has no options.
        """
        ranked = ranked_examples(task, examples, method)
        answers = [""] * len(examples)
        for way, rows in (
            (self._rank_examples, np.flatnonzero(ranked)),
            (self._answer_freely, np.flatnonzero(~ranked)),
        ):
            texts = way(task, [examples[int(row)] for row in rows])
            for row, text in zip(rows, texts, strict=True):
                answers[row] = text
        return answers

    def _rank_examples(
        self, task: Task, examples: Sequence[Example]
    ) -> list[str]:
        texts = [example.inputs for example in examples]
        return self.rank(texts, [task.options(e) for e in examples])

    def _answer_freely(
        self, task: Task, examples: Sequence[Example]
    ) -> list[str]:
        longest = None
        if task.label_words:
            # Any longer answer is wrong anyway.
            longest = label_targets(self._vocabulary, task.label_words).shape[1]
        return self.generate([example.inputs for example in examples], longest)

    def _in_batches(
        self,
        texts: Sequence[str],
        run: Callable[[np.ndarray, tf.Tensor], None],
        size: int,
    ) -> None:
        """Calls `run(rows, tokens)`; tokens are [size, bucket] int32."""
        inputs = encode_texts(self._vocabulary, texts, self._input_length)
        order = np.argsort(inputs.lengths(), kind="stable")
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            run(rows, tf.constant(self._padded(inputs, rows, size)))

    def _rows_for(self, targets: np.ndarray) -> int:
        """Inputs of one call, fewer where many options make many logits."""
        places = targets.shape[-2] * targets.shape[-1]
        room = _MOST_LOGITS // (places * self._vocabulary.size)
        return max(1, min(self._batch_size, room))

    def _padded(
        self, inputs: TokenRows, rows: np.ndarray, size: int
    ) -> np.ndarray:
        longest = int(inputs.lengths(rows).max())
        length = bucket_length(longest, self._input_length)
        # Rows of padding fill the last batch up; their answers are dropped.
        tokens = np.full((size, length), PAD_ID, np.int32)
        tokens[: len(rows)] = inputs.padded(length, rows)
        return tokens

    def _targets(
        self, options: Sequence[Sequence[str]]
    ) -> tuple[np.ndarray, bool]:
        """Tokens of the options, and whether all texts have the same ones.

        [options, length] int32 if they have, else [texts, options, length].
        """
        distinct = {tuple(own) for own in options}
        shared = len(distinct) == 1
        sets = list(distinct) if shared else options
        flat = [text for own in sets for text in own]
        rows = encode_texts(self._vocabulary, flat, self._target_length)
        counts = np.array([len(own) for own in sets], np.int64)
        width, length = int(counts.max()), int(rows.lengths().max())
        targets = np.full((len(sets), width, length), PAD_ID, np.int32)
        targets[np.arange(width) < counts[:, np.newaxis]] = rows.padded(length)
        return (targets[0] if shared else targets), shared

    def _score_batch(self, tokens: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        mask = _mask(tokens)
        states = self.encode(tokens, mask)
        return self._decoder.score_targets(targets, states, mask)

    def _generate_batch(self, tokens: tf.Tensor, length: int) -> tf.Tensor:
        options = dataclasses.replace(self._search, max_output_length=length)
        mask = _mask(tokens)
        text_hash = tf.reduce_sum(tf.cast(tokens, tf.int64), axis=1)
        answer, _ = search.generate(
            self._decoder, options, self._vocabulary.size, text_hash,
            self.encode(tokens, mask), mask,
        )  # fmt: skip
        return answer


def _call(function: Any, *tensors: tf.Tensor, **constants: int) -> tf.Tensor:
    """Calls a function traced once for each shape.

    The function itself would warn of the few traces that bucketing intends.
    """
    return function.get_concrete_function(*tensors, **constants)(*tensors)


def _mask(tokens: tf.Tensor) -> tf.Tensor:
    return tf.cast(tokens != PAD_ID, tf.int32)


def _take(targets: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Rows of targets, filled up with padding to `size`."""
    chosen = np.full((size, *targets.shape[1:]), PAD_ID, np.int32)
    chosen[: len(rows)] = targets[rows]
    return chosen


def ranked_examples(
    task: Task, examples: Sequence[Example], method: str
) -> np.ndarray:
    """Returns which examples are answered by ranking options.

    Args:
        task: whose options they would be.
        examples: of the task.
        method: "rank", "generate", or "auto": those that have options.

    Returns:
        [examples] bool.

    Raises:
        InputError: "rank", and one has no options.
    """
    if method == "generate":
        return np.zeros(len(examples), bool)
    has_options = np.array([bool(task.options(e)) for e in examples], bool)
    if method == "rank" and not has_options.all():
        raise InputError(
            "has no options to rank: its answers are free text",
            where=f"--task={task.name}", remedy="Give --method=generate",
        )  # fmt: skip
    return has_options
