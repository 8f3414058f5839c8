from .config import LoopConfig as LoopConfig
from .label_store import LabelStore as LabelStore
from .loop import Loop as Loop
from .oracles import LabelOracle as LabelOracle
from .oracles import Oracle as Oracle
from .oracles import PeopleOracle as PeopleOracle
