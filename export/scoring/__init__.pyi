from .scorer import PoolScores as PoolScores
from .scorer import score_pool as score_pool
from .texts import pool_texts as pool_texts
