"""The development server with several models of a `models.config`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import tempfile

import grpc
from absl.testing import parameterized
from google.protobuf import text_format
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from export.dev_server.options import ServerOptions
from export.dev_server.server import DevServer
from export.saved_model import protos
from tests.support.serving import half_plus

CONFIG = """
model_config_list {{
  config {{
    name: "half"
    base_path: "{base}/half"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 123 versions: 124 }} }}
    version_labels {{ key: "stable" value: 123 }}
    version_labels {{ key: "canary" value: 124 }}
  }}
  config {{
    name: "other"
    base_path: "{base}/other"
    model_platform: "tensorflow"
  }}
}}
"""


def config(text):
    """Returns a ModelServerConfig."""
    return text_format.Parse(text, protos.model_server_config())


class ManyModelsCase(parameterized.TestCase):
    """half: 123 (offset 3) and 124 (offset 4); other: 1 (offset 0)."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.base = pathlib.Path(folder)
        made = half_plus.write_half_plus(cls.base / "half", 123, 3.0)
        made.rename(made.with_name("00000123"))
        half_plus.write_half_plus(cls.base / "half", 124, 4.0)
        half_plus.write_half_plus(cls.base / "half", 125, 5.0)
        half_plus.write_half_plus(cls.base / "other", 1, 0.0)
        cls.config_file = cls.base / "models.config"
        cls.config_file.write_text(CONFIG.format(base=cls.base))
        options = ServerOptions(
            port=0,
            rest_api_port=0,
            model_config_file=str(cls.config_file),
            allow_version_labels_for_unavailable_models=True,
            poll_seconds=0.05,
        )
        cls.server = DevServer(None, options)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{cls.server.port}")
        cls.addClassCleanup(cls.channel.close)
        cls.stub = prediction_service_pb2_grpc.PredictionServiceStub(
            cls.channel
        )
        cls.models = model_service_pb2_grpc.ModelServiceStub(cls.channel)

    def code(self, method, request):
        """Returns (status, message) of a call that fails."""
        with self.assertRaises(grpc.RpcError) as caught:
            method(request, timeout=60)
        error = caught.exception
        return error.code().name, error.details()
