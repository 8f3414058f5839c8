"""The trackers' recipes of the documents send what they are given.

Stand-ins record the calls: the trackers themselves are not dependencies.
"""

import pathlib
import re
import sys
import types
from unittest import mock

from absl.testing import absltest

from spactor_tf.training.monitoring import check_callbacks, watched_by

ROOT = pathlib.Path(__file__).absolute().parents[2]
PAGE = ROOT / "docs" / "how_to" / "track_runs.md"
LINES = [(50, {"loss": 2.5, "tokens_seen": 4096}), (100, {"loss": 1.5})]


def recipe(name, module):
    """The class of that name on the page, with a stand-in for its tracker."""
    (code,) = [
        block
        for block in re.findall(
            r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S
        )
        if f"class {name}" in block
    ]
    names: dict = {}
    with mock.patch.dict(sys.modules, {module[0]: module[1]}):
        exec(compile(code, str(PAGE), "exec"), names)
    return names[name]


def run(callback):
    check_callbacks([callback])
    with watched_by([callback], mock.Mock(), 0, 100) as watchers:
        for step, figures in LINES:
            watchers.on_train_batch_end(step, figures)


class RecipesTest(absltest.TestCase):
    def test_weights_and_biases(self):
        wandb = mock.Mock(spec_set=["init"])
        logger = recipe("WandbLogger", ("wandb", wandb))
        run(logger("mine", {"seed": 1}))
        wandb.init.assert_called_once_with(
            project="spactor",
            id="mine",
            name="mine",
            config={"seed": 1},
            resume="allow",
        )
        self.assertEqual(
            wandb.init.return_value.method_calls,
            [mock.call.log(f, step=s) for s, f in LINES] + [mock.call.finish()],
        )

    def test_mlflow(self):
        mlflow = mock.Mock()
        mlflow.start_run.return_value = types.SimpleNamespace(
            info=types.SimpleNamespace(run_id="7")
        )
        callback = recipe("MlflowLogger", ("mlflow", mlflow))(
            "mine", {"model": {"dropout": 0.1}, "seed": 1}
        )
        run(callback)
        run(callback)  # Goes on in the same run, with the same parameters.
        calls = [mock.call.log_metrics(f, step=s) for s, f in LINES]
        self.assertEqual(
            mlflow.method_calls,
            [
                mock.call.start_run(run_id=None, run_name="mine"),
                mock.call.log_params({"model.dropout": 0.1, "seed": 1}),
                *calls,
                mock.call.end_run(),
                mock.call.start_run(run_id="7", run_name="mine"),
                *calls,
                mock.call.end_run(),
            ],
        )


if __name__ == "__main__":
    absltest.main()
