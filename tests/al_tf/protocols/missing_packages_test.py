"""Without the packages whose protocols they speak, the adapters say so."""

import sys
from unittest import mock

from absl.testing import absltest, parameterized

from runkit import InputError


class MissingPackagesTest(parameterized.TestCase):
    @parameterized.parameters(
        ("skactiveml", "skactiveml", "pip install scikit-activeml"),
        ("small_text", "small_text", "pip install small-text"),
    )
    def test_the_import_names_the_command(self, module, package, command):
        name = f"al_tf.protocols.{module}"
        # None in sys.modules makes an import fail as if it were missing.
        with (
            mock.patch.dict(sys.modules, {package: None}),
            self.assertRaisesRegex(InputError, f"{name}: .*{command}"),
        ):
            sys.modules.pop(name, None)
            __import__(name)

    def test_the_package_itself_needs_none_of_them(self):
        gone = {"skactiveml": None, "small_text": None}
        with mock.patch.dict(sys.modules, gone):
            import al_tf

            self.assertEqual(dir(al_tf.protocols), ["ActiveLearner"])


if __name__ == "__main__":
    absltest.main()
