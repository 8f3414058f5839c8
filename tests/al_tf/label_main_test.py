"""The binary of the labeling page: a real server, its end, bad input."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

from absl.testing import absltest

from al_tf.label_page.access import sole_page
from tests.support.isolated import hear_ctrl_c
from tests.support.labeling import page_data, project_data

ROOT = pathlib.Path(__file__).absolute().parents[2]


class LabelMainTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)

    def start(self, project, *flags, port=0):
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "al_tf.label_main",
                f"--project={project}",
                f"--port={port}",
                *flags,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
        )

    def refused(self, project, *flags, **options):
        process = self.start(project, *flags, **options)
        out, error = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 2, error)
        self.assertEqual(out, "")
        self.assertNotIn("Traceback", error)
        return error

    def url(self, process):
        (url,) = re.findall(r"http://\S+", process.stdout.readline())
        return url

    def test_served_until_it_is_told_to_stop(self):
        project = page_data.make_texts(self.folder)
        project.next_batch()
        urls = []
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.start(project.folder)
            try:
                urls.append(self.url(process))
                with urllib.request.urlopen(f"{urls[-1]}view?tab=a") as answer:
                    view = json.load(answer)
                self.assertEqual(view["annotator"], "people")
                self.assertEqual(view["progress"]["left"], 12)
            finally:
                process.send_signal(number)
                _, error = process.communicate(timeout=60)
            self.assertEqual((process.returncode, error), (0, ""))
        # Open tabs find a server that was started again.
        one, two = (re.sub(r":\d+/", "/", url) for url in urls)
        self.assertEqual(one, two)
        with self.assertRaises(urllib.error.URLError):
            urllib.request.urlopen(urls[-1])

    def test_a_port_in_use(self):
        project = page_data.make_texts(self.folder).folder
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            error = self.refused(project, port=taken.getsockname()[1])
        self.assertIn("--port: cannot listen there", error)
        self.assertFalse((project / "label_page").exists())

    def test_a_project_that_is_not_there(self):
        error = self.refused(self.folder / "none")
        self.assertIn("--project: holds no project", error)
        self.assertFalse((self.folder / "none").exists())

    def test_a_page_that_is_served_already(self):
        project = page_data.make_texts(self.folder).folder
        with sole_page(project, "people"):
            error = self.refused(project)
        self.assertIn("--project: is in use by process", error)

    def test_a_project_of_another_version(self):
        project = page_data.make_texts(self.folder).folder
        event = project / "events" / "000001-future.json"
        event.parent.mkdir()
        event.write_text("{}")
        error = self.refused(project)
        self.assertIn("Use the version of the package that wrote it", error)

    def test_images_that_are_not_there(self):
        project = page_data.make_images(self.folder).folder
        (self.folder / "images.npz").unlink()
        self.assertIn("images.npz", self.refused(project))

    def test_nothing_to_show(self):
        project = project_data.make_project(self.folder).folder
        error = self.refused(project)
        self.assertIn("nothing can be shown of embeddings", error)

    def test_wrong_flags(self):
        project = page_data.make_texts(self.folder).folder
        for flag, message in (
            ("--annotator=", "--annotator: is not a name"),
            ("--target=1.5", "--target: is not an accuracy"),
            ("--port=70000", "--port: cannot listen there"),
            ("--copy_distance=-1", "--copy_distance: is too small"),
        ):
            self.assertIn(message, self.refused(project, flag))


if __name__ == "__main__":
    absltest.main()
