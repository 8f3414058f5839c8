"""What a model answers: by generation, or by ranking given options.

Rank classification scores every option by its log-likelihood given the input
(the sum over its tokens, EOS included) and takes the largest. All options of
an example are read by the decoder as one sequence over one encoding, so that
each input passes the encoder once, however many options it has. Generation
decodes with a cache, over one encoding too.

Inputs are sorted by length and cut into batches of one size, padded to a few
bucketed lengths: a handful of static shapes, each traced once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from runkit import InputError
from spactor_tf.config.search_options import SearchOptions
from spactor_tf.data.encoding import encode_texts
from spactor_tf.data.vocabulary import PAD_ID, Vocabulary
from spactor_tf.finetune.mixture import bucket_length
from spactor_tf.inference import token_search
from spactor_tf.inference.decoding import CachedDecoder, label_targets
from spactor_tf.model import t5
from spactor_tf.tasks import Example, Task


class Predictor:
    """Answers of a model to texts.

    It reads the backbone's weights as they are when it is called, so one
    predictor serves all evaluations of a run and keeps its traces.

    Args:
        backbone: the model.
        vocabulary: its vocabulary.
        input_length: most tokens read of an input, EOS included.
        target_length: most tokens read of an option or generated, EOS
            included.
        batch_size: inputs per call.
        search: how text is generated; `max_output_length` is overridden.
        max_logits: numbers in the logits of one call; many long options make
            smaller calls. The default is 1 GiB of float32.

    Attributes:
        encode: (tokens, mask), both [batch, length] int32, to the encoder's
            states [batch, length, hidden_dim]; called once for each batch.
    """

    def __init__(
        self,
        backbone: t5.Backbone,
        vocabulary: Vocabulary,
        input_length: int = 512,
        target_length: int = 128,
        batch_size: int = 64,
        search: SearchOptions | None = None,
        max_logits: int = 1 << 28,
    ):
        self._vocabulary = vocabulary
        self._input_length, self._target_length = input_length, target_length
        self._batch_size, self._max_logits = batch_size, max_logits
        search = search or SearchOptions()
        decoder = CachedDecoder(backbone)
        encoder = t5.build_encoder(backbone)

        def encode(tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
            names = ("encoder_token_ids", "encoder_padding_mask")
            inputs = dict(zip(names, (tokens, mask), strict=True))
            return encoder(inputs, training=False)

        self.encode: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = encode

        def score(tokens: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
            mask = tf.cast(tokens != PAD_ID, tf.int32)
            states = self.encode(tokens, mask)
            return decoder.score_targets(targets, states, mask)

        def generate(tokens: tf.Tensor, length: int) -> tf.Tensor:
            mask = tf.cast(tokens != PAD_ID, tf.int32)
            answer, _ = token_search.generate(
                decoder,
                dataclasses.replace(search, max_output_length=length),
                vocabulary.size,
                tf.reduce_sum(tf.cast(tokens, tf.int64), axis=1),
                self.encode(tokens, mask),
                mask,
            )
            return answer

        self._score = tf.function(score, autograph=False)
        self._generate = tf.function(generate, autograph=False)

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
        targets = self._targets(options)
        shared = len(targets) == 1
        count, length = targets.shape[1:]
        scores = np.zeros((len(texts), count), np.float32)
        room = self._max_logits // (count * length * self._vocabulary.size)
        for rows, tokens in self._batches(
            texts, max(1, min(self._batch_size, room))
        ):
            if shared:
                chosen = targets[0]
            else:
                chosen = np.full((len(tokens), count, length), PAD_ID, np.int32)
                chosen[: len(rows)] = targets[rows]
            values = _call(self._score, tokens, tf.constant(chosen))
            scores[rows] = values.numpy()[: len(rows)]
        counts = np.array([len(own) for own in options])
        missing = np.arange(count) >= counts[:, np.newaxis]
        return np.where(missing, np.float32(-np.inf), scores)

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
            max_length: most tokens of an answer, EOS included; None is
                `target_length`.
        """
        length = min(max_length or self._target_length, self._target_length)
        answers = [""] * len(texts)
        for rows, tokens in self._batches(texts, self._batch_size):
            ids = _call(self._generate, tokens, length=length).numpy()
            for row, answer in zip(rows, ids[: len(rows)], strict=True):
                answers[row] = self._vocabulary.decode(answer)
        return answers

    def predict(
        self, task: Task, examples: Sequence[Example], method: str = "auto"
    ) -> list[str]:
        """Returns the model's answer to each example of a task.

        Args:
            task: the task whose options are ranked.
            examples: of the task, labeled or not.
            method: "rank", "generate", or "auto": rank where there are
                options.

        Raises:
            InputError: "rank", and the task has no options.
        """
        is_ranked = ranked_examples(task, examples, method)
        ranked = np.flatnonzero(is_ranked).tolist()
        free = np.flatnonzero(~is_ranked).tolist()
        longest = None
        if len(free) and task.label_words:
            # Any longer answer is wrong anyway.
            longest = label_targets(self._vocabulary, task.label_words).shape[1]
        answers = np.empty(len(examples), object)
        answers[ranked] = self.rank(
            [examples[row].inputs for row in ranked],
            [task.options(examples[row]) for row in ranked],
        )
        answers[free] = self.generate(
            [examples[row].inputs for row in free], longest
        )
        return answers.tolist()

    def _batches(
        self, texts: Sequence[str], size: int
    ) -> Iterator[tuple[np.ndarray, tf.Tensor]]:
        """Yields (rows, tokens) in the order of length.

        Tokens are [size, bucket] int32; the last batch is filled up with rows
        of padding, whose answers are to be dropped.
        """
        inputs = encode_texts(self._vocabulary, texts, self._input_length)
        order = np.argsort(inputs.lengths(), kind="stable")
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            longest = int(inputs.lengths(rows).max())
            length = bucket_length(longest, self._input_length)
            tokens = np.full((size, length), PAD_ID, np.int32)
            tokens[: len(rows)] = inputs.padded(length, rows)
            yield rows, tf.constant(tokens)

    def _targets(self, options: Sequence[Sequence[str]]) -> np.ndarray:
        """Returns tokens of the options, [texts, options, length] int32.

        One row stands for all texts where all have the same options.
        """
        distinct = {tuple(own) for own in options}
        sets = list(distinct) if len(distinct) == 1 else options
        flat = [text for own in sets for text in own]
        rows = encode_texts(self._vocabulary, flat, self._target_length)
        counts = np.array([len(own) for own in sets], np.int64)
        width, length = int(counts.max()), int(rows.lengths().max())
        targets = np.full((len(sets), width, length), PAD_ID, np.int32)
        targets[np.arange(width) < counts[:, np.newaxis]] = rows.padded(length)
        return targets


def _call(
    function: tf.types.experimental.PolymorphicFunction,
    *tensors: tf.Tensor,
    **constants: int,
) -> tf.Tensor:
    """Calls a function traced once for each shape.

    The function itself would warn of the few traces that bucketing intends.
    """
    return function.get_concrete_function(*tensors, **constants)(*tensors)


def ranked_examples(
    task: Task, examples: Sequence[Example], method: str
) -> np.ndarray:
    """Returns which examples are answered by ranking options.

    Args:
        task: the task whose options they would be.
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
            where=f"--task={task.name}",
            remedy="Give --method=generate",
        )
    return has_options
