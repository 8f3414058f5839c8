"""Which version is served while the base path changes: as TF Serving does."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import http.client
import json
import pathlib
import shutil
import tempfile

from absl.testing import absltest, parameterized

from export.client import Client
from export.saved_model import versions
from export.servables.failures import Failures
from export.servables.model_config import ModelConfig
from export.servables.model_store import ModelStore, NotServed, Stopping
from export.servables.servable import Servable
from runkit import InputError
from tests.support import served, serving_models
from tests.support.isolated import FolderTestCase


class StoreTest(parameterized.TestCase):
    """Polls by hand; the store's own thread never runs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = pathlib.Path(
            cls.enterClassContext(tempfile.TemporaryDirectory())
        )
        serving_models.write_toy(cls.made, 1)

    def setUp(self):
        super().setUp()
        self.base = pathlib.Path(self.create_tempdir().full_path)
        self.loads = []
        self.store = ModelStore(ModelConfig("toy", self.base), self.load, 1e-9)
        self.addCleanup(self.store.stop)

    def load(self, path):
        self.loads.append(path.name)
        return Servable(path)

    def add(self, name):
        shutil.copytree(self.made / "1", self.base / name)

    def refresh(self):
        self.store.refresh()
        return {v: state for v, (state, _) in self.store.states().items()}

    def served(self, version=None):
        with self.store.lease(version) as servable:
            return servable.version

    def test_a_removed_version_gives_way_to_an_older_one(self):
        self.add("3")
        self.add("4")
        self.assertEqual(self.refresh(), {4: "AVAILABLE"})
        shutil.rmtree(self.base / "4")
        self.assertEqual(self.refresh(), {4: "END", 3: "AVAILABLE"})
        self.assertEqual(self.served(), 3)
        with self.assertRaises(NotServed):
            self.served(4)
        self.add("4")  # It comes back.
        self.assertEqual(self.refresh(), {4: "AVAILABLE", 3: "END"})
        self.assertEqual(self.served(4), 4)

    def test_nothing_left(self):
        self.add("4")
        self.refresh()
        shutil.rmtree(self.base / "4")
        self.assertEqual(self.refresh(), {4: "END"})
        for version in (None, 4):
            with self.assertRaises(NotServed):
                self.served(version)

    def test_a_base_path_that_is_away_keeps_its_model(self):
        self.add("4")
        self.refresh()
        away = self.base.with_name(self.base.name + "-away")
        self.base.rename(away)
        self.assertEqual(self.refresh(), {4: "AVAILABLE"})
        away.rename(self.base)
        self.assertEqual(self.served(), 4)
        self.assertEqual(self.loads, ["4"])

    def test_a_copy_in_progress_is_tried_again(self):
        self.add("1")
        self.refresh()
        folder = self.base / "2"
        folder.mkdir()
        self.assertEqual(self.refresh(), {2: "END", 1: "AVAILABLE"})
        shutil.copy(self.made / "1" / "saved_model.pb", folder)
        self.assertEqual(self.refresh(), {2: "END", 1: "AVAILABLE"})
        self.assertIn("cannot be served", self.store.states()[2][1])
        self.assertEqual(self.served(), 1)
        shutil.copytree(self.made / "1" / "variables", folder / "variables")
        self.assertEqual(self.refresh(), {2: "AVAILABLE", 1: "END"})
        self.assertEqual(self.store.states()[2][1], "")

    def test_a_broken_version_is_removed(self):
        self.add("1")
        self.refresh()
        (self.base / "2").mkdir()
        self.refresh()
        shutil.rmtree(self.base / "2")
        self.assertEqual(self.refresh(), {2: "END", 1: "AVAILABLE"})
        self.assertEqual(self.loads, ["1", "2"])

    def test_zeros_in_front(self):
        self.add("00000123")
        self.add("0122")
        self.assertEqual(self.refresh(), {123: "AVAILABLE"})
        self.assertEqual(self.served(123), 123)
        with self.store.lease() as servable:
            self.assertEqual(servable.model.path, self.base / "00000123")
        with self.assertRaisesRegex(InputError, "exists already"):
            serving_models.write_toy(self.base, 123)

    def test_names_that_are_no_versions(self):
        for name in ("7x", "-7", "٧", "7.0", str(2**63), ".7", "1e3"):
            (self.base / name).mkdir()
        (self.base / "8").write_text("a file")
        for name in ("7", "007"):
            (self.base / name).mkdir()
        self.assertEqual(
            versions.version_paths(self.base), {7: self.base / "7"}
        )

    def test_stopping(self):
        self.add("1")
        self.refresh()
        with self.store.lease() as servable:
            self.store.refuse()
            with self.assertRaises(Stopping):
                self.served()
            answer = servable.predict("embed", {"text": ["abc"]})
            self.assertEqual(answer["embedding"][0, 0], 3)


class FailuresTest(FolderTestCase):
    def test_pauses_grow_while_nothing_changes(self):
        now = [0.0]
        failures = Failures(1.0, clock=lambda: now[0])
        self.assertTrue(failures.is_due(1, self.folder))
        tried = []
        for _ in range(400):
            if failures.is_due(1, self.folder):
                tried.append(now[0])
                files = Failures.files(self.folder)
                self.assertEqual(
                    failures.add(1, files, "broken"), len(tried) == 1
                )
            now[0] += 1.0
        self.assertEqual(
            tried, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]
        )
        (self.folder / "file").write_text("more")
        self.assertTrue(failures.is_due(1, self.folder))
        failures.keep_only([2])
        self.assertFalse(failures.has(1))


class KeepAliveTest(parameterized.TestCase):
    def test_a_kept_connection_after_the_stop(self):
        base = pathlib.Path(self.create_tempdir().full_path) / "toy"
        serving_models.write_toy(base, 1)
        body = json.dumps({"instances": ["ab"]})
        path = "/v1/models/toy:predict"
        with served.serving(base) as server:
            connection = http.client.HTTPConnection(
                "127.0.0.1", server.rest_api_port, timeout=30
            )
            connection.request("POST", path, body)
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            response.read()
            client = Client(
                f"127.0.0.1:{server.rest_api_port}",
                "toy",
                transport="rest",
                retries=1,
                sleep=lambda seconds: None,
            )
            client.predict("embed", {"text": ["a"]})
        connection.request("POST", path, body)
        response = connection.getresponse()
        self.assertEqual(response.status, 503)
        self.assertIn("shutting down", json.load(response)["error"])
        with self.assertRaisesRegex(RuntimeError, "UNAVAILABLE"):
            client.predict("embed", {"text": ["a"]})  # Both attempts.


if __name__ == "__main__":
    absltest.main()
