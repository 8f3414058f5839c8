__version__: str

from . import c_api as c_api
from . import dev_server as dev_server
from . import formats as formats
from . import modules as modules
from . import saved_model as saved_model
from . import scoring as scoring
from . import servables as servables
from .client import Client as Client
from .formats.write import export_format as export_format
from .modules.options import ServingOptions as ServingOptions
from .modules.t5_module import ServingModule as ServingModule
from .saved_model.neighbor_index import (
    export_neighbor_index as export_neighbor_index,
)
from .saved_model.session import SessionModel as SessionModel
from .saved_model.verify import verify_saved_model as verify_saved_model
from .saved_model.write import export_saved_model as export_saved_model
from .scoring.scorer import PoolScores as PoolScores
from .scoring.scorer import score_pool as score_pool
