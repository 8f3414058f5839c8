__version__: str

from . import clustering as clustering
from . import distributed as distributed
from . import duplicates as duplicates
from . import inputs as inputs
from . import label_page as label_page
from . import label_tools as label_tools
from . import learners as learners
from . import loop as loop
from . import neighbors as neighbors
from . import pools as pools
from . import project as project
from . import protocols as protocols
from . import selection as selection
from .clustering.build import cluster_embeddings as cluster_embeddings
from .clustering.result import Clustering as Clustering
from .clustering.result import load_clustering as load_clustering
from .duplicates.find import find_duplicates as find_duplicates
from .inputs.pool_files import read_pool as read_pool
from .project.project import Project as Project
from .protocols.active_learner import ActiveLearner as ActiveLearner
from .selection.candidates import PoolExhausted as PoolExhausted
from .selection.cluster_margin import select_batch as select_batch
from .selection.margins import margin_scores as margin_scores
from .selection.margins import (
    multilabel_margin_scores as multilabel_margin_scores,
)
from .selection.pool import Pool as Pool
from .selection.strategies import STRATEGIES as STRATEGIES
