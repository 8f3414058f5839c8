"""TensorFlow's C library: tensors, errors, and sessions without its package."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

import ml_dtypes
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from export.c_api import graph_session, library, tensors
from export.c_api.messages import message_class
from runkit import InputError
from tests.support import serving_models

ROOT = pathlib.Path(__file__).resolve().parents[3]
# What a server's process does; TensorFlow's package is imported afterwards.
SERVER = """
import sys
from export.saved_model.session import SessionModel
model = SessionModel(sys.argv[1])
first = model.run("embed", {"text": ["abc", ""]})["embedding"].tolist()
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"tensorflow", "keras", "tensorflow_text"}, loaded
import tensorflow as tf
assert float(tf.reduce_sum(tf.constant([1.0, 2.0]))) == 3.0
assert model.run("embed", {"text": ["abc", ""]})["embedding"].tolist() == first
print("same")
"""


class TensorsTest(parameterized.TestCase):
    @parameterized.parameters(
        *(1, 2, 3, 4, 5, 6, 8, 9, 10, 17, 18, 19, 22, 23, 14),
    )
    def test_numbers_come_back(self, dtype):
        kind = tensors.numpy_type(dtype)
        self.assertEqual(kind, tf.as_dtype(dtype).as_numpy_dtype)
        self.assertEqual(tensors.type_name(dtype), tf.as_dtype(dtype).name)
        for shape in ((), (0,), (3,), (2, 0, 4), (2, 3)):
            array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
            self.assert_comes_back(array, dtype)
        columns = np.asfortranarray(np.arange(6).reshape(2, 3).astype(kind))
        self.assert_comes_back(columns, dtype)

    @parameterized.parameters(((),), ((0,),), ((4,),), ((2, 2),))
    def test_texts_come_back(self, shape):
        texts = [b"", b"a\0b", "é".encode(), b"long " * 1000]
        array = np.array(texts, object)[: int(np.prod(shape))].reshape(shape)
        self.assert_comes_back(array, tensors.STRING)

    def assert_comes_back(self, array, dtype):
        lib = library.library()
        tensor = tensors.new_tensor(lib, array, dtype)
        found = tensors.to_array(lib, tensor)
        lib.TF_DeleteTensor(tensor)
        self.assertEqual(found.dtype, array.dtype)
        self.assertEqual(found.shape, array.shape)
        self.assertEqual(found.tolist(), array.tolist())

    def test_what_no_array_holds(self):
        with self.assertRaisesRegex(InputError, "cannot hold.*20"):
            tensors.numpy_type(20)  # A resource.
        self.assertEqual(tensors.numpy_type(14), ml_dtypes.bfloat16)


class MessagesTest(absltest.TestCase):
    def test_fields_have_tensorflows_numbers(self):
        config = config_pb2.ConfigProto.FromString(
            graph_session.session_config()
        )
        expected = config_pb2.ConfigProto()
        expected.experimental.optimize_for_static_graph = True
        expected.experimental.disable_output_partition_graphs = True
        expected.experimental.disable_thread_spinning = True
        expected.graph_options.place_pruned_graph = True
        self.assertEqual(config, expected)

    def test_a_signature_keeps_what_is_not_described(self):
        known = meta_graph_pb2.SignatureDef(method_name="m")
        known.inputs["x"].name = "x:0"
        known.inputs["x"].dtype = 7
        known.inputs["x"].tensor_shape.dim.add(size=-1, name="batch")
        known.outputs["y"].coo_sparse.values_tensor_name = "v:0"
        known.outputs["y"].tensor_shape.unknown_rank = True
        known.defaults["x"].string_val.append(b"d")
        found = message_class("SignatureDef").FromString(
            known.SerializeToString()
        )
        self.assertEqual(found.inputs["x"].tensor_shape.dim[0].size, -1)
        self.assertTrue(found.outputs["y"].tensor_shape.unknown_rank)
        again = meta_graph_pb2.SignatureDef.FromString(
            found.SerializeToString()
        )
        self.assertEqual(again, known)


class GraphSessionTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        serving_models.write_toy(pathlib.Path(folder), 1)
        cls.path = pathlib.Path(folder) / "1"

    def session(self):
        session = graph_session.GraphSession(self.path)
        self.addCleanup(session.close)
        known = session.signatures["embed"]
        call = session.make_callable(
            [known.outputs["embedding"].name], [(known.inputs["text"].name, 7)]
        )
        return session, call

    def test_threads_share_a_session(self):
        _, call = self.session()
        found = {}

        def ask(number):
            texts = np.array([b"x" * number] * (number + 1), object)
            for _ in range(20):
                found[number] = call(texts)[0]

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, embedding in found.items():
            self.assertEqual(embedding.shape, (number + 1, 2))
            self.assertEqual(embedding[:, 0].tolist(), [number] * (number + 1))

    def test_close_waits_for_calls_of_other_threads(self):
        session, call = self.session()
        texts = np.array([b"x"], object)
        closing = threading.Thread(target=session.close)
        with session._open_session():  # As a call that runs has it.
            closing.start()
            with self.assertRaisesRegex(RuntimeError, "the session is closed"):
                while True:
                    call(texts)
            closing.join(0.5)
            self.assertTrue(closing.is_alive())
        closing.join(10)
        self.assertFalse(closing.is_alive())

    def test_what_is_missing_is_named(self):
        session, call = self.session()
        with self.assertRaisesRegex(InputError, "no such tensor.*nothing:0"):
            session.make_callable(["nothing:0"], [])
        known = session.signatures["embed"]
        numbers = session.make_callable(
            [known.outputs["embedding"].name], [(known.inputs["text"].name, 1)]
        )
        with self.assertRaises(library.TensorFlowError) as caught:
            numbers(np.ones([1], np.float32))  # The graph wants texts.
        self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")
        session.close()
        session.close()
        with self.assertRaisesRegex(RuntimeError, "closed"):
            call(np.array([b"a"], object))

    def test_what_cannot_be_loaded(self):
        copy = pathlib.Path(self.create_tempdir().full_path) / "1"
        shutil.copytree(self.path, copy)
        shutil.rmtree(copy / "variables")
        with self.assertRaisesRegex(InputError, "variables.index: is missing"):
            graph_session.GraphSession(copy)
        with self.assertRaisesRegex(library.TensorFlowError, "train"):
            graph_session.GraphSession(self.path, "train")
        with self.assertRaises(library.TensorFlowError) as caught:
            library.load_op_library(str(copy / "none.so"))
        self.assertEqual(caught.exception.code, "NOT_FOUND")

    def test_serves_without_the_package_and_beside_it(self):
        done = subprocess.run(
            [sys.executable, "-c", SERVER, str(self.path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stdout, "same\n", done.stderr[-2000:])


if __name__ == "__main__":
    absltest.main()
