"""Several exports into one base path: numbers, locks, files beside them."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import errno
import pathlib
import shutil
import subprocess
import sys
import threading
from unittest import mock

import tensorflow as tf
from absl.testing import absltest, parameterized
from google.protobuf import text_format

from export.saved_model import claim, protos, records, verify, versions
from export.saved_model import write as saved_model
from export.saved_model.server_config import check_configs
from runkit import InputError, read_json, write_json
from runkit.files import lock_directory
from tests.support import serving_models
from tests.support.isolated import ROOT, FolderTestCase, run_script

_EXPORT = """
    import pathlib, sys
    from export.saved_model.claim import claimed_version
    from tests.support import serving_models
    base = pathlib.Path(sys.argv[1])
    number = int(sys.argv[2]) if sys.argv[2:] else None
    with claimed_version(base, number, "toy") as version:
        print("claimed", version, flush=True)
        sys.stdin.readline()
        serving_models.write_toy(base, version, float(version))
"""


class ClaimTest(FolderTestCase):
    def setUp(self):
        super().setUp()
        self.base = self.folder / "toy"

    def exporter(self, *version):
        """Starts a process that claims a version and waits for a line."""
        lines = _EXPORT.splitlines()
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "\n".join(line[4:] for line in lines),
                str(self.base),
                *version,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().split()[-1]

    def test_two_exports_at_once_take_two_numbers(self):
        first, one = self.exporter()
        second, two = self.exporter()
        self.assertEqual((one, two), ("1", "2"))
        for process in (second, first):  # The later number may come first.
            process.communicate("go\n")
            self.assertEqual(process.returncode, 0)
        self.assertEqual(versions.list_versions(self.base), [1, 2])
        for number in (1, 2):
            verify.verify_saved_model(self.base / str(number))
        with claim.claimed_version(self.base, None, "toy") as number:
            self.assertEqual(number, 3)

    def test_a_number_that_is_being_written(self):
        process, _ = self.exporter("7")
        with self.assertRaises(InputError) as caught:
            self.claim(7)
        message = str(caught.exception)
        self.assertIn(f"--version: is in use by process {process.pid}", message)
        self.assertEqual(self.claim(8), 8)  # Another number is free.
        process.kill()
        process.wait()
        self.assertEqual(self.claim(7), 7)

    def claim(self, version):
        with claim.claimed_version(self.base, version, "toy") as number:
            return number

    def test_many_threads_lose_nothing(self):
        taken, go = [], threading.Barrier(12)

        def take():
            go.wait()
            with claim.claimed_version(self.base, None, "toy") as number:
                taken.append(number)
                (self.base / str(number)).mkdir()

        threads = [threading.Thread(target=take) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(taken), list(range(1, 13)))
        self.assertEqual(
            sorted(p.name for p in self.base.iterdir() if p.is_file()),
            [".lock"],
        )

    def test_a_base_path_in_use_says_by_whom(self):
        with (
            mock.patch.object(claim, "_WAIT_SECONDS", 0.1),
            lock_directory(self.base),
            self.assertRaisesRegex(InputError, f"process {os.getpid()} on"),
        ):
            self.claim(None)

    def test_export_and_neighbors_take_the_claim(self):
        import numpy as np

        from export import export_neighbor_index

        with claim.claimed_version(self.base, 4, "t5"):
            for name, export in (
                ("t5", lambda: serving_models.export_t5(self.base, 4)),
                (
                    "t5",
                    lambda: export_neighbor_index(
                        np.eye(4),
                        np.arange(4),
                        self.base,
                        4,
                        num_neighbors=2,
                        model_name="t5",
                    ),
                ),
            ):
                with self.assertRaisesRegex(InputError, "in use by", msg=name):
                    export()


class BesideTest(FolderTestCase):
    def setUp(self):
        super().setUp()
        self.base = self.folder / "toy"

    def parsed(self, name, message):
        return text_format.Parse((self.base / name).read_text(), message)

    def test_configuration_outlives_its_version(self):
        serving_models.write_toy(self.base, 1)
        serving_models.write_toy(self.base, 2)
        for number in ("1", "2"):
            inside = [p.name for p in (self.base / number).glob("*.config")]
            self.assertEmpty(inside)
        shutil.rmtree(self.base / "1")
        (models,) = self.parsed(
            "models.config", protos.model_server_config()
        ).model_config_list.config
        self.assertEqual(
            (models.name, models.base_path), ("toy", "/models/toy")
        )
        monitoring = self.parsed(
            "monitoring.config", protos.monitoring_config()
        ).prometheus_config
        self.assertEqual(
            (monitoring.enable, monitoring.path),
            (True, "/monitoring/prometheus/metrics"),
        )
        verify.verify_saved_model(self.base / "2")

    def test_what_people_changed_is_kept(self):
        self.base.mkdir()
        own = "max_batch_size { value: 8 }\n"
        (self.base / "batching.config").write_text(own)
        serving_models.write_toy(self.base, 1)
        self.assertEqual((self.base / "batching.config").read_text(), own)

    def test_an_older_export_holds_its_files_inside(self):
        path = serving_models.write_toy(self.base, 1)
        for file in self.base.glob("*.config"):
            file.rename(path / file.name)
        verify.verify_saved_model(path)
        (path / "batching.config").write_text("max_batch_sizes: 8")
        with self.assertRaisesRegex(InputError, "no field named"):
            verify.verify_saved_model(path)

    def test_damaged_configuration_beside(self):
        path = serving_models.write_toy(self.base, 1)
        for name in ("models.config", "batching.config", "monitoring.config"):
            file = self.base / name
            whole = file.read_bytes()
            for text in (whole[: len(whole) // 2], b"\xff\xfe"):
                file.write_bytes(text)
                with self.assertRaisesRegex(InputError, name):
                    verify.verify_saved_model(path)
            file.write_bytes(whole)
        verify.verify_saved_model(path)

    def test_another_model_in_one_base_path(self):
        serving_models.write_toy(self.base, 1)
        with self.assertRaisesRegex(
            InputError, "serves another model.*--model_name=toy"
        ):
            saved_model.export_saved_model("run", self.base, model_name="t5")

    def test_splitting_in_the_configuration(self):
        serving_models.write_toy(self.base, 1)
        found = self.parsed("batching.config", protos.batching_parameters())
        self.assertTrue(found.enable_large_batch_splitting.value)
        self.assertEqual(
            found.allowed_batch_sizes[-1], found.max_execution_batch_size.value
        )
        # The parts of a largest request have room in the queue.
        parts = (
            found.max_batch_size.value / found.max_execution_batch_size.value
        )
        self.assertLessEqual(parts, found.max_enqueued_batches.value)
        self.assertFalse(found.HasField("num_batch_threads"))
        for text, message in (
            ("allowed_batch_sizes: [4, 16]", "max_execution_batch_size"),
            ("allowed_batch_sizes: [4, 8]", ""),
            ("max_execution_batch_size { value: 17 }", "above"),
        ):
            head = "enable_large_batch_splitting { value: true } "
            head += "max_batch_size { value: 16 } "
            if "execution" not in text:
                head += "max_execution_batch_size { value: 8 } "
            (self.base / "batching.config").write_text(head + text)
            if not message:
                check_configs(self.base / "1")
                continue
            with self.assertRaisesRegex(InputError, message):
                check_configs(self.base / "1")


class FullDiskTest(FolderTestCase):
    @parameterized.parameters(
        OSError(errno.ENOSPC, "No space left on device"),
        tf.errors.ResourceExhaustedError(
            None, None, "x/variables.data; No space left on device"
        ),
        tf.errors.UnknownError(None, None, "x; Input/output error"),
    )
    def test_the_path_and_a_remedy(self, error):
        for step in ("tf.saved_model.save", "write_stored_requests"):
            with (
                mock.patch(
                    f"export.saved_model.write.{step}", side_effect=error
                ),
                self.assertRaisesRegex(
                    InputError, f"--output_dir {self.folder}.*Free some room"
                ),
            ):
                serving_models.write_toy(self.folder, 1)
            self.assertEmpty(self.names())

    def test_an_error_of_the_model_stays_what_it_is(self):
        error = tf.errors.InvalidArgumentError(None, None, "shapes differ")
        with (
            mock.patch(
                "export.saved_model.write.write_stored_requests",
                side_effect=error,
            ),
            self.assertRaises(tf.errors.InvalidArgumentError),
        ):
            serving_models.write_toy(self.folder, 1)

    @parameterized.parameters(1_000, 12_000, 30_000)
    def test_files_that_cannot_grow(self, size):
        """The limit hits TensorFlow's own writers, with the system's error."""
        script = """
            import pathlib, resource, signal, sys
            from runkit import InputError
            from tests.support import serving_models
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            size = int(sys.argv[2])
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            try:
                serving_models.write_toy(pathlib.Path(sys.argv[1]), 1)
            except InputError as error:
                print(error)
        """
        done = run_script(script, str(self.folder), str(size))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("cannot be written (File too large)", done.stdout)
        self.assertEmpty(self.names())


class CountTest(FolderTestCase):
    def setUp(self):
        super().setUp()
        self.path = serving_models.write_toy(self.folder / "toy", 1)

    def requests(self, name):
        return [
            bytes(data)
            for data in tf.data.TFRecordDataset(
                str(self.path / name)
            ).as_numpy_iterator()
        ]

    @parameterized.product(
        name=(versions.WARM_UP, versions.VERIFICATION),
        garbage=(b"garbage", b"\0", b"\0" * 11),
        whole=(True, False),
    )
    def test_garbage_is_no_end(self, name, garbage, whole):
        """The record reader itself takes these bytes for the file's end."""
        file = self.path / name
        file.write_bytes((file.read_bytes() if whole else b"") + garbage)
        with self.assertRaises(InputError):
            verify.verify_saved_model(self.path)
        with self.assertRaises(InputError):
            list(records.read_records(file))

    @parameterized.product(
        name=(versions.WARM_UP, versions.VERIFICATION), change=(-1, 1)
    )
    def test_other_than_what_was_written(self, name, change):
        written = self.requests(name)
        kept = written[1:] if change < 0 else [*written, written[-1]]
        with tf.io.TFRecordWriter(str(self.path / name)) as writer:
            for data in kept:
                writer.write(data)
        with self.assertRaisesRegex(
            verify.VerificationError, f"got {len(kept)}; exp.*{len(written)}"
        ):
            verify.verify_saved_model(self.path)

    def test_an_older_card_has_no_count(self):
        card = read_json(self.path / versions.MODEL_CARD)
        self.assertEqual(
            card.pop("stored_requests"),
            {versions.WARM_UP: 4, versions.VERIFICATION: 8},
        )
        write_json(self.path / versions.MODEL_CARD, card)
        found = verify.verify_saved_model(pathlib.Path(self.path))
        self.assertEqual(found.requests, 12)
        (self.path / versions.WARM_UP).write_bytes(b"")
        why = "without a stored request"
        with self.assertRaisesRegex(verify.VerificationError, why):
            verify.verify_saved_model(self.path)


if __name__ == "__main__":
    absltest.main()
