"""A session of the labeling page over a small project."""

import pathlib

from absl.testing import parameterized

from al_tf.label_page.session import Seen, Session
from al_tf.label_tools.answers import LABEL
from tests.support.labeling import page_data


class SessionTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def open(self, project, annotator="eve", **options):
        session = Session(project, annotator, **options)
        session.view("first")
        session.mates.wait()
        return session

    def texts(self, **fields):
        project = page_data.make_texts(self.folder, **fields)
        project.next_batch()
        return project

    def shown(self, session, tab="a", **options):
        return session.view(tab, **options)["example"]

    def answer(self, session, example, name="bird", how=LABEL):
        names = [name] if how == LABEL else []
        seen = [Seen(example["place"], example["revision"])]
        session.answer(seen, how, names)
        return seen
