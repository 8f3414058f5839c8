"""A toy task and runs on it, for the tests of fine-tuning."""

import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl.testing import parameterized

from spactor_tf.config.fields import override
from spactor_tf.config.finetune import FinetuneConfig
from spactor_tf.finetune import run as finetune
from tests.support import toy_task

FIELDS = {
    "task": "toy",
    "train_steps": 12,
    "batch_size": 8,
    "optimizer.learning_rate": 0.02,
    "evaluation.eval_every": 4,
    "evaluation.batch_size": 8,
    "runtime.checkpoint_every": 3,
    "runtime.log_every": 3,
    "data.input_length": 32,
    "data.target_length": 8,
}


class Base(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = pathlib.Path(folder.name)
        cls.enterClassContext(toy_task.registered())
        toy_task.write_data(cls.base)
        toy_task.write_data(cls.base, "other", (10, 12, 5), seed=1)
        toy_task.write_data(cls.base, "words", (12, 6, 3), seed=2)
        toy_task.save_preset(cls.base / "start")

    @classmethod
    def config(cls, **fields):
        fields = {"init_from": str(cls.base / "start"), **FIELDS, **fields}
        return override(FinetuneConfig(), fields)

    @classmethod
    def run_once(cls, name, config=None):
        return finetune.finetune(
            config or cls.config(), cls.base / name, cls.base
        )
