"""The routes: who may call them, what is refused, two tabs at once."""

import asyncio
import errno
import re
import threading
from unittest import mock

import hypothesis
from absl.testing import absltest
from hypothesis import strategies as st

from al_tf.label_page import server
from runkit import InputError
from tests.support.faults import fuzzing
from tests.support.labeling import page_data
from tests.support.labeling.server_case import TOKEN, ServerTestCase


class CallerTest(ServerTestCase):
    async def test_no_or_another_token(self):
        for path in ("/", "/x/", f"/{TOKEN[:-1]}/view?tab=a", "/favicon.ico"):
            answer = await self.client.get(path)
            self.assertEqual(answer.status, 403, path)
            self.assertIn("address", (await answer.json())["error"])
        await self.get("view?tab=a", 403, token=TOKEN[:-1] + "é")
        await self.get("view?tab=a", 403, token=f"x/{TOKEN}")
        await self.get("nothing", 404)
        await self.get("answer", 405)

    async def test_other_hosts(self):
        for host, status in (
            ("127.0.0.1:80", 200),
            ("localhost:8765", 200),
            ("[::1]:1", 200),
            ("evil.example", 403),
            ("evil.example:8765", 403),
            ("127.0.0.1.evil.example", 403),
            ("localhost:80:80", 403),
            ("", 403),
        ):
            await self.get("view?tab=a", status, headers={"Host": host})

    async def test_other_origins(self):
        port = self.client.port
        body = {"tab": "a", "after": None}
        for origin, status in (
            (f"http://127.0.0.1:{port}", 200),
            (f"https://127.0.0.1:{port}", 403),
            (f"http://127.0.0.1:{port + 1}", 403),
            (f"http://localhost:{port}", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ):
            headers = {"Origin": origin}
            await self.post("next", body, status, headers=headers)
            await self.get("view?tab=a", status, headers=headers)

    async def test_forms_of_other_sites_cannot_post(self):
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            answer = await self.client.post(
                f"/{TOKEN}/next",
                data=b'{"tab": "a", "after": null}',
                headers={"Content-Type": kind},
            )
            self.assertEqual(answer.status, 415)

    async def test_headers_of_every_answer(self):
        for path in (f"/{TOKEN}/", f"/{TOKEN}/view?tab=a", "/", f"/{TOKEN}/x"):
            headers = (await self.client.get(path)).headers
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["Referrer-Policy"], "no-referrer")
            self.assertEqual(headers["Cache-Control"], "no-store")
            policy = headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)

    async def test_the_page_asks_nobody_else(self):
        page = await self.get("")
        self.assertNotRegex(page, r"https?://|//\w+\.\w|@import|url\(")
        self.assertNotRegex(page, r"innerHTML|insertAdjacentHTML|eval\(")
        self.assertNotRegex(page, r"\son\w+=\"|\sstyle=\"")


class AnswersTest(ServerTestCase):
    async def test_answers_until_the_batch_is_done(self):
        view = await self.get("view?tab=a")
        while example := view["example"]:
            name = page_data.truth(example["place"])
            view = await self.post("answer", self.body(example, name))
        batch = self.project.state.batches[0]
        self.assertEqual(
            self.project.labels(),
            {i: (page_data.truth(int(i[1:])),) for i in batch.ids},
        )
        self.assertEqual(view["progress"]["left"], 0)
        view = await self.post("next", {"tab": "a", "after": batch.name})
        self.assertEqual(view["newest"], f"{self.project.name}-001")
        self.assertIsNotNone(view["example"]["suggestion"]["margin"])

    async def test_sent_twice_and_refused(self):
        example = (await self.get("view?tab=a"))["example"]
        for _ in range(2):
            await self.post("answer", self.body(example))
        refused = await self.post("answer", self.body(example, "fish"), 409)
        self.assertIn(f"{example['id']} is bird", refused["error"])
        self.assertEqual(self.project.state.changes.total(), 1)

    async def test_undo_shows_the_example_again(self):
        example = (await self.get("view?tab=a"))["example"]
        await self.post("answer", self.body(example))
        body = {"tab": "a", "answers": [[example["place"], 1]]}
        for _ in range(2):
            view = await self.post("undo", body)
            self.assertEqual(view["example"]["id"], example["id"])
            self.assertEqual(view["example"]["revision"], 2)
        self.assertFalse(self.project.state.answers)
        self.assertEqual(len(self.project.state.amendments), 1)

    async def test_copies(self):
        example = (await self.get("view?tab=a"))["example"]
        found = await self.get(f"copies?place={example['place']}")
        self.assertEqual(found["total"], 2)
        body = self.body(example)
        body["answers"] += [[one["place"], 0] for one in found["copies"]]
        view = await self.post("answer", body)
        self.assertNotEqual(view["example"]["id"], example["id"])
        self.assertEqual(len(self.project.labels()), 3)

    async def test_two_tabs_at_once(self):
        given = {}

        async def label(tab, name):
            view = await self.get(f"view?tab={tab}")
            while example := view["example"]:
                body = self.body(example, name, tab)
                answer = await self.client.post(f"/{TOKEN}/answer", json=body)
                if answer.status == 200:
                    self.assertNotIn(example["id"], given)
                    given[example["id"]] = (name,)
                    view = await answer.json()
                else:
                    self.assertEqual(answer.status, 409)
                    view = await self.get(f"view?tab={tab}")

        await asyncio.gather(label("a", "bird"), label("b", "fish"))
        self.assertEqual(self.project.labels(), given)
        self.assertEqual(len({*given.values()}), 2)
        self.assertEqual(self.project.state.changes.total(), 12)

    async def test_others_wait_while_a_batch_is_chosen(self):
        begun, go = threading.Event(), threading.Event()

        def slow(after):
            begun.set()
            go.wait(60)

        with mock.patch.object(self.session, "next_batch", slow):
            body = {"tab": "a", "after": None}
            choosing = asyncio.ensure_future(self.post("next", body))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            busy = await self.get("view?tab=b", 503)
            self.assertIn("being chosen", busy["error"])
            await self.post("next", body, 503)
            self.assertFalse(self.page.is_idle(0.01))
            go.set()
            await choosing
        await self.get("view?tab=b")
        self.assertTrue(self.page.is_idle(1.0))

    async def test_a_full_disk_loses_nothing(self):
        example = (await self.get("view?tab=a"))["example"]
        full = OSError(errno.ENOSPC, "No space left on device")
        with mock.patch.object(self.project, "take", side_effect=full):
            error = await self.post("answer", self.body(example), 503)
        self.assertIn("No space left", error["error"])
        await self.post("answer", self.body(example))
        self.assertEqual(len(self.project.labels()), 1)

    async def test_nothing_left_to_choose(self):
        with mock.patch.object(
            self.project, "next_batch", side_effect=InputError("nothing left")
        ):
            newest = (await self.get("view?tab=a"))["newest"]
            error = await self.post("next", {"tab": "a", "after": newest}, 503)
        self.assertIn("nothing left", error["error"])

    async def test_an_internal_error_tells_nothing(self):
        with mock.patch.object(
            self.session, "view", side_effect=RuntimeError("secret")
        ):
            answer = await self.client.get(f"/{TOKEN}/view?tab=a")
            text = await answer.text()
        self.assertEqual(answer.status, 500)
        self.assertNotRegex(text, "secret|Traceback")


class ImageTest(ServerTestCase):
    def make(self):
        project = page_data.make_images(self.folder)
        project.next_batch()
        return project

    async def test_images(self):
        place = (await self.get("view?tab=a"))["example"]["place"]
        answer = await self.client.get(f"/{TOKEN}/image?place={place}")
        self.assertEqual(answer.content_type, "image/png")
        self.assertTrue((await answer.read()).startswith(b"\x89PNG"))
        for wrong in ("", "-1", "20", "1e1", "x", "٣", "9" * 30):
            await self.get(f"image?place={wrong}", 400)


class MalformedTest(ServerTestCase):
    async def test_bodies(self):
        example = (await self.get("view?tab=a"))["example"]
        good = self.body(example)
        for path in ("answer", "undo", "next"):
            for data in (b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000):
                answer = await self.client.post(
                    f"/{TOKEN}/{path}",
                    data=data,
                    headers={"Content-Type": "application/json"},
                )
                self.assertEqual(answer.status, 400, (path, data[:9]))
        for change in (
            {"tab": None},
            {"tab": "a b"},
            {"tab": "x" * 65},
            {"answers": []},
            {"answers": [[0]]},
            {"answers": [[True, False]]},
            {"answers": [[0.0, 0]]},
            {"answers": [[-1, 0]]},
            {"answers": [[10**30, 0]]},
            {"answers": {"0": 0}},
            {"answers": [[i, 0] for i in range(60)]},
            {"state": "maybe"},
            {"state": ["label"]},
            {"classes": "bird"},
            {"classes": [1]},
            {"classes": ["dog"]},
            {"classes": []},
        ):
            await self.post("answer", {**good, **change}, 400)
        await self.post("next", {"tab": "a", "after": 3}, 400)
        await self.get("view", 400)
        self.assertFalse(self.project.state.answers)

    async def test_a_large_body(self):
        body = {"tab": "a", "after": "x" * (1 << 19)}
        await self.post("next", body, 413)

    async def test_any_body(self):
        example = (await self.get("view?tab=a"))["example"]
        leaves = fuzzing.json_values(("tab", "answers", "state", "classes"))
        bodies = st.fixed_dictionaries(
            {
                "tab": st.just("a") | leaves,
                "answers": st.just([[example["place"], 0]]) | leaves,
                "state": st.just("label") | leaves,
                "classes": st.just(["dog"]) | leaves,
            }
        )
        found = []

        # Hypothesis runs no coroutines: it draws, the loop sends.
        @fuzzing.inputs(60)
        @hypothesis.given(bodies)
        def draw(body):
            found.append(body)

        draw()
        for body in found:
            for path in ("answer", "undo"):
                if path == "undo" and body["answers"] == [
                    [example["place"], 0]
                ]:
                    continue
                answer = await self.client.post(f"/{TOKEN}/{path}", json=body)
                self.assertEqual(answer.status, 400, (path, body))
                self.assertIn("error", await answer.json())


class PolicyTest(absltest.TestCase):
    def test_own_script_and_style_alone(self):
        policy = server.content_security_policy(
            "<style>a</style><script>b</script>"
        )
        # echo -n a | openssl dgst -sha256 -binary | base64
        self.assertIn(
            "style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='",
            policy,
        )
        self.assertTrue(re.search("script-src 'sha256-Pi[^']*'", policy))


if __name__ == "__main__":
    absltest.main()
