__version__: str

from . import classifier as classifier
from . import config as config
from . import data as data
from . import finetune as finetune
from . import inference as inference
from . import model as model
from . import planning as planning
from . import tasks as tasks
from . import training as training
from .config.finetune import FinetuneConfig as FinetuneConfig
from .config.presets import PRESETS as PRESETS
from .config.presets import get_preset as get_preset
from .config.pretrain import PretrainConfig as PretrainConfig
from .data.corpus import prepare_corpus as prepare_corpus
from .data.vocabulary import Vocabulary as Vocabulary
from .data.vocabulary import train_vocabulary as train_vocabulary
from .finetune.predictor import Predictor as Predictor
from .inference.pretrained import load_pretrained as load_pretrained
from .model.pretrainer import SpactorPretrainer as SpactorPretrainer
from .training.adafactor import Adafactor as Adafactor
from .training.pretrain_run import pretrain as pretrain
