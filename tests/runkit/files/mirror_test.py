"""A run's directory in object storage: published whole, and never lost."""

import json
import pathlib
from unittest import mock

from absl.testing import absltest

from runkit import InputError
from runkit.errors import InterruptedRun
from runkit.files import mirror, storage
from tests.support import testing
from tests.support.bucket import bucket


class MirrorTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.bucket = self.enter_context(bucket())
        self.parent = pathlib.Path(self.create_tempdir().full_path)
        self.url = "s3://bucket/runs/a"

    def listed(self):
        text = self.bucket().cat(f"{self.url}/{mirror.MANIFEST}")
        return set(json.loads(text)["files"])

    def test_another_machine_finds_what_was_published(self):
        with mirror.mirrored(self.url, self.parent / "one") as (one, publish):
            (one / "checkpoints").mkdir()
            (one / "checkpoints/a").write_bytes(b"first")
            (one / ".lock").write_bytes(b"")
            publish("step 1")
            (one / "checkpoints/a").unlink()
            (one / "checkpoints/b").write_bytes(b"second")
            (one / "log").write_bytes(b"line")
            publish("step 2")
        expected = {"checkpoints/b": b"second", "log": b"line"}
        self.assertEqual(self.listed(), set(expected))
        self.assertFalse(self.bucket().exists(f"{self.url}/checkpoints/a"))
        with mirror.mirrored(self.url, self.parent / "two") as (two, _):
            self.assertEqual(testing.contents(two), expected)

    def test_the_next_process_knows_the_last_state_without_writing_one(self):
        for number, expected in ((1, "none"), (2, "step 1")):
            with mirror.mirrored(self.url, self.parent) as (folder, publish):
                (folder / "a").write_bytes(bytes(number))
                self.bucket.failures_after = 0
                with self.assertRaisesRegex(
                    InterruptedRun, f"checkpoint there: {expected};"
                ):
                    publish("step 9")
                self.bucket.failures_after = None
                publish("step 1")

    def test_no_bucket_is_made_while_files_are_written(self):
        def made(*_, **__):
            raise AssertionError("a bucket that is gone would be made anew")

        with mirror.mirrored(self.url, self.parent) as (folder, publish):
            (folder / "a").mkdir()
            (folder / "a" / "b").write_text("1")
            with mock.patch.multiple(self.bucket, mkdir=made, makedirs=made):
                publish("step 1")
        self.assertIn("/bucket/runs/a/a/b", self.bucket.store)

    def test_what_was_emptied_in_mid_run_is_whole_again(self):
        with mirror.mirrored(self.url, self.parent) as (folder, publish):
            (folder / "a").write_text("1")
            publish("step 1")
            self.bucket.store.clear()
            (folder / "b").write_text("2")
            publish("step 2")
        self.assertEqual(self.listed(), {"a", "b"})
        self.assertIn("/bucket/runs/a/a", self.bucket.store)

    def test_the_last_copy_of_a_run_is_kept(self):
        with mirror.mirrored(self.url, self.parent) as (folder, publish):
            (folder / "log").write_text("all there is")
            publish("step 1")
        self.bucket.gone = True
        with (
            self.assertRaisesRegex(InputError, "cannot be read"),
            mirror.mirrored(self.url, self.parent),
        ):
            pass
        self.assertEqual((folder / "log").read_text(), "all there is")
        self.bucket.gone = False
        self.bucket.store.clear()
        with (
            self.assertLogs(level="WARNING") as told,
            mirror.mirrored(self.url, self.parent) as (folder, _),
        ):
            self.assertEmpty(list(folder.iterdir()))
        aside = folder.with_name(f"{folder.name}-before")
        self.assertIn(str(aside), told.output[0])
        self.assertEqual((aside / "log").read_text(), "all there is")

    def test_a_manifest_without_a_state_is_of_an_earlier_version(self):
        path = storage.as_path(f"{self.url}/{mirror.MANIFEST}")
        path.write_text('{"files": {}}')
        with mirror.mirrored(self.url, self.parent) as (folder, publish):
            (folder / "a").write_bytes(b"")
            self.bucket.failures_after = 0
            with self.assertRaisesRegex(InterruptedRun, "earlier version;"):
                publish("step 9")

    def test_a_foreign_manifest_is_refused(self):
        for text, message in (
            ("no JSON", "lists no files"),
            ("[]", "lists no files"),
            ('{"files": {"../../x": 1}}', "outside of the run.*'../../x'"),
            ('{"files": {"/etc/x": 1}}', "outside of the run"),
            ('{"files": {"": 1}}', "outside of the run"),
        ):
            path = storage.as_path(f"{self.url}/{mirror.MANIFEST}")
            path.write_text(text)
            with (
                self.subTest(text),
                self.assertRaisesRegex(InputError, message),
                mirror.mirrored(self.url, self.parent),
            ):
                pass

    def test_a_failure_at_any_write_leaves_a_published_state(self):
        def state(step):
            return {f"checkpoints/{step}/{n}": str(step).encode() for n in "ab"}

        with mirror.mirrored(self.url, self.parent) as (folder, publish):
            for name, data in state(1).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            publish("step 1")
        for writes in range(1, 4):
            before = set(state(1))
            with (
                self.subTest(writes=writes),
                mirror.mirrored(self.url, self.parent) as (folder, publish),
            ):
                self.assertEqual(testing.contents(folder).keys(), before)
                publish("step 1")
                for name, data in state(2).items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(data)
                self.bucket.failures_after = writes - 1
                with self.assertRaisesRegex(
                    InterruptedRun, "the bucket is gone.*checkpoint.*: step 1"
                ):
                    publish("step 2")
                self.bucket.failures_after = None
                self.assertEqual(self.listed(), before)

    def test_a_bucket_that_cannot_be_written_is_told_at_the_door(self):
        self.bucket.failures_after = 0
        with (
            self.assertRaisesRegex(
                InputError, "--output_dir: may not be written.*credentials"
            ),
            mirror.mirrored(self.url, self.parent),
        ):
            pass

    def test_a_model_is_copied_and_a_run_gives_its_preset(self):
        files = self.bucket()
        files.pipe("s3://bucket/run/preset/config.json", b"{}")
        files.pipe("s3://bucket/run/checkpoints/big", b"no")
        for url in ("s3://bucket/run", "s3://bucket/run/preset/"):
            folder = mirror.downloaded(url, self.parent, where="--init_from")
            self.assertEqual(testing.contents(folder), {"config.json": b"{}"})
        with self.assertRaisesRegex(InputError, "--init_from: "):
            mirror.downloaded(
                "s3://bucket/no", self.parent, where="--init_from"
            )


if __name__ == "__main__":
    absltest.main()
