"""`models.config`: which versions it asks for, and what is refused in it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import io
import pathlib
import shutil

from absl.testing import absltest, parameterized

from export.saved_model.server_config import write_configs
from export.servables.config_watch import ConfigWatch
from export.servables.model_config import ModelConfig, read_config_file
from export.servables.model_manager import (
    LabelRefused,
    ModelManager,
    NotAvailable,
    UnknownLabel,
)
from export.servables.model_store import NotServed
from export.servables.servable import Servable
from runkit import InputError
from tests.support.isolated import FolderTestCase
from tests.support.serving import half_plus

_ENTRY = """
model_config_list {{ config {{
  name: "m" base_path: "{path}" model_platform: "tensorflow" {more}
}} }}
"""


class ConfigTest(FolderTestCase):
    def read(self, text):
        path = self.folder / "models.config"
        path.write_text(text)
        return read_config_file(path)

    @parameterized.parameters(
        ("", [9]),
        ("model_version_policy { latest {} }", [9]),
        ("model_version_policy { latest { num_versions: 2 } }", [9, 7]),
        ("model_version_policy { latest { num_versions: 99 } }", [9, 7, 2]),
        ("model_version_policy { all {} }", [9, 7, 2]),
        (
            "model_version_policy { specific { versions: 2 versions: 5 } }",
            [2],
        ),
        ("model_version_policy { specific {} }", []),
    )
    def test_policies(self, more, versions):
        config = self.read(_ENTRY.format(path="/models/m", more=more))["m"]
        found = {v: pathlib.Path(str(v)) for v in (7, 9, 2)}
        self.assertEqual(list(config.aspired(found)), versions)

    @parameterized.parameters(
        ("nonsense", "cannot be read"),
        ("", "only ModelConfigList"),
        ("model_config_list {}", "names no model"),
        (_ENTRY.format(path="models", more=""), "not absolute"),
        (
            _ENTRY.format(
                path="/m",
                more='} config { name: "m" base_path: "/n" '
                'model_platform: "tensorflow"',
            ),
            "multiple times",
        ),
        (_ENTRY.format(path="/m", more="").replace('"m"', '""'), "without a"),
        (
            _ENTRY.format(path="/m", more="").replace("tensorflow", "other"),
            "unsupported model_platform",
        ),
    )
    def test_refusals(self, text, message):
        with self.assertRaisesRegex(InputError, f"models.config.*{message}"):
            self.read(text)

    def test_no_file(self):
        with self.assertRaisesRegex(InputError, "none.config: cannot be read"):
            read_config_file(self.folder / "none.config")

    def test_what_an_export_writes_is_read(self):
        write_configs(self.folder, "t5")
        found = read_config_file(self.folder / "models.config")
        self.assertEqual(
            found, {"t5": ModelConfig("t5", pathlib.Path("/models/t5"))}
        )


class ManagerTest(FolderTestCase):
    def setUp(self):
        super().setUp()
        for version in (1, 2):
            half_plus.write_half_plus(self.folder / "a", version, version)

    def manager(self, **options):
        manager = ModelManager(Servable, 3600.0, **options)
        self.addCleanup(manager.stop)
        return manager

    def config(self, name="a", **fields):
        return {name: ModelConfig(name, self.folder / name, **fields)}

    def served(self, manager, *request, **options):
        with manager.lease(*request, **options) as servable:
            return servable.version

    def test_labels(self):
        manager = self.manager()
        both = {"specific": frozenset({1, 2})}
        labeled = self.config(**both, labels={"stable": 1})
        with self.assertRaisesRegex(LabelRefused, "not currently available"):
            manager.reload(labeled)  # Labels come after their versions.
        self.assertEqual(manager.names(), [])
        manager.reload(self.config(**both))
        manager.reload(labeled)
        self.assertEqual(self.served(manager, "a", label="stable"), 1)
        with self.assertRaises(UnknownLabel):
            self.served(manager, "a", label="none")
        with self.assertRaises(NotServed):
            self.served(manager, "b")

    def test_labels_ahead(self):
        manager = self.manager(labels_ahead=True)
        manager.reload(self.config(latest=1, labels={"stable": 2, "next": 3}))
        self.assertEqual(self.served(manager, "a", label="stable"), 2)
        with self.assertRaises(NotServed):
            self.served(manager, "a", label="next")
        with self.assertRaises(LabelRefused):  # In use for another version.
            manager.reload(self.config(labels={"stable": 1}))
        self.assertEqual(self.served(manager, "a", label="stable"), 2)

    def test_a_refused_model_changes_nothing(self):
        manager = self.manager()
        manager.reload(self.config())
        broken = self.folder / "b" / "1"
        broken.mkdir(parents=True)
        with self.assertRaisesRegex(NotAvailable, "model b.*not a SavedModel"):
            manager.reload({**self.config("b"), **self.config()})
        self.assertEqual(manager.names(), ["a"])
        self.assertEqual(self.served(manager, "a"), 2)

    def test_a_base_path_that_moves(self):
        manager = self.manager()
        manager.reload(self.config())
        shutil.copytree(self.folder / "a" / "1", self.folder / "c" / "7")
        manager.reload({"a": ModelConfig("a", self.folder / "c")})
        self.assertEqual(self.served(manager, "a"), 7)

    def test_a_file_that_is_edited(self):
        path = self.folder / "models.config"
        entry = _ENTRY.format(path=self.folder / "a", more="{more}")
        path.write_text(entry.replace("{more}", ""))
        manager = self.manager()
        watch = ConfigWatch(path, manager.reload)
        self.addCleanup(watch.stop)
        watch.start()
        self.assertEqual(self.served(manager, "m"), 2)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            path.write_text("nonsense")
            watch.refresh()
            watch.refresh()
        self.assertEqual(said.getvalue().count("is not applied"), 1)
        self.assertEqual(self.served(manager, "m"), 2)
        policy = "model_version_policy { specific { versions: 1 } }"
        path.write_text(entry.replace("{more}", policy))
        watch.refresh()
        self.assertEqual(self.served(manager, "m"), 1)


if __name__ == "__main__":
    absltest.main()
