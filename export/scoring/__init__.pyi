from .pool_texts import pool_texts as pool_texts
from .scorer import PoolScores as PoolScores
from .scorer import score_pool as score_pool
