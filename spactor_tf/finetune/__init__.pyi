from .mixture import Mixture as Mixture
from .predictor import Predictor as Predictor
from .run import FinetuneRun as FinetuneRun
from .run import finetune as finetune
from .seeds import finetune_seeds as finetune_seeds
