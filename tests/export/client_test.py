"""The client and the scoring of pools."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
import socket
import tempfile
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from pyarrow import parquet

from al_tf.inputs.pool_files import read_pool
from export import score_main
from export.client import Client, RemoteError
from export.dev_server.options import ServerOptions
from export.dev_server.server import DevServer
from export.saved_model.session import SessionModel
from export.scoring import scorer
from export.scoring.texts import pool_ids, pool_texts
from runkit import InputError
from tests.support import serving_models


class TransportTest(parameterized.TestCase):
    """Both transports against one server of the T5."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        base = pathlib.Path(tempfile.mkdtemp()) / "t5"
        cls.path = serving_models.export_t5(base, 4)
        options = ServerOptions(port=0, rest_api_port=0)
        cls.server = DevServer(base, options)
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def client(self, transport, **options):
        port = (
            self.server.port
            if transport == "grpc"
            else self.server.rest_api_port
        )
        client = Client(f"127.0.0.1:{port}", transport=transport, **options)
        self.addCleanup(client.close)
        return client

    @parameterized.product(
        transport=["grpc", "rest"],
        signature=["embed", "classify", "generate"],
    )
    def test_equals_the_model(self, transport, signature):
        texts = ["some text", b"", "\u05e9\U0001f600", b"\xff\xfe", "more"]
        client = self.client(transport, batch_size=2)
        found = client.predict(signature, {"text": texts})
        expected = SessionModel(self.path).run(signature, {"text": texts})
        self.assertEqual(set(found), set(expected))
        for name, value in expected.items():
            if value.dtype == np.float32:
                np.testing.assert_allclose(
                    found[name], value, rtol=1e-4, atol=1e-5
                )
            else:
                np.testing.assert_array_equal(found[name], value)

    @parameterized.parameters("grpc", "rest")
    def test_empty_batch_version_and_refusal(self, transport):
        client = self.client(transport)
        self.assertEqual(client.served_version(), 4)
        found = client.predict("embed", {"text": []})
        self.assertLen(found["embedding"], 0)
        with self.assertRaisesRegex(RemoteError, "Did you mean 'embed'"):
            client.predict("embd", {"text": ["a"]})
        with self.assertRaises(RemoteError) as caught:
            self.client(transport, version=9).predict("embed", {"text": ["a"]})
        self.assertEqual(caught.exception.code, "NOT_FOUND")

    @parameterized.parameters("grpc", "rest")
    def test_remote_scores_equal_local_ones(self, transport):
        texts = [f"text {'word ' * (i % 7)} {i}" for i in range(25)]
        folder = pathlib.Path(self.create_tempdir().full_path)
        local = scorer.score_pool(
            SessionModel(self.path).run,
            texts,
            folder / "local",
            model="m",
            shard_size=10,
            batch_size=4,
        )
        remote = scorer.score_pool(
            self.client(transport).predict,
            texts,
            folder / "remote",
            model="m",
            shard_size=7,
        )
        np.testing.assert_array_equal(local.example_ids, np.arange(25))
        self.assertEqual(local.embeddings.shape, (25, 32))
        for name in ("embeddings", "margins"):
            np.testing.assert_allclose(
                getattr(remote, name), getattr(local, name), atol=1e-5
            )
        one = SessionModel(self.path).run("classify", {"text": [texts[9]]})
        np.testing.assert_allclose(
            local.margins[9], one["margin"][0], atol=1e-5
        )


class RetryTest(parameterized.TestCase):
    def client(self, outcomes, **options):
        """Returns (client, its transport, the pauses that it makes)."""
        transport, pauses = mock.Mock(), []
        transport.call.side_effect = outcomes
        client = Client(
            "localhost:1",
            transport=transport,
            retries=3,
            first_pause_seconds=1.0,
            sleep=pauses.append,
            **options,
        )
        return client, transport, pauses

    def test_passing_trouble(self):
        busy = RemoteError("UNAVAILABLE", "busy")
        client, _, pauses = self.client([busy, busy, {"y": np.ones(1)}])
        answer = client.predict("embed", {"text": ["a"]})
        np.testing.assert_array_equal(answer["y"], [1])
        self.assertLen(pauses, 2)
        self.assertBetween(pauses[0], 0.5, 1.0)
        self.assertBetween(pauses[1], 1.0, 2.0)

    @parameterized.parameters(
        ("UNAVAILABLE", 4),
        ("RESOURCE_EXHAUSTED", 4),
        ("INVALID_ARGUMENT", 1),
        ("NOT_FOUND", 1),
        ("DEADLINE_EXCEEDED", 1),
    )
    def test_lasting_trouble(self, code, calls):
        client, transport, _ = self.client(
            RemoteError(code, "no") for _ in range(9)
        )
        with self.assertRaisesRegex(RemoteError, code):
            client.predict("embed", {"text": ["a"]})
        self.assertEqual(transport.call.call_count, calls)

    def test_deadline(self):
        busy = RemoteError("UNAVAILABLE", "busy")
        client, _, pauses = self.client([busy], deadline_seconds=0.0)
        with self.assertRaisesRegex(RemoteError, "out of time"):
            client.predict("embed", {"text": ["a"]})
        self.assertEmpty(pauses)

    @parameterized.parameters("grpc", "rest")
    def test_nobody_listens(self, transport):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        client = Client(
            address, transport=transport, retries=1, sleep=lambda s: None
        )
        with self.assertRaisesRegex(RemoteError, "UNAVAILABLE"):
            client.predict("embed", {"text": ["a"]})

    @parameterized.parameters(
        "localhost", "http://localhost:80", ":80", "h:x", "h:99999", "h:８０"
    )
    def test_bad_address(self, address):
        with self.assertRaisesRegex(InputError, "not an address"):
            Client(address)


def fake_predict(signature, inputs):
    """Margins that tell which text they belong to."""
    numbers = np.array([int(text) for text in inputs["text"]], np.float32)
    return {"embedding": np.stack([numbers, -numbers], 1), "margin": numbers}


class ScorerTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path) / "scores"
        self.texts = [str(10 ** (i % 5) + i) for i in range(23)]

    def score(self, predict=fake_predict, texts=None, **options):
        options = {"model": "m", "shard_size": 5, "batch_size": 2, **options}
        return scorer.score_pool(
            predict, texts or self.texts, self.folder, **options
        )

    def test_order_is_that_of_the_texts(self):
        scores = self.score()
        expected = [float(text) for text in self.texts]
        self.assertEqual(scores.margins.tolist(), expected)
        self.assertEqual(
            scores.embeddings[:, 1].tolist(), [-e for e in expected]
        )
        written = np.load(self.folder / "margins.npy", allow_pickle=False)
        self.assertEqual(written.tolist(), expected)

    def test_resumes_after_an_interruption(self):
        calls = []

        def failing(signature, inputs):
            calls.append(len(inputs["text"]))
            if len(calls) == 8:
                raise RemoteError("UNAVAILABLE", "gone")
            return fake_predict(signature, inputs)

        with self.assertRaises(RemoteError):
            self.score(failing)
        self.assertFalse((self.folder / "margins.npy").exists())
        shards = self.folder / "shards"
        self.assertLen(list(shards.iterdir()), 2)
        (shards / "00000.npz").write_bytes(b"damaged")
        calls.clear()

        def counting(signature, inputs):
            calls.append(len(inputs["text"]))
            return fake_predict(signature, inputs)

        scores = self.score(counting)
        self.assertEqual(sum(calls), 23 - 5)  # All but the one whole shard.
        self.assertEqual(
            scores.margins.tolist(), [float(text) for text in self.texts]
        )

    def test_foreign_scores_are_refused(self):
        self.score()
        with self.assertRaisesRegex(InputError, "another model"):
            self.score(model="other")
        with self.assertRaisesRegex(InputError, "another model or shard"):
            self.score(shard_size=6)
        with self.assertRaisesRegex(InputError, "other texts"):
            self.score(texts=[*self.texts[:-1], "7"])
        with self.assertRaisesRegex(InputError, "no texts"):
            scorer.score_pool(fake_predict, [], self.folder / "none", model="m")


class PoolTextsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = pathlib.Path(self.create_tempdir().full_path)
        self.path = folder / "pool.jsonl"

    def test_every_row_counts(self):
        rows = ["one", "", "  ", "\u05e9"]
        self.path.write_text(
            "".join(json.dumps({"t": r, "label": 1}) + "\n" for r in rows)
        )
        found = list(pool_texts(f"jsonl:{self.path}:t:label"))
        self.assertEqual(found, [b"one", b"", b"  ", b"\xd7\xa9"])

    def test_scores_with_ids_are_a_pool(self):
        self.path.write_text(
            "".join(json.dumps({"t": t, "key": f"k{t}"}) + "\n" for t in "312")
        )
        spec = f"jsonl:{self.path}:t"
        ids = pool_ids(spec, "key")
        folder = self.path.parent / "scores"
        scores = scorer.score_pool(
            fake_predict, pool_texts(spec), folder, model="m"
        )
        path = scorer.write_table(folder, scores, ids)
        pool = read_pool(path)
        self.assertEqual(pool.ids.tolist(), ["k1", "k2", "k3"])
        np.testing.assert_array_equal(
            pool.parts[0], scores.embeddings[[1, 2, 0]]
        )
        margins = parquet.read_table(path)["margin"].to_numpy()
        np.testing.assert_array_equal(margins, scores.margins)
        with self.assertRaisesRegex(InputError, "Did you mean 'key'"):
            pool_ids(spec, "keys")

    @parameterized.parameters(
        ('{"t": "a"}\n{"t": 1}', "line 2"),
        ('{"u": "a"}', "line 1"),
        ("[]", "line 1"),
        ("nonsense", "line 1"),
        ('{"t": "\\ud800"}', "line 1: holds half of a character"),
    )
    def test_bad_rows(self, text, message):
        self.path.write_text(text)
        with self.assertRaisesRegex(InputError, message):
            list(pool_texts(f"jsonl:{self.path}:t"))

    @parameterized.parameters(
        ("jsonl:none.jsonl:t", "no file matches"),
        ("jsonl:x", "no text field"),
        ("json:x:t", "Did you mean 'jsonl'"),
        ("tfds:no_such_set", "TFDS does not know it"),
    )
    def test_bad_specifications(self, spec, message):
        with self.assertRaisesRegex(InputError, message):
            list(pool_texts(spec))

    def test_scores_do_not_go_into_a_folder_of_others(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "checkpoints").mkdir()
        with self.assertRaisesRegex(
            InputError, "holds files but no scores; got 'checkpoints'"
        ):
            scorer.score_pool(None, ["a"], folder, model="m")
        self.assertEqual([p.name for p in folder.iterdir()], ["checkpoints"])

    def test_damaged_facts_are_named(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "scoring.json").write_text("[1]")
        with self.assertRaisesRegex(InputError, "scoring.json: is damaged"):
            scorer.score_pool(None, ["a"], folder, model="m")

    def test_exactly_one_source_of_scores(self):
        values = mock.Mock(model_dir=None, server=None)
        with self.assertRaisesRegex(InputError, "exactly one"):
            score_main.asked_model(values)


if __name__ == "__main__":
    absltest.main()
