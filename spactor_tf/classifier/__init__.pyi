from .classifier import TextClassifier as TextClassifier
from .classifier import load_classifier as load_classifier
from .text_learner import TextLearner as TextLearner
from .text_learner import TextOptions as TextOptions
