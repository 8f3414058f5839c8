from .adafactor import Adafactor as Adafactor
from .adafactor import AdamW as AdamW
from .checkpointing import CheckpointStore as CheckpointStore
from .metrics_log import MetricsLog as MetricsLog
from .metrics_log import read_metrics as read_metrics
from .optimizers import build_optimizer as build_optimizer
from .pretrain_run import pretrain as pretrain
