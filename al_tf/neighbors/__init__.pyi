from .exact_index import ExactIndex as ExactIndex
from .protocol import NeighborIndex as NeighborIndex
from .protocol import Neighbors as Neighbors
from .protocol import Probe as Probe
from .scann_index import ScannIndex as ScannIndex
