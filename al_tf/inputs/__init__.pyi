from .embeddings import Embeddings as Embeddings
from .embeddings import normalized as normalized
from .embeddings import open_embeddings as open_embeddings
