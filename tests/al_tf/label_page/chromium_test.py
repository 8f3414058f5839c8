"""The page in a real browser: keys, reloads, tabs, a server that is killed."""

import asyncio
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import pytest
from absl.testing import absltest

from al_tf.project.project import Project
from tests.support.isolated import ROOT
from tests.support.labeling import chromium, page_data

LABELS = 200
# Where pictures of the page are wanted; they are looked at by people.
PICTURES = os.environ.get("LABEL_PAGE_PICTURES", "")
ID = (
    "!document.getElementById('work').hidden && view.example && view.example.id"
)
DONE = "!document.getElementById('done').hidden"
READY = (
    f"!busy && ({DONE} || (({ID}) && performance.now() - shownAt >= GLANCE))"
)


@pytest.mark.slow
@unittest.skipUnless(chromium.PROGRAM, "needs Chromium")
class ChromiumTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.folder = pathlib.Path(
            self.enterContext(
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            )
        )
        self.process, self.port = None, 0
        self.addCleanup(self.stop)

    def start(self, project, *flags):
        """Starts the server, always at the same port."""
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "al_tf.label_main",
                f"--project={project.folder}",
                f"--port={self.port}",
                "--annotator=eve",
                *flags,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        (url,) = re.findall(r"http://\S+", self.process.stdout.readline())
        self.port = int(url.split(":")[2].split("/")[0])
        return url

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
        if self.process:
            self.process.stdout.close()
        self.process = None

    async def open(self, url):
        browser = await self.enterAsyncContext(chromium.browser(self.folder))
        return browser, await browser.tab(url)

    async def label(self, tab, given):
        """Labels the example that a tab shows; False: there is none."""
        await tab.wait_for(READY)
        if await tab.look(DONE):
            return False
        name = await tab.look("view.example.id")
        wanted = page_data.truth(int(name[1:]))
        given[name] = wanted
        await tab.press(str(1 + page_data.CLASSES.index(wanted)))
        return True

    async def settled(self, tab):
        await tab.wait_for(f"{READY} && pending === null", 60)

    def check(self, project, given):
        """Every label is in the project exactly once, as it was pressed."""
        state = Project(project.folder).state
        self.assertEqual(
            {i: a["eve"].classes for i, a in state.answers.items()},
            {name: (wanted,) for name, wanted in given.items()},
        )
        self.assertEqual(state.changes.total(), len(given))
        self.assertEqual(state.amendments, [])

    async def test_two_hundred_labels(self):
        project = page_data.make_texts(self.folder, LABELS, batch_size=LABELS)
        project.next_batch()
        url, given, kills = self.start(project), {}, 0
        browser, tab = await self.open(url)
        begin = time.monotonic()
        while len(given) < 120:
            self.assertTrue(await self.label(tab, given))
            if len(given) == 40:  # With an answer on its way or not.
                await tab.call("Page.reload")
            if len(given) in (60, 75, 90, 105):
                # The key may be in the page, in the server, or on disk.
                await asyncio.sleep(kills * 0.004)
                self.process.send_signal(signal.SIGKILL)
                self.stop()
                kills += 1
                if kills == 2:
                    await tab.wait_for(
                        "!document.getElementById('lost').hidden"
                    )
                    text = await tab.look(
                        "document.getElementById('lost').innerText"
                    )
                    self.assertIn("Connection lost", text)
                self.assertEqual(self.start(project), url)
        other = await browser.tab(url)

        async def rest(one):
            while await self.label(one, given):
                await self.settled(one)

        await asyncio.gather(rest(tab), rest(other))
        seconds = time.monotonic() - begin
        print(f"{len(given)} labels, {kills} kills, {seconds:.0f} s")
        self.assertEqual(len(given), LABELS)
        self.check(project, given)
        for one in (tab, other):
            self.assertEqual(one.errors, [])

    async def test_the_same_example_in_two_tabs(self):
        project = page_data.make_texts(self.folder, 12, batch_size=1)
        project.next_batch()
        browser, tab = await self.open(self.start(project))
        other = await browser.tab(await tab.look("location.href"))
        for one in (tab, other):
            await one.wait_for(ID)
        await tab.press("1")
        await tab.wait_for(DONE)
        await other.press("2")
        await other.wait_for(DONE)
        said = await other.look("document.getElementById('said').innerText")
        self.assertRegex(said, "Not saved: fish for .*is bird")
        self.assertEqual(
            [*Project(project.folder).labels().values()], [("bird",)]
        )

    async def test_undo_copies_and_the_next_batch(self):
        project = page_data.make_texts(self.folder, 30, batch_size=4)
        _, tab = await self.open(self.start(project))
        await tab.wait_for(DONE)
        await tab.press("n")
        await tab.wait_for("view?.example?.copies", 60)
        name = await tab.look("view.example.id")
        await tab.press("c")
        await tab.wait_for("document.getElementById('copies').open")
        await tab.press("Escape")
        await tab.wait_for("!document.getElementById('copies').open")
        self.assertEqual(Project(project.folder).state.counts(), {})
        await tab.press("c")
        await tab.wait_for("document.getElementById('copies').open")
        await tab.press("2")
        await self.settled(tab)
        self.assertEqual(Project(project.folder).state.counts(), {"label": 3})
        # The tab knows what it did after a reload too.
        await tab.call("Page.reload")
        await self.settled(tab)
        await tab.press("z")
        await tab.wait_for(f"({ID}) === '{name}'")
        self.assertEqual(Project(project.folder).state.counts(), {})
        await self.settled(tab)
        for key in "su":
            await tab.press(key)
            await self.settled(tab)
            # The key bounces: the next example has only just been shown.
            is_taken = await tab.look(
                "shownAt = performance.now();"
                "document.body.dispatchEvent(new KeyboardEvent('keydown',"
                f"{{key: '{key}', bubbles: true}}));"
                "busy"
            )
            self.assertFalse(is_taken)
            await self.settled(tab)
        while await self.label(tab, {}):
            await self.settled(tab)
        state = Project(project.folder).state
        self.assertEqual(state.counts(), {"skip": 1, "unsure": 1, "label": 2})
        await tab.press("n")
        await tab.wait_for("view?.example?.suggestion", 120)
        self.assertEqual(len(Project(project.folder).state.batches), 2)
        self.assertEqual(tab.errors, [])

    async def test_how_it_looks(self):
        """No side scrolling, no jumps, targets that a thumb can hit."""
        project = page_data.make_texts(self.folder, 60, batch_size=10)
        project.next_batch()
        _, tab = await self.open(self.start(project))
        for width, height in ((1200, 850), (400, 800)):
            await tab.resize(width, height)
            await tab.wait_for("view?.example?.cluster_size")
            self.assertLessEqual(
                await tab.look("document.documentElement.scrollWidth"), width
            )
            tops = (
                "[...document.querySelectorAll('main button')]"
                ".map(b => b.getBoundingClientRect().top).join()"
            )
            before = await tab.look(tops)
            await self.label(tab, {})
            await self.settled(tab)
            self.assertEqual(await tab.look(tops), before)
            smallest = await tab.look(
                "Math.min(...[...document.querySelectorAll('main button')]"
                ".filter(b => b.offsetParent)"
                ".map(b => b.getBoundingClientRect().height))"
            )
            self.assertGreaterEqual(smallest, 44)
            if PICTURES:
                path = pathlib.Path(PICTURES) / f"page-{width}.png"
                await tab.picture(path)
        self.assertEqual(tab.errors, [])


if __name__ == "__main__":
    absltest.main()
