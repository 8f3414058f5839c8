"""The experiments with the loop: their commands and their table."""

import pathlib

from absl.testing import absltest, parameterized

from al_tf.active_learning_main import LEARNERS
from al_tf.baselines import STRATEGIES
from al_tf.loop_config import LoopConfig
from benchmarks import al_loop

_CSV = """strategy,seed,round,labels,accuracy,selection_seconds,\
average_precision,clusters_covered,batch_clusters,selection_cpu_seconds
margin,0,0,10,0.5,0.0,,5,,0.0
margin,0,1,20,0.8,0.1,,9,4,0.2
random,0,0,10,0.5,0.0,,5,,0.0
random,0,1,20,0.6,0.3,,9,6,0.4
"""


class ExperimentsTest(parameterized.TestCase):
    @parameterized.parameters(*al_loop.EXPERIMENTS)
    def test_settings_are_valid(self, name):
        options = dict(al_loop.EXPERIMENTS[name].options)
        self.assertIn(options["learner"], LEARNERS)
        strategies = tuple(options["strategies"].split(","))
        self.assertContainsSubset(strategies, STRATEGIES)
        fields = LoopConfig.__dataclass_fields__
        known = {k: v for k, v in options.items() if k in fields}
        known["strategies"] = strategies
        known["seeds"] = tuple(map(int, options["seeds"].split(",")))
        LoopConfig(**known).validate()

    def test_command_names_no_machine(self):
        options = {"dataset": "npz:{digits}", "init_from": "/some/where"}
        self.assertEqual(
            al_loop.shown(options),
            "python -m al_tf.active_learning_main --dataset=npz:digits.npz "
            "--init_from=RUN",
        )

    def test_table(self):
        path = pathlib.Path(self.create_tempdir().full_path) / "curves.csv"
        path.write_text(_CSV)
        margin, random = al_loop.table(al_loop.read_curves(path), (0.5, 0.7))
        self.assertEqual(margin["labels to 0.5"], "10")
        self.assertEqual(margin["/ random (0.5)"], 1)
        self.assertEqual(margin["labels to 0.7"], "20")
        self.assertEqual(random["labels to 0.7"], "never")
        self.assertIsNone(margin["/ random (0.7)"])
        self.assertEqual(margin["final accuracy"], "0.8000 +- 0.0000")
        self.assertEqual(margin["CPU s a selection"], 0.2)
        self.assertEqual(random["clusters in a batch"], 6)


if __name__ == "__main__":
    absltest.main()
