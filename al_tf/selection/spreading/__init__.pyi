from .cluster_allocation import (
    cluster_allocation_batch as cluster_allocation_batch,
)
from .greedy_cover import greedy_cover as greedy_cover
from .herding import max_herding_batch as max_herding_batch
from .herding import u_herding_batch as u_herding_batch
from .high_margins import (
    cluster_margin_mixed_batch as cluster_margin_mixed_batch,
)
from .lists import NeighborGraph as NeighborGraph
from .lists import neighbor_graph as neighbor_graph
from .lists import neighbor_lists as neighbor_lists
from .prob_cover import prob_cover_batch as prob_cover_batch
from .seals import seals_batch as seals_batch
from .typi_clust import typi_clust_batch as typi_clust_batch
