from .build import cluster_embeddings as cluster_embeddings
from .result import Clustering as Clustering
from .store import load_clustering as load_clustering
from .store import save_clustering as save_clustering
