"""Packaging: three public packages and the small kit they share."""

import pathlib

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION: dict[str, str] = {}
exec((ROOT / "runkit" / "version.py").read_text(encoding="utf-8"), VERSION)

PACKAGES = ("runkit", "spactor_tf", "al_tf", "export")

# The oldest releases that the code is written against; the exact versions
# that it is tested with are in requirements.lock.
INSTALL_REQUIRES = [
    "absl-py>=2.1",
    "etils[epath]>=1.9",
    "fsspec>=2024.2",
    "importlib_resources",  # tensorflow-datasets needs it, undeclared.
    "keras>=3.15,<4",
    "keras-hub>=0.32,<0.33",
    "lazy-loader>=0.4",
    "matplotlib>=3.9",
    "numba>=0.61",
    "numpy>=1.26",
    "pyarrow>=17",
    "safetensors>=0.5",
    "scipy>=1.11",
    "sentencepiece>=0.2",
    "tensorboard>=2.20",
    "tensorflow>=2.20,<2.21",
    "tensorflow-datasets>=4.9.6",
    "tensorflow-text>=2.20,<2.21",
    "threadpoolctl>=3",
]

setup(
    name="spactor-al",
    version=VERSION["__version__"],
    description=(
        "SpacTor pre-training, Cluster-Margin active learning and "
        "TF Serving export for T5 in TensorFlow and Keras 3"
    ),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    # `tests` is not installed: the name would collide with other projects'.
    packages=find_packages(include=[f"{name}*" for name in PACKAGES]),
    # The stubs are read at run time: they name what loads on first use.
    package_data={
        "": ["*.pyi", "py.typed"],
        "al_tf.label_page": ["page.html"],
    },
    install_requires=INSTALL_REQUIRES,
    extras_require={
        "active-learning": ["scikit-learn>=1.4"],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
        "scann": ["scann>=1.4.2"],
        "serving": [
            "aiohttp>=3.13",
            "grpcio>=1.60",
            "grpcio-health-checking>=1.60",
            "grpcio-reflection>=1.60",
            "prometheus-client>=0.20",
            "tensorflow-serving-api>=2.20,<2.21",
        ],
        "tasks": ["rouge-score>=0.1.2", "scikit-learn>=1.4"],
        "dev": [
            "PyYAML",
            "hypothesis",
            "ipykernel",
            "nbclient",
            "setuptools>=77",
            "mypy",
            "pytest",
            "pytest-xdist",
            "ruff",
        ],
        # `make lock` leaves out the extras that follow and says why there.
        # docs/how_to/accelerators.md tells how gpu and tpu are installed.
        "azure": ["adlfs>=2024.2"],
        "gcs": ["gcsfs>=2024.2"],
        "gpu": ["tensorflow[and-cuda]>=2.20,<2.21"],
        "labeling": [
            "aiohttp>=3.13",
            "crowd-kit>=1.2",
            "scikit-learn>=1.4",
            "werkzeug>=3",
        ],
        "ray": ["ray>=2.60"],
        "s3": ["s3fs>=2024.2"],
        "tpu": ["tensorflow-tpu>=2.20,<2.21"],
    },
    entry_points={
        "console_scripts": [
            "al-deduplicate = al_tf.deduplicate_main:run",
            "al-loop = al_tf.active_learning_main:run",
            "al-label = al_tf.label_main:run",
            "al-label-backend = al_tf.label_backend_main:run",
            "al-project = al_tf.project_main:run",
            "al-select = al_tf.select_main:run",
            "al-select-shards = al_tf.select_shards_main:run",
            "spactor-dev-server = export.dev_server_main:run",
            "spactor-export = export.export_main:run",
            "al-score = export.score_main:run",
            "spactor-neighbors = export.neighbors_main:run",
            "spactor-verify = export.verify_main:run",
            "spactor-classify = spactor_tf.classify_main:run",
            "spactor-convert = spactor_tf.convert_main:run",
            "spactor-fill = spactor_tf.fill_main:run",
            "spactor-finetune = spactor_tf.finetune_main:run",
            "spactor-plan = spactor_tf.plan_main:run",
            "spactor-preset = spactor_tf.preset_main:run",
            "spactor-pretrain = spactor_tf.pretrain_main:run",
        ]
    },
)
