from .classifier_module import ClassifierModule as ClassifierModule
from .options import ServingOptions as ServingOptions
from .t5_module import ServingModule as ServingModule
from .text_module import TextModule as TextModule
