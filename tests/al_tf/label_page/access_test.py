"""One process for each annotator, and the token of the address."""

import pathlib
import stat

from absl.testing import absltest, parameterized

from al_tf.label_page import access
from runkit import InputError
from runkit.files import lock_directory


class AccessTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.enter_context(
            absltest.mock.patch.object(access, "WAIT_SECONDS", 0.05)
        )

    def test_the_token_stays_and_is_the_users_alone(self):
        with access.sole_page(self.folder, "eve") as token:
            self.assertGreaterEqual(len(token), 32)
        with access.sole_page(self.folder, "eve") as again:
            self.assertEqual(again, token)
        with access.sole_page(self.folder, "bob") as other:
            self.assertNotEqual(other, token)
        path = self.folder / "label_page" / "eve.token"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    @parameterized.parameters("", "short", "é" * 40)
    def test_a_damaged_token_is_replaced(self, text):
        path = self.folder / "label_page" / "eve.token"
        path.parent.mkdir()
        path.write_text(text, "utf-8")
        with access.sole_page(self.folder, "eve") as token:
            self.assertRegex(token, r"^[\w-]{32,}$")
        self.assertEqual(path.read_text().strip(), token)

    def test_one_page_for_each_person(self):
        with access.sole_page(self.folder, "eve"):
            with self.assertRaisesRegex(InputError, "--project: is in use by"):
                self.enter_context(access.sole_page(self.folder, "eve"))
            with access.sole_page(self.folder, "bob"):
                pass

    def test_a_project_that_somebody_changes(self):
        with (
            lock_directory(self.folder),
            self.assertRaisesRegex(InputError, "--project: is in use by"),
        ):
            self.enter_context(access.sole_page(self.folder, "eve"))
        # The page does not keep others out of the project.
        self.enter_context(access.sole_page(self.folder, "eve"))
        self.enter_context(lock_directory(self.folder))

    @parameterized.parameters("..", "a/b", "eve & bob", "ёва", '"', "x" * 150)
    def test_any_name_stays_in_the_folder(self, name):
        with access.sole_page(self.folder, name):
            pass
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        own = {path.name.removeprefix(".lock-") for path in found} - {".lock"}
        self.assertLen(own, 1)
        parents = {path.parent for path in found if path.name != ".lock"}
        self.assertEqual(parents, {self.folder / "label_page"})

    @parameterized.parameters("", "  ", "x" * 151, "ё" * 30)
    def test_no_name(self, name):
        with self.assertRaisesRegex(InputError, "--annotator: is not a name"):
            self.enter_context(access.sole_page(self.folder, name))


if __name__ == "__main__":
    absltest.main()
