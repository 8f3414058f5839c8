from .active_learner import ActiveLearner as ActiveLearner
