from .memory import StageMemory as StageMemory
from .memory import stage_memory as stage_memory
from .parameters import num_parameters as num_parameters
from .parameters import parameter_shapes as parameter_shapes
from .plan import Hardware as Hardware
from .plan import Plan as Plan
from .plan import make_plan as make_plan
