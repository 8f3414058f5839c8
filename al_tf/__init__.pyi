__version__: str

from .clustering.build import cluster_embeddings as cluster_embeddings
from .clustering.result import Clustering as Clustering
from .clustering.result import load_clustering as load_clustering
from .selection.candidates import PoolExhausted as PoolExhausted
from .selection.cluster_margin import select_batch as select_batch
from .selection.margins import margin_scores as margin_scores
from .selection.margins import (
    multilabel_margin_scores as multilabel_margin_scores,
)
from .selection.pool import Pool as Pool
from .selection.strategies import STRATEGIES as STRATEGIES
