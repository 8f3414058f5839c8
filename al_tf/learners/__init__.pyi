from .head_learner import HeadLearner as HeadLearner
from .image_learner import ImageLearner as ImageLearner
from .image_learner import ImageOptions as ImageOptions
from .protocol import Learner as Learner
