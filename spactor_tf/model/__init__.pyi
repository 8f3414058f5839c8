from .curriculum import Stage as Stage
from .curriculum import stage_at as stage_at
from .generator import Generator as Generator
from .generator import ReplacedTokenHead as ReplacedTokenHead
from .losses import LossTerm as LossTerm
from .pretrainer import SpactorPretrainer as SpactorPretrainer
from .t5 import build_backbone as build_backbone
from .t5 import build_encoder as build_encoder
