from .model_config import ModelConfig as ModelConfig
from .model_manager import ModelManager as ModelManager
from .servable import Servable as Servable
