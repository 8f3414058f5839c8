"""The files for production parse, and name what exists."""

import json
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import yaml
from absl.testing import absltest, parameterized
from google.protobuf import json_format
from tensorflow_serving.apis import predict_pb2

from export.saved_model.versions import (
    BATCHING_CONFIG,
    METRICS_PATH,
    MODELS_CONFIG,
    MONITORING_CONFIG,
)
from runkit.version import __version__

ROOT = pathlib.Path(__file__).absolute().parents[2]
DEPLOY = ROOT / "deploy"
# Flags of tensorflow_model_server that the files may use, as its source
# (main.cc) defines them.
SERVER = "/usr/bin/tensorflow_model_server"
SERVER_FLAGS = frozenset(
    {
        "allow_version_labels_for_unavailable_models",
        "batching_parameters_file",
        "enable_batching",
        "enable_grpc_healthcheck_service",
        "file_system_poll_wait_seconds",
        "model_base_path",
        "model_config_file",
        "model_config_file_poll_wait_seconds",
        "model_name",
        "monitoring_config_file",
        "port",
        "rest_api_num_threads",
        "rest_api_port",
        "rest_api_timeout_in_ms",
        "ssl_config_file",
    }
)
EXPORTED = {MODELS_CONFIG, BATCHING_CONFIG, MONITORING_CONFIG}


def documents(path):
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def deployment():
    (found,) = documents(DEPLOY / "kubernetes/deployment.yaml")
    return found["spec"]["template"]


def container():
    (found,) = deployment()["spec"]["containers"]
    return found


def dockerfile():
    """Returns {instruction: its text}, lines joined, comments left out."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = [x for x in text.splitlines() if not x.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return dict(re.findall(r"^([A-Z]+) (.+)$", joined, re.MULTILINE))


def commands():
    """Returns {file: (program, arguments)} of all that start TF Serving."""
    image = dockerfile()
    compose = documents(DEPLOY / "compose.yaml")[0]["services"]["serving"]
    pod = container()
    return {
        "Dockerfile": (
            json.loads(image["ENTRYPOINT"]),
            json.loads(image["CMD"]),
        ),
        "compose": (compose["entrypoint"], compose["command"]),
        "kubernetes": (pod["command"], pod["args"]),
    }


class CommandsTest(parameterized.TestCase):
    @parameterized.parameters("Dockerfile", "compose", "kubernetes")
    def test_programs_flags_and_files(self, where):
        program, arguments = commands()[where]
        self.assertEqual(program, [SERVER])
        flags = dict(x.removeprefix("--").split("=", 1) for x in arguments)
        self.assertLen(flags, len(arguments))
        self.assertLessEqual(set(flags), SERVER_FLAGS)
        files = {v for v in flags.values() if v.startswith("/")}
        self.assertEqual(files, {f"/models/t5/{name}" for name in EXPORTED})
        self.assertEqual(
            (flags["port"], flags["rest_api_port"]), ("8500", "8501")
        )


class RayTest(absltest.TestCase):
    """The clusters of `al_tf.select_shards_main`."""

    def test_one_version_of_this_package_and_of_ray(self):
        (cluster,) = documents(DEPLOY / "ray/cluster.yaml")
        self.assertEqual(
            cluster["setup_commands"],
            [
                "python3 -m pip install --user "
                f"'spactor-al[ray,scann]=={__version__}'"
            ],
        )
        pods, _ = documents(DEPLOY / "ray/kuberay.yaml")
        groups = [
            pods["spec"]["headGroupSpec"],
            *pods["spec"]["workerGroupSpecs"],
        ]
        images = {
            c["image"]
            for group in groups
            for c in group["template"]["spec"]["containers"]
        }
        self.assertEqual(images, {f"cluster-margin-ray:{__version__}"})
        setup = (ROOT / "setup.py").read_text(encoding="utf-8")
        self.assertIn(f"ray>={pods['spec']['rayVersion'][:-2]}", setup)

    def test_all_pods_share_one_volume(self):
        pods, claim = documents(DEPLOY / "ray/kuberay.yaml")
        for group in (
            pods["spec"]["headGroupSpec"],
            *pods["spec"]["workerGroupSpecs"],
        ):
            pod = group["template"]["spec"]
            claims = [
                volume["persistentVolumeClaim"]["claimName"]
                for volume in pod["volumes"]
                if "persistentVolumeClaim" in volume
            ]
            self.assertEqual(claims, [claim["metadata"]["name"]])
            mounted = {m["name"] for m in pod["containers"][0]["volumeMounts"]}
            self.assertEqual(mounted, {v["name"] for v in pod["volumes"]})

    def test_the_image_holds_the_packages(self):
        text = (DEPLOY / "ray/Dockerfile").read_text(encoding="utf-8")
        copied = re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE)
        self.assertEqual(copied, ["runkit", "spactor_tf", "al_tf", "export"])


class FilesTest(absltest.TestCase):
    def test_every_yaml_file_parses(self):
        found = list(DEPLOY.rglob("*.yaml"))
        self.assertNotEmpty(found)
        for path in found:
            for document in documents(path):
                self.assertIsInstance(document, dict, path.name)

    def test_one_release_of_tf_serving(self):
        texts = [p.read_text() for p in DEPLOY.rglob("*") if p.is_file()]
        releases = {
            release
            for text in texts
            for release in re.findall(
                r"tensorflow/serving:([\d.]+)|TF_SERVING=([\d.]+)", text
            )
        }
        self.assertEqual({"".join(r) for r in releases}, {"2.20.0"})

    def test_kubernetes_names_fit_together(self):
        folder = DEPLOY / "kubernetes"
        kustomization = documents(folder / "kustomization.yaml")[0]
        self.assertEqual(
            {*kustomization["resources"], "kustomization.yaml"},
            {path.name for path in folder.iterdir()},
        )
        labels = deployment()["metadata"]["labels"]
        ports = {p["name"]: p["containerPort"] for p in container()["ports"]}
        self.assertEqual(ports, {"grpc": 8500, "rest": 8501})
        (service,) = documents(folder / "service.yaml")
        self.assertEqual(service["spec"]["selector"], labels)
        for port in service["spec"]["ports"]:
            self.assertEqual(ports[port["targetPort"]], port["port"])
        (claim,) = documents(folder / "models.yaml")
        (volume,) = deployment()["spec"]["volumes"]
        self.assertEqual(
            volume["persistentVolumeClaim"]["claimName"],
            claim["metadata"]["name"],
        )
        for document in (
            *documents(folder / "autoscaler.yaml"),
            *documents(folder / "ingress.yaml"),
        ):
            self.assertEqual(document["metadata"]["name"], "t5-serving")

    def test_metrics_are_scraped_where_they_are(self):
        notes = deployment()["metadata"]["annotations"]
        self.assertEqual(notes["prometheus.io/path"], METRICS_PATH)
        (job,) = documents(DEPLOY / "prometheus.yaml")[0]["scrape_configs"]
        self.assertEqual(job["metrics_path"], METRICS_PATH)
        services = documents(DEPLOY / "compose.yaml")[0]["services"]
        host = job["static_configs"][0]["targets"][0].split(":")[0]
        self.assertIn(host, services)

    def test_compose_mounts_files_that_exist(self):
        services = documents(DEPLOY / "compose.yaml")[0]["services"]
        for service in services.values():
            for mount in service["volumes"]:
                source = mount.split(":")[0]
                # What the page tells to make: models and keys.
                if source.startswith("./") and source != "./tls":
                    self.assertTrue((DEPLOY / source).is_file(), source)

    def test_the_proxy_names_services_and_balances_braces(self):
        text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        self.assertEqual(text.count("{"), text.count("}"))
        services = documents(DEPLOY / "compose.yaml")[0]["services"]
        for host, port in re.findall(r"server (\w+):(\d+);", text):
            self.assertIn(host, services)
            self.assertIn(port, ("8500", "8501"))
        for name in re.findall(r"_pass \w+://(\w+);", text):
            self.assertIn(f"upstream {name} {{", text)

    def test_load_tests_send_requests(self):
        text = (DEPLOY / "ghz_embed.json").read_text(encoding="utf-8")
        request = json_format.Parse(text, predict_pb2.PredictRequest())
        self.assertEqual(
            list(request.inputs["text"].string_val), [b"a fine film"]
        )
        lua = (DEPLOY / "wrk_embed.lua").read_text(encoding="utf-8")
        (body,) = re.findall(r"wrk.body = '(.*)'", lua)
        self.assertEqual(json.loads(body)["instances"], ["a fine film"])
        signatures = {request.model_spec.signature_name}
        self.assertEqual(signatures, {json.loads(body)["signature_name"]})


if __name__ == "__main__":
    absltest.main()
