"""Serves the nearest examples of a pool: which cluster would a text fall in?

    neighbors               text [batch] string           (with a model)
    neighbors_of_embedding  embedding [batch, dim] float32
      -> example_ids [batch, k] int64, distances [batch, k] float32,
         cluster_id [batch] int64 (of the nearest example);
         ids [batch, k] string or int64, if the pool has ids

The search is exact and uses TensorFlow's own ops only, so that stock TF
Serving runs it. With `use_scann` it is approximate and faster; it then needs a
TF Serving that was built with ScaNN's ops, as the model card says.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export.modules.options import ServingOptions
from export.modules.text_module import TextModule
from export.saved_model.claim import claimed_version
from export.saved_model.write import (
    load_model,
    serving_module,
    write_version,
)
from runkit import InputError
from runkit.checks import require
from spactor_tf.classifier.classifier import TextClassifier
from spactor_tf.inference.pretrained import Pretrained

SCANN_OPS = ("Scann>ScannSearchBatched", "Scann>TensorsToScann")
# What a model card says about the search.
_EXACT_FACTS = {
    "kind": "nearest examples, exact",
    "server": "stock TF Serving",
    "custom_ops": [],
}
_SCANN_FACTS = {
    "kind": "nearest examples, approximate (ScaNN)",
    "server": "TF Serving built with ScaNN's ops",
    "custom_ops": list(SCANN_OPS),
}
_LEAVES_SEARCHED = 20  # Of about sqrt(rows) leaves.
_REORDERED = 100  # Candidates whose exact distance is computed.
_LEAST_FOR_SCANN = 1000


class NeighborModule(tf.Module):
    """Cosine neighbors among fixed embeddings.

    Args:
        embeddings: [rows, dim] float32 of norm 1, row i is example i.
        cluster_ids: [rows] integers.
        num_neighbors: k.
        text_module: embeds texts; None serves embeddings only.
        searcher: ScaNN's `ScannSearcher` over the embeddings; None searches
            exactly.
        ids: [rows] str or int, what files call the examples; None for none.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        cluster_ids: np.ndarray,
        num_neighbors: int,
        text_module: TextModule | None = None,
        searcher: Any = None,
        ids: Sequence[str] | Sequence[int] | None = None,
    ):
        super().__init__(name="neighbors")
        self._dim = embeddings.shape[1]
        self._num_neighbors = num_neighbors
        self._text_module = text_module
        self._clusters = tf.Variable(
            cluster_ids.astype(np.int64), trainable=False, name="cluster_ids"
        )
        self._ids = None
        if ids is not None:
            kind = tf.string if isinstance(ids[0], str) else tf.int64
            self._ids = tf.Variable(
                tf.constant(list(ids), kind), trainable=False, name="ids"
            )
        if searcher is None:
            self._index = tf.Variable(
                embeddings, trainable=False, name="embeddings"
            )
            self._scann = None
        else:
            self._scann = searcher.serialize_to_module()

    @property
    def num_bytes(self) -> int:
        """Size of all variables that the signatures read."""
        hidden = self._text_module.weights if self._text_module else []
        # By identity: the text module may track a part of its weights.
        distinct = {id(v): v for v in [*self.variables, *hidden]}.values()
        return sum(
            # Strings hold ScaNN's own settings and partitions.
            int(tf.reduce_sum(tf.strings.length(variable)))
            if variable.dtype == tf.string
            else variable.dtype.size * int(tf.size(variable))
            for variable in distinct
        )

    def signatures(self) -> dict[str, Any]:
        """Returns {signature name: concrete function}."""
        spec = tf.TensorSpec([None, self._dim], tf.float32, name="embedding")
        by_embedding = tf.function(
            self.neighbors_of_embedding, input_signature=[spec], autograph=False
        )
        found = {"neighbors_of_embedding": by_embedding}
        if self._text_module is not None:
            text = tf.TensorSpec([None], tf.string, name="text")
            found["neighbors"] = tf.function(
                self.neighbors, input_signature=[text], autograph=False
            )
        return {k: v.get_concrete_function() for k, v in found.items()}

    def neighbors(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the neighbors of each text's embedding."""
        assert self._text_module is not None
        embedding = self._text_module.embed(text)["embedding"]
        return self.neighbors_of_embedding(embedding)

    def neighbors_of_embedding(
        self, embedding: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the neighbors by cosine distance, 1 - cosine, ascending."""
        queries = tf.math.l2_normalize(embedding, axis=-1)
        if self._scann is None:
            products = tf.matmul(queries, self._index, transpose_b=True)
            similarity, ids = tf.math.top_k(products, self._num_neighbors)
        else:
            similarity, ids = self._approximate(queries)
        named = {} if self._ids is None else {"ids": tf.gather(self._ids, ids)}
        return {
            "example_ids": tf.cast(ids, tf.int64),
            "distances": 1.0 - similarity,
            "cluster_id": tf.gather(self._clusters, ids[:, 0]),
            **named,
        }

    def _approximate(self, queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        from scann.scann_ops.py import scann_ops

        # A handle created outside the function would not be saved.
        assert self._scann is not None
        searcher = scann_ops.ScannSearcher(self._scann.recreate_handle())
        # ScaNN refuses an empty batch: a row is added and removed again.
        batch = tf.shape(queries)[0]
        extra = tf.zeros([tf.cast(batch == 0, tf.int32), self._dim])
        ids, similarity = searcher.search_batched(
            tf.concat([queries, extra], 0),
            final_num_neighbors=self._num_neighbors,
        )
        shape = [-1, self._num_neighbors]  # ScaNN's op does not state it.
        similarity = tf.reshape(similarity, shape)[:batch]
        return similarity, tf.reshape(ids, shape)[:batch]


def export_neighbor_index(
    embeddings: np.ndarray,
    cluster_ids: np.ndarray,
    output_dir: str | os.PathLike,
    version: int | None = None,
    *,
    num_neighbors: int = 10,
    model: Pretrained | TextClassifier | str | os.PathLike | None = None,
    options: ServingOptions | None = None,
    use_scann: bool = False,
    model_name: str = "neighbors",
    ids: Sequence[str] | Sequence[int] | None = None,
    weights_sha256: str = "",
) -> pathlib.Path:
    """Exports the neighbors of a pool as `output_dir/version`, verified.

    Args:
        embeddings: [rows, dim] float, row i is example i.
        cluster_ids: [rows] int, from `al_tf.cluster_embeddings`.
        output_dir: base path of the served model.
        version: above 0; None means the next that no other export writes or
            has written.
        num_neighbors: neighbors returned for each query.
        model: what `export_saved_model` takes, the model that made the
            embeddings; with it, queries can be texts.
        options: of the text model.
        use_scann: approximate search for a TF Serving with ScaNN's ops.
        model_name: name under which it is served.
        ids: [rows] what files call the examples; answers then hold them too.
        weights_sha256: of the model that made the embeddings, as its card
            and `export.score_pool` have it; "" if that is not known.

    Returns:
        The directory of the version.

    Raises:
        InputError: arrays that do not fit together, embeddings of another
            model, or what `export_saved_model` refuses.
    """
    embeddings, cluster_ids = _checked(embeddings, cluster_ids, num_neighbors)
    require(
        ids is None or len(ids) == len(embeddings),
        "do not fit the embeddings",
        "ids",
        ids and len(ids),
        expected=f"{len(embeddings)} ids",
    )
    output_dir = pathlib.Path(output_dir)
    with claimed_version(output_dir, version, model_name) as number:
        text_module = None
        if model is not None:
            text_module = _text_module(model, options)
            _check_origin(text_module, embeddings, weights_sha256)
        searcher = (
            _scann_searcher(embeddings, num_neighbors) if use_scann else None
        )
        module = NeighborModule(
            embeddings, cluster_ids, num_neighbors, text_module, searcher, ids
        )
        card = {
            "model_name": model_name,
            "num_examples": len(embeddings),
            "num_neighbors": num_neighbors,
            # In units of four bytes, whatever the types.
            "parameters": module.num_bytes // 4,
            **(_SCANN_FACTS if use_scann else _EXACT_FACTS),
        }

        def inputs_for(signature: str, texts: list) -> dict[str, tf.Tensor]:
            if signature == "neighbors":
                return {"text": tf.constant(texts, tf.string)}
            rows = np.arange(len(texts)) % len(embeddings)
            return {"embedding": tf.constant(embeddings[rows], tf.float32)}

        return write_version(
            module, module.signatures(), output_dir, number, card, inputs_for
        )


def _text_module(
    model: Pretrained | TextClassifier | str | os.PathLike,
    options: ServingOptions | None,
) -> TextModule:
    """Returns the module that embeds the queries."""
    if isinstance(model, str | os.PathLike):
        model = load_model(model)
    return serving_module(model, options)


def _check_origin(
    module: TextModule, embeddings: np.ndarray, weights_sha256: str
) -> None:
    """Refuses embeddings of another model than the one of the queries."""
    require(
        module.hidden_dim == embeddings.shape[1],
        "are not from this model",
        "embeddings",
        embeddings.shape,
        expected=f"[rows, {module.hidden_dim}]",
    )
    if weights_sha256:
        require(
            module.weights_sha256 == weights_sha256,
            "were made by a model with other weights",
            "embeddings",
            weights_sha256[:16],
            expected=module.weights_sha256[:16],
            remedy="Score the pool with this model, or name the model that "
            "scored it",
        )


def _checked(
    embeddings: np.ndarray, cluster_ids: np.ndarray, num_neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns normalized embeddings and cluster ids that fit together."""
    embeddings = np.asarray(embeddings, np.float32)
    cluster_ids = np.asarray(cluster_ids)
    require(
        embeddings.ndim == 2 and len(embeddings) > 0,
        "are not a matrix with rows",
        "embeddings",
        embeddings.shape,
        expected="[rows, dim]",
    )
    require(
        cluster_ids.shape == embeddings.shape[:1]
        and np.issubdtype(cluster_ids.dtype, np.integer),
        "do not fit the embeddings",
        "cluster_ids",
        (cluster_ids.shape, str(cluster_ids.dtype)),
        expected=f"{len(embeddings)} integers",
    )
    require(
        0 < num_neighbors <= len(embeddings),
        "is out of range",
        "num_neighbors",
        num_neighbors,
        expected=f"1 to {len(embeddings)}",
    )
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    require(
        bool(np.isfinite(norms).all()),
        "are not finite",
        "embeddings",
        "nan or infinity",
    )
    return embeddings / np.maximum(norms, 1e-12), cluster_ids


def _scann_searcher(embeddings: np.ndarray, num_neighbors: int) -> Any:
    rows = len(embeddings)
    require(
        rows >= _LEAST_FOR_SCANN,
        "are too few for ScaNN",
        "embeddings",
        rows,
        expected=f">= {_LEAST_FOR_SCANN}",
        remedy="Use the exact search",
    )
    try:
        from scann.scann_ops.py import scann_ops
    except ImportError:
        raise InputError(
            "ScaNN is not installed",
            where="use_scann",
            remedy="pip install 'spactor-al[scann]'",
        ) from None
    leaves = round(rows**0.5)
    builder = scann_ops.builder(embeddings, num_neighbors, "dot_product")
    builder = builder.tree(leaves, min(leaves, _LEAVES_SEARCHED), rows)
    builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2)
    return builder.reorder(max(_REORDERED, 10 * num_neighbors)).build()
