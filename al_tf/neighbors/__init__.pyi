from .exact_index import ExactIndex as ExactIndex
from .protocol import NeighborIndex as NeighborIndex
from .protocol import Neighbors as Neighbors
from .scann_index import ScannIndex as ScannIndex
