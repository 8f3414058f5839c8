"""The labeling page's server, and requests to it."""

import json
import pathlib
import tempfile
import unittest

from aiohttp import test_utils

from al_tf.label_page import server
from al_tf.label_page.session import Session
from tests.support.labeling import page_data

TOKEN = "t" * 43


class ServerTestCase(unittest.IsolatedAsyncioTestCase):
    maxDiff = None

    async def asyncSetUp(self):
        self.folder = pathlib.Path(
            self.enterContext(tempfile.TemporaryDirectory())
        )
        self.project = self.make()
        self.session = Session(self.project, "eve")
        self.session.view("x")
        self.session.mates.wait()
        self.page = server.LabelPage(self.session, TOKEN)
        self.client = test_utils.TestClient(
            test_utils.TestServer(self.page.app)
        )
        await self.client.start_server()
        self.addAsyncCleanup(self.client.close)

    def make(self):
        project = page_data.make_texts(self.folder)
        project.next_batch()
        return project

    async def get(self, path, status=200, token=TOKEN, **options):
        answer = await self.client.get(f"/{token}/{path}", **options)
        text = await answer.text()
        self.assertEqual(answer.status, status, text)
        return (
            json.loads(text) if answer.content_type.endswith("json") else text
        )

    async def post(self, path, body, status=200, **options):
        answer = await self.client.post(
            f"/{TOKEN}/{path}", json=body, **options
        )
        text = await answer.text()
        self.assertEqual(answer.status, status, text)
        return json.loads(text)

    def body(self, example, name="bird", tab="a", **fields):
        return {
            "tab": tab,
            "answers": [[example["place"], example["revision"]]],
            "state": "label",
            "classes": [name],
            **fields,
        }
