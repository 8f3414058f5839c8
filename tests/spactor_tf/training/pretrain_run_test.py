"""Runs from a corpus to a preset: exact resume, refusals, use of the result."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from unittest import mock

import keras
import numpy as np
from absl.testing import absltest, parameterized
from sentencepiece import sentencepiece_model_pb2

from runkit import InputError
from runkit.errors import InterruptedRun
from spactor_tf.config.fields import from_dict, override
from spactor_tf.data.corruption import corruption_lengths
from spactor_tf.data.vocabulary import train_vocabulary
from spactor_tf.inference import pretrained
from spactor_tf.training import pretrain_run as training
from spactor_tf.training.metrics_log import MetricsLog, read_metrics
from tests.support import testing

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Crash(BaseException):
    """Stands for the end of the process."""


def crash_at(calls):
    """Patches the log so that the process "dies" at the n-th step."""
    add, count = MetricsLog.add, iter(range(1, 1000))

    def dying(self, metrics):
        what = calls.get(next(count))
        if what == "sigterm":
            os.kill(os.getpid(), signal.SIGTERM)
        elif what == "crash":
            raise Crash
        add(self, metrics)

    return mock.patch.object(MetricsLog, "add", dying)


class RunTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = pathlib.Path(folder.name)
        cls.config = testing.tiny_config(
            **{
                "data.dataset": testing.write_corpus(cls.base),
                "objective.transition_step": 4,
                "runtime.checkpoint_every": 2,
                "runtime.log_every": 3,
                "model.dropout": 0.1,
            }
        )
        cls.whole = cls.run_once("whole")

    @classmethod
    def run_once(cls, name, config=None, callbacks=()):
        return training.pretrain(
            config or cls.config,
            cls.base / name,
            cls.base / "cache",
            callbacks=callbacks,
        )

    def test_interrupted_runs_compute_the_same_bits(self):
        """Once by SIGTERM in stage 1, once killed in stage 2."""
        with crash_at({3: "sigterm"}), self.assertRaises(InterruptedRun):
            self.run_once("broken")
        with crash_at({4: "crash"}), self.assertRaises(Crash):
            self.run_once("broken")  # Dies at step 7, one behind the save.
        folder = self.run_once("broken")
        self.assertEqual(
            testing.without_timings(folder), testing.without_timings(self.whole)
        )
        mine, whole = (
            testing.final_arrays(folder),
            testing.final_arrays(self.whole),
        )
        self.assertEqual(set(mine), set(whole))
        for name, value in whole.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)

    def test_a_callback_sees_all_lines_and_can_stop_the_run(self):
        """Stopped at the line of step 4, and then at none."""

        class Watcher(keras.callbacks.Callback):
            def __init__(self, last):
                super().__init__()
                self.last, self.seen = last, []

            def on_train_batch_end(self, batch, logs=None):
                self.seen.append({"step": batch, **logs})
                self.model.stop_training = batch == self.last

        first, second = Watcher(4), Watcher(8)
        with self.assertRaisesRegex(InterruptedRun, "saved at step 4"):
            self.run_once("watched", callbacks=[first])
        folder = self.run_once("watched", callbacks=[second])
        lines = read_metrics(folder / "metrics.jsonl")
        seen = [*first.seen, *second.seen]
        self.assertEqual(
            seen, [{k: v for k, v in r.items() if k != "stage"} for r in lines]
        )
        self.assertEqual([r["step"] for r in seen], [3, 4, 6, 8])
        self.assertEqual(second.params["first_step"], 4)
        mine, whole = map(testing.final_arrays, (folder, self.whole))
        for name, value in whole.items():
            np.testing.assert_array_equal(mine[name], value, err_msg=name)
        with self.assertRaisesRegex(InputError, "callbacks: is not a callback"):
            self.run_once("never", callbacks=[Watcher])
        self.assertFalse((self.base / "never").exists())

    def test_metrics_tell_stage_losses_and_heldout_figures(self):
        records = testing.without_timings(self.whole)
        self.assertEqual([r["step"] for r in records], [3, 4, 6, 8])
        self.assertEqual(
            [r["stage"] for r in records],
            ["hybrid"] * 2 + ["span_corruption"] * 2,
        )
        for record in records:
            self.assertIn("loss", record)
            self.assertIn("flops", record)
        self.assertIn("heldout_mlm_accuracy", records[1])
        self.assertIn("heldout_sc_loss", records[3])
        self.assertNotIn("mlm_loss", records[2])

    def test_every_line_tells_rate_norm_and_tokens(self):
        lengths = corruption_lengths(self.config.corruption)
        tokens = 4 * (lengths.input_length + lengths.target_length)
        optimizer = self.config.optimizer
        self.assertEqual(optimizer.schedule, "inverse_sqrt")
        rate = optimizer.learning_rate / optimizer.decay_start_step**0.5
        for record in testing.without_timings(self.whole):
            self.assertGreater(record["gradient_norm"], 0.0)
            # Both steps of the warm-up are over at the first line.
            self.assertAlmostEqual(record["learning_rate"], rate, places=7)
            self.assertEqual(record["tokens_seen"], record["step"] * tokens)

    def test_run_directory_is_complete(self):
        names = {path.name for path in self.whole.iterdir()}
        self.assertContainsSubset(
            {
                "config.json",
                "metrics.jsonl",
                "checkpoints",
                "preset",
                "report.html",
                "tensorboard",
                "sc_loss.png",
            },
            names,
        )
        page = (self.whole / "report.html").read_text(encoding="utf-8")
        self.assertIn("data:image/png;base64,", page)
        self.assertIn("&lt;extra_id_0&gt;", page)
        for link in ("http://", "https://", 'src="/'):
            self.assertNotIn(link, page)
        again = from_dict(json.loads((self.whole / "config.json").read_text()))
        self.assertEqual(again, self.config)

    def test_another_configuration_is_refused_with_the_difference(self):
        other = override(self.config, {"seed": 1})
        before = (self.whole / "metrics.jsonl").read_bytes()
        with self.assertRaisesRegex(InputError, "seed: 0 -> 1"):
            self.run_once("whole", other)
        self.assertEqual((self.whole / "metrics.jsonl").read_bytes(), before)

    def test_a_finished_run_only_writes_its_results_again(self):
        shutil.copytree(self.whole, self.base / "again")
        before = testing.without_timings(self.whole)
        runtime = dataclasses.replace(self.config.runtime, keep_last=2)
        self.run_once(
            "again", dataclasses.replace(self.config, runtime=runtime)
        )
        self.assertEqual(testing.without_timings(self.base / "again"), before)

    def test_bad_input_writes_nothing(self):
        cases = {
            "batch": ({"batch_size": 3, "accumulation_steps": 2}, "divisible"),
            "corpus": ({"corruption.input_length": 1900}, "sentinels"),
            "short": (
                {"corruption.input_length": 1700, "data.max_documents": 40},
                "shorter than one",
            ),
            "rows": (
                {"data.vocabulary": str(self.base / "no")},
                "no such|read",
            ),
            "init": ({"init_from": str(self.base)}, "neither a run"),
            "glob": ({"data.dataset": "text:/nope/*"}, "no file matches"),
        }
        for name, (fields, message) in cases.items():
            with self.subTest(name):
                config = override(self.config, fields)
                with self.assertRaisesRegex(InputError, message):
                    self.run_once(f"bad-{name}", config)
                self.assertFalse((self.base / f"bad-{name}").exists())

    def test_preset_opens_in_a_process_without_this_package(self):
        code = (
            "import sys, keras_hub\n"
            "lm = keras_hub.models.T5Seq2SeqLM.from_preset(sys.argv[1])\n"
            "out = lm.generate(['dan <extra_id_0> me'], max_length=8)\n"
            "assert isinstance(out[0], str), out\n"
            "mine = [m for m in sys.modules if m.startswith('spactor')]\n"
            "assert not mine, mine\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", code, str(self.whole / "preset")],
            cwd=self.base,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stderr[-2000:])

    def test_load_pretrained_gives_the_trained_weights(self):
        model = pretrained.load_pretrained(self.whole)
        self.assertEqual(model.config, self.config)
        embedding = testing.final_arrays(self.whole)["model/00000"]
        np.testing.assert_array_equal(
            model.backbone.token_embedding.embeddings, embedding
        )
        vectors = model.embed(["some text", "some text", "another one"])
        self.assertEqual(vectors.shape, (3, self.config.model.hidden_dim))
        np.testing.assert_array_equal(vectors[0], vectors[1])
        self.assertLen(model.fill(["dan <extra_id_0> me"], max_span=8), 1)

    def test_a_swapped_vocabulary_is_refused(self):
        folder = self.base / "swapped"
        shutil.copytree(self.whole / "preset", folder)
        path = folder / "assets" / "tokenizer" / "vocabulary.spm"
        proto = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
        first, second = proto.pieces[300], proto.pieces[301]
        first.piece, second.piece = second.piece, first.piece
        path.write_bytes(proto.SerializeToString())
        with self.assertRaisesRegex(InputError, "trained with"):
            pretrained.load_pretrained(folder)

    def test_a_run_starts_from_a_preset(self):
        config = override(
            self.config,
            {
                "init_from": str(self.whole),
                "train_steps": 1,
                "objective.name": "span_corruption",
            },
        )
        run = training.Run(config, self.base / "next", self.base / "cache")
        for ours, theirs in zip(
            run.model.backbone.get_weights(),
            pretrained.load_pretrained(self.whole).backbone.get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)

    def started(self, **fields):
        """A run from the weights of the whole one, not yet executed."""
        config = override(self.config, {"init_from": str(self.whole), **fields})
        return training.Run(config, self.base / "next", self.base / "cache")

    @parameterized.parameters(
        ({"model.num_layers": 3}, "num_layers: 3 -> 1"),
        ({"model.activation": "gated_gelu"}, "activation"),
    )
    def test_sizes_that_the_start_weights_lack_are_refused(self, fields, what):
        with self.assertRaisesRegex(InputError, f"--init_from.*{what}"):
            self.started(**fields)
        self.assertFalse((self.base / "next").exists())

    def test_only_the_vocabulary_of_the_start_weights_is_taken(self):
        own = self.base / "own.model"
        own.write_bytes(pretrained.load_pretrained(self.whole).vocabulary.proto)
        self.started(**{"data.vocabulary": str(own)})
        other = self.base / "other.model"
        other.write_bytes(
            train_vocabulary(testing.documents(seed=5), 512).proto
        )
        with self.assertRaisesRegex(InputError, "--vocabulary"):
            self.started(**{"data.vocabulary": str(other)})

    def test_an_unfinished_run_is_named_as_such(self):
        folder = self.base / "unfinished"
        (folder / "checkpoints").mkdir(parents=True)
        with self.assertRaisesRegex(InputError, "not finished"):
            pretrained.load_pretrained(folder)


if __name__ == "__main__":
    absltest.main()
