__version__: str

from .clustering.build import cluster_embeddings as cluster_embeddings
from .clustering.result import Clustering as Clustering
from .clustering.result import load_clustering as load_clustering
from .inputs.pool_files import read_pool as read_pool
from .selection.candidates import PoolExhausted as PoolExhausted
from .selection.cluster_margin import select_batch as select_batch
from .selection.margins import margin_scores as margin_scores
from .selection.margins import (
    multilabel_margin_scores as multilabel_margin_scores,
)
from .selection.strategies import STRATEGIES as STRATEGIES
from .selection.strategies import Pool as Pool
