"""The planning binary: what it prints and writes, and what it refuses."""

import contextlib
import io
import json

from absl.testing import parameterized

from runkit import InputError
from spactor_tf import plan_main
from spactor_tf.inference import save_pretrained
from tests.support import serving_models
from tests.support.isolated import FolderTestCase
from tests.support.testing import main_flags


class PlanMainTest(FolderTestCase):
    def plan(self, **values):
        printed = io.StringIO()
        with (
            main_flags(plan_main, **values),
            contextlib.redirect_stdout(printed),
        ):
            plan_main.main([])
        return printed.getvalue()

    def test_prints_and_writes_the_plan(self):
        path = self.folder / "plan.json"
        text = self.plan(
            preset="base",
            strategy="tpu",
            devices=8,
            dtype="mixed_bfloat16",
            accumulation_steps="16",
            peak_tflops=197.0,
            memory_gib=16.0,
            output=str(path),
        )
        plan = json.loads(path.read_text(encoding="utf-8"))
        self.assertEqual(
            [(s["stage"], s["steps"]) for s in plan["stages"]],
            [("hybrid", 120_000), ("span_corruption", 880_000)],
        )
        self.assertTrue(plan["fits"])
        self.assertIn("fits into 16 GiB", text)
        self.assertIn("on 8 device(s) at 40% of 197 TFLOP/s", text)
        for name in ("optimizer slots", "act. generator", "gradients", "peak"):
            self.assertIn(name, text)

    def test_says_what_it_does_not_know(self):
        text = self.plan(memory_gib=0.001)
        self.assertIn("give --peak_tflops", text)
        self.assertIn("does not fit into 0.001 GiB", text)

    def test_small_plans_have_small_units(self):
        small = [
            "train_steps=4",
            "batch_size=2",
            "corruption.input_length=16",
            "model.vocabulary_size=512",
            "model.hidden_dim=16",
            "generator.hidden_dim=16",
        ]
        text = self.plan(set=small, memory_gib=1.0, peak_tflops=100.0)
        self.assertRegex(text, "parameters  [1-9][0-9.]+ thousand\n")
        self.assertRegex(text, "memory      [1-9][0-9.]+ KiB fits into 1 GiB")
        self.assertRegex(text, "seconds     0.0 on 1 device")
        self.assertIn("; KiB on a device:", text)

    def test_takes_the_flags_of_the_run(self):
        run = {
            "output_dir": "runs/x",
            "dataset": "text:texts/*.txt",
            "steps_per_execution": "10",
            "jit_compile": "true",
        }
        self.assertEqual(self.plan(**run), self.plan())

    def test_columns_stand_below_each_other(self):
        rows = [li for li in self.plan().splitlines() if li.startswith("  ")]
        self.assertLen(set(map(len, rows)), 1)

    def test_sizes_come_with_the_weights(self):
        model = serving_models.pretrained()
        path = self.folder / "model"
        save_pretrained(path, model.backbone, model.vocabulary)
        output = self.folder / "plan.json"
        self.plan(
            init_from=str(path),
            objective="span_corruption",
            output=str(output),
        )
        plan = json.loads(output.read_text(encoding="utf-8"))
        self.assertEqual(
            sum(plan["parameters"].values()), model.backbone.count_params()
        )

    @parameterized.parameters(
        ({"devices": 0}, "--devices: is too small; got 0"),
        ({"devices": 2}, "--devices: need a strategy; got 2"),
        (
            {"devices": 3, "strategy": "tpu"},
            "batch_size.*replicas.*got 16; expected a multiple of 3",
        ),
        ({"utilization": 1.5}, "--utilization: is not a share; got 1.5"),
        ({"utilization": 0.0}, "--utilization: is not positive"),
        ({"utilization": 1e-300}, "--utilization: is too small"),
        ({"peak_tflops": 1e-300}, "--peak_tflops: is too small"),
        ({"init_from": "nowhere"}, "nowhere: no such directory"),
        ({"peak_tflops": -1.0}, "--peak_tflops: is not positive"),
        ({"memory_gib": float("nan")}, "--memory_gib: is not positive"),
        ({"preset": "bsae"}, "--preset.*Did you mean 'base'"),
        ({"set": ["model.width=3"]}, "unknown field; got 'model.width'"),
        ({"output": "/dev/null/plan.json"}, "--output: is not a directory"),
    )
    def test_refuses(self, values, message):
        with self.assertRaisesRegex(InputError, message):
            self.plan(**values)
