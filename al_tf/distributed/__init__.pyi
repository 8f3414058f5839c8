from .cluster import DistributedClusters as DistributedClusters
from .cluster import Layout as Layout
from .cluster import cluster_shards as cluster_shards
from .engine import Engine as Engine
from .engine import LocalEngine as LocalEngine
from .stages.preparation import Shard as Shard
