"""The experiments with the loop: their commands and their table."""

import pathlib
import string
from unittest import mock

import numpy as np
from absl import flags
from absl.testing import absltest, flagsaver, parameterized

from al_tf.active_learning_main import LEARNERS
from al_tf.loop.config import LoopConfig
from al_tf.pools import held_out
from al_tf.pools.pool import KINDS
from al_tf.selection.strategies import STRATEGIES
from benchmarks.active_learning import labels as al_labels
from benchmarks.active_learning import loop as al_loop
from runkit.datasets.prepared_data import split_spec

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

    @parameterized.parameters(*al_loop.EXPERIMENTS)
    def test_test_set_is_one_that_can_be_read(self, name):
        options = al_loop.EXPERIMENTS[name].options
        if "test" not in options:
            return  # TFDS's own split.
        source = held_out.source_of_test(options["dataset"], options["test"])
        kind, _, rest = source.partition(":")
        self.assertIn(kind, KINDS)
        if kind == "tfds":
            self.assertLen(split_spec(rest), 2)

    @parameterized.parameters(*al_loop.EXPERIMENTS)
    def test_notes_hold_no_typed_figure(self, name):
        fields = string.Formatter().parse(al_loop.EXPERIMENTS[name].note)
        self.assertNotRegex("".join(text for text, *_ in fields), r"[0-9]")

    def write_npz(self, **arrays):
        path = pathlib.Path(self.create_tempdir().full_path) / "pool.npz"
        np.savez(path, **arrays)
        return f"npz:{path}"

    def config(self, **change):
        return {
            "pool": {"examples": 1200},
            "test": {"examples": 3400},
            "batch_size": 6,
            "margin_batch_size": None,
            "near_copies": 0,
            "train_steps": None,
            "train_epochs": None,
            "text_length": 77,
            "learner": "linear",
            **change,
        }

    def note(self, name, config):
        counted = al_loop.counted(config)
        return al_loop.EXPERIMENTS[name].note.format(**config, **counted)

    def test_note_of_near_copies(self):
        dataset = self.write_npz(
            embeddings=np.zeros((23, 2)), labels=np.arange(23) % 2
        )
        config = self.config(
            dataset=dataset, near_copies=9, margin_batch_size=360
        )
        note = self.note("near_copies_digits", config)
        for part in (
            "9 near-copies",
            "of 23 examples",
            "1,200 examples",
            "batches of 0.5%",
            "3,400 originals",
            "is 30% of",
        ):
            self.assertIn(part, note)

    def test_note_of_images_counts_the_weights(self):
        dataset = self.write_npz(
            images=np.zeros((6, 8, 8, 1), np.uint8), labels=np.arange(6) % 3
        )
        config = self.config(dataset=dataset, learner="image", train_steps=4321)
        config["train_epochs"] = 7.0
        note = self.note("cifar10", config)
        self.assertIn(" 7 passes over", note)
        self.assertIn(" 4,321 steps of 32", note)
        # By hand: nine weights an edge of a 3x3 convolution, scale and shift
        # of each channel behind it, and the dense layer.
        edges = [1 * 16, 16 * 16, 16 * 16, 16 * 32, 32 * 32, 32 * 64, 64 * 64]
        shortcuts = 16 * 32 + 32 * 64
        scaled = [16, 16, 16, 32, 32, 32, 64, 64, 64]
        weights = 9 * sum(edges) + shortcuts + 2 * sum(scaled) + 64 * 3 + 3
        self.assertIn(f"of {weights:,} weights", note)

    def test_note_of_texts(self):
        config = self.config(learner="text", train_steps=55)
        note = self.note("imdb", config)
        for part in ("77 tokens", "55 steps of 32", "3,400 reviews"):
            self.assertIn(part, note)

    def test_command_names_no_machine(self):
        options = {"dataset": "npz:{digits}", "init_from": "/some/where"}
        self.assertEqual(
            al_loop.shown(options),
            "python -m al_tf.active_learning_main --dataset=npz:digits.npz "
            "--init_from=RUN",
        )

    def test_labels_are_counted_in_folders_of_their_own(self):
        root = pathlib.Path(self.create_tempdir().full_path)
        (root / "curves.csv").write_text(_CSV)
        rows, folders = al_loop.read_curves(root / "curves.csv"), []

        def run(folder, options):
            folders.append(folder.with_suffix(".seconds.json"))
            self.assertContainsSubset({"batch_size", "rounds"}, options)
            return rows, 1.0

        if not flags.FLAGS.is_parsed():
            flags.FLAGS(["test"])
        with (
            flagsaver.flagsaver(output_root=str(root)),
            mock.patch.object(al_loop, "run", run),
            mock.patch.object(al_labels.harness, "record") as record,
        ):
            al_labels.main(["al_labels"])
        self.assertLen(set(folders), 4)
        self.assertEqual({folder.parent for folder in folders}, {root})
        self.assertLen(record.call_args.args[1], 4)

    def test_table(self):
        path = pathlib.Path(self.create_tempdir().full_path) / "curves.csv"
        path.write_text(_CSV)
        margin, random = al_loop.table(al_loop.read_curves(path), (0.5, 0.7))
        self.assertEqual(margin["labels to 0.5"], "10")
        self.assertEqual(margin["/ random (0.5)"], 1)
        self.assertEqual(margin["labels to 0.7"], "20")
        self.assertEqual(random["labels to 0.7"], "never")
        self.assertIsNone(margin["/ random (0.7)"])
        self.assertEqual(margin["final accuracy"], "0.8000")
        self.assertEqual(margin["CPU s a selection"], 0.2)
        self.assertEqual(random["clusters in a batch"], 6)


if __name__ == "__main__":
    absltest.main()
