from .scorer import PoolScores as PoolScores
from .scorer import score_pool as score_pool
