from .project import Batch as Batch
from .project import Project as Project
from .settings import Settings as Settings
from .state import State as State
