"""kill -9 while a run writes to object storage: it computes the same bits."""

import os

import pytest
from absl.testing import absltest

from tests.support.storage.case import StorageCase
from tests.support.storage.emulator import needs_driver

KILLS = int(os.environ.get("STORAGE_KILLS", "20"))  # Fewer: a first look.


@needs_driver
@pytest.mark.slow
class StorageKillTest(StorageCase):
    """Kills are placed by counting the objects that a process uploads.

    The server stops in the middle of one and the process is killed there; it is
    another one each time. Every second of these objects is stored all the same,
    as of a process that dies before it has read the answer.
    """

    def test_kills_while_objects_are_written(self):
        flags = {"train_steps": 400, "transition_step": 60, "eval_every": 100}
        self.storage.start()
        whole = self.base / "whole"
        code, log = self.storage.run(self.command(whole, **flags))
        self.assertEqual(code, 0, log[-2000:])
        self.storage.kill()
        states = set()
        for kill in range(KILLS):
            # 1: the manifest at the start; a checkpoint is some ten objects.
            put = 1 + kill * 11 % 37
            self.storage.start(put, ("stops", "stores")[kill % 2])
            process = self.storage.popen(self.command(**flags))
            self.assertEqual(self.storage.wait(), "waits", f"object {put}")
            self.assertIsNone(process.poll())
            process.kill()
            process.communicate()
            self.storage.kill()
            if self.storage.objects():
                states.add(self.published())
                print(f"kill {kill} in object {put}: {self.published()}")
        self.storage.start()
        code, log = self.storage.run(self.command(**flags))
        self.assertEqual(code, 0, log[-2000:])
        self.check_same(whole)
        # The kills were all over the run, not in one place of it.
        self.assertGreater(len(states), KILLS // 3)


if __name__ == "__main__":
    absltest.main()
