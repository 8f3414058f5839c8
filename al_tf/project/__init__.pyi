from .project import Batch as Batch
from .project import Project as Project
from .record.state import State as State
from .settings import Settings as Settings
