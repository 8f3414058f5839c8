"""Labels files as they really are: right, or refused with place and reason."""

import json
import pathlib

from absl.testing import absltest, parameterized

from al_tf.label_tools.answers import Asked, resolve
from al_tf.label_tools.readers import read_answers
from al_tf.label_tools.records import Names
from runkit import InputError
from tests.support.labeling.label_forms import CLASSES, IDS, RIGHT, task
from tests.support.labeling.label_forms_bad import MANY, REFUSED


class FormsTest(parameterized.TestCase):
    def read(self, name, content, *, multilabel=False):
        path = pathlib.Path(self.create_tempdir().full_path) / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
        names = Names("id", multilabel=multilabel)
        asked = Asked(IDS, CLASSES, multilabel, ["0000feed-000"])
        return resolve(read_answers(path, names), asked, path)

    def check(self, name, content, expected, *, multilabel=False):
        if isinstance(expected, str):
            with self.assertRaisesRegex(InputError, expected):
                self.read(name, content, multilabel=multilabel)
            return
        found = self.read(name, content, multilabel=multilabel)
        self.assertEqual(
            {
                g.example: "|".join(g.classes)
                if g.state == "label"
                else g.state
                for g in found
            },
            expected,
        )
        self.assertLen(found, len(expected))

    @parameterized.named_parameters((k, *v) for k, v in RIGHT.items())
    def test_right(self, name, content, expected):
        self.check(name, content, expected)

    @parameterized.named_parameters((k, *v) for k, v in REFUSED.items())
    def test_refused(self, name, content, message):
        self.check(name, content, message)

    @parameterized.named_parameters((k, *v) for k, v in MANY.items())
    def test_several_classes_each(self, name, content, expected):
        self.check(name, content, expected, multilabel=True)

    def test_people_are_told_apart(self):
        two = task()
        two["annotations"] += task(choices=["spam"], person=2)["annotations"]
        found = self.read("l.json", json.dumps([two]))
        self.assertEqual(
            [(g.annotator, g.classes) for g in found],
            [("1", ("ham",)), ("2", ("spam",))],
        )

    def test_the_table_is_long_enough(self):
        self.assertGreaterEqual(len(RIGHT) + len(REFUSED) + len(MANY), 60)


if __name__ == "__main__":
    absltest.main()
