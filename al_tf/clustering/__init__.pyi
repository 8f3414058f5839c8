from .build import cluster_embeddings as cluster_embeddings
from .build import cluster_pool as cluster_pool
from .options import ClusteringOptions as ClusteringOptions
from .result import Clustering as Clustering
from .result import load_clustering as load_clustering
from .store import is_clustering as is_clustering
