"""Batching files of TF Serving, as the development server reads them."""

import pathlib
import subprocess
import sys

from absl.testing import absltest, parameterized

from export.saved_model import server_config
from runkit import InputError

ROOT = pathlib.Path(__file__).parents[3]


class BatchingTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def read(self, text):
        # Any name will do: the flag says what the file is.
        path = self.folder / "my_batching.txt"
        path.write_text(text)
        return server_config.read_batching(path)

    def test_what_an_export_writes(self):
        server_config.write_configs(self.folder, "t5")
        found = server_config.read_batching(self.folder / "batching.config")
        self.assertEqual(found, (64, 65536, 2000, 2048 * 64, 0))

    @parameterized.parameters(
        # TF Serving's defaults: 1,000 rows, no wait, ten batches, a thread
        # for each processor.
        ("", (1000, 1000, 0, 10_000, 0)),
        ("max_batch_size { value: 8 }", (8, 8, 0, 80, 0)),
        (
            "max_batch_size { value: 8 } max_enqueued_batches { value: 3 } "
            "batch_timeout_micros { value: 500 } num_batch_threads { value: 2 }"
            " allowed_batch_sizes: [2, 8]",
            (8, 8, 500, 24, 2),
        ),
        # Without splitting, the size of a call is that of a request.
        (
            "max_batch_size { value: 8 } max_execution_batch_size { value: 4 }",
            (8, 8, 0, 80, 0),
        ),
        (
            "max_batch_size { value: 8 } max_execution_batch_size { value: 4 } "
            "enable_large_batch_splitting { value: true }",
            (4, 8, 0, 40, 0),
        ),
        (
            "max_batch_size { value: 8 } "
            "enable_large_batch_splitting { value: true }",
            (8, 8, 0, 80, 0),
        ),
    )
    def test_limits(self, text, expected):
        self.assertEqual(self.read(text), expected)

    @parameterized.parameters(
        ("max_batch_size { value: 0 }", "max_batch_size: is too small"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros: is too"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches: is too"),
        ("allowed_batch_sizes: [2, 8]", "must ascend and end with max_batch"),
        ("max_batchsize { value: 8 }", "cannot be parsed.*max_batchsize"),
        ("\0", "cannot be parsed"),
    )
    def test_refused(self, text, message):
        with self.assertRaisesRegex(InputError, message):
            self.read(text)

    def test_no_such_file(self):
        with self.assertRaisesRegex(InputError, "nowhere.config.*cannot be"):
            server_config.read_batching(self.folder / "nowhere.config")

    @parameterized.parameters(
        ("--max_batch_size=8", "with --max_batch_size"),
        ("--noenable_batching", "with --noenable_batching"),
    )
    def test_the_file_and_a_flag(self, flag, message):
        path = self.folder / "batching.config"
        path.write_text("")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "export.dev_server_main", flag),
                f"--model_base_path={self.folder}",
                f"--batching_parameters_file={path}",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 2, done.stderr[-500:])
        self.assertIn(message, done.stderr)


if __name__ == "__main__":
    absltest.main()
