"""TF Serving's documented behavior over REST, case by case."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import http.client
import json
import re

from absl.testing import absltest, parameterized

from tests.support.serving.served_models import ManyModelsCase
from tests.support.serving.tf_serving_cases import cases


class RestCasesTest(ManyModelsCase):
    def ask(self, request, body=None, headers=None):
        """Returns (HTTP status, body)."""
        method, path = request.split(" ")
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.server.rest_api_port, timeout=60
        )
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, answer

    @parameterized.named_parameters(
        (re.sub(r"\W+", "_", case.what), case) for case in cases()
    )
    def test_case(self, case):
        status, body = self.ask(case.request, case.body, case.headers)
        self.assertEqual(status, case.status, body[:300])
        if case.raw_answer:
            self.assertEqual(body.decode(), case.raw_answer)
        elif case.answer is not None:
            self.assertEqual(json.loads(body), case.answer)
        elif status != 200:
            self.assertIn(case.error, json.loads(body)["error"])

    def test_metadata(self):
        for path, version in (("", "124"), ("/labels/stable", "123")):
            status, body = self.ask(f"GET /v1/models/half{path}/metadata")
            self.assertEqual(status, 200)
            found = json.loads(body)
            self.assertEqual(
                found["model_spec"],
                {"name": "half", "signature_name": "", "version": version},
            )
            signatures = found["metadata"]["signature_def"]["signature_def"]
            default = signatures["serving_default"]
            self.assertEqual(
                default["inputs"]["x"]["tensor_shape"],
                {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
            )
            self.assertEqual(default["inputs"]["x"]["dtype"], "DT_FLOAT")
            self.assertEqual(
                default["method_name"], "tensorflow/serving/predict"
            )


if __name__ == "__main__":
    absltest.main()
