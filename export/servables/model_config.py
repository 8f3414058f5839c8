"""Which models and versions a server serves: TF Serving's `models.config`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format

from export.saved_model import protos
from runkit import InputError
from runkit.checks import require

_PLATFORM = "tensorflow"


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One served model.

    Attributes:
        name: of the model in requests.
        base_path: holds the versions as directories with integer names.
        latest: how many of the newest versions are served; None serves all.
        specific: the only versions that are served, instead of the newest.
        labels: {label: version}.
    """

    name: str
    base_path: pathlib.Path
    latest: int | None = 1
    specific: frozenset[int] | None = None
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def aspired(
        self, found: Mapping[int, pathlib.Path]
    ) -> dict[int, pathlib.Path]:
        """Returns those of the versions on disk that are to be served."""
        versions = sorted(found, reverse=True)
        if self.specific is not None:
            versions = [v for v in versions if v in self.specific]
        elif self.latest is not None:
            versions = versions[: self.latest]
        return {version: found[version] for version in versions}


def read_config_file(path: pathlib.Path) -> dict[str, ModelConfig]:
    """Returns the models of a `models.config`.

    Args:
        path: a ModelServerConfig in protocol buffer text format.

    Raises:
        InputError: it cannot be read or parsed, or `read_configs` refuses it.
    """
    message = protos.model_server_config()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(
            f"cannot be read ({error})",
            where=str(path),
            expected="a ModelServerConfig in text format",
        ) from None
    found = read_configs(message, str(path))
    require(bool(found), "names no model", str(path), None)
    return found


def read_configs(message: Any, where: str) -> dict[str, ModelConfig]:
    """Returns {name: configuration} of a ModelServerConfig.

    Args:
        message: a ModelServerConfig.
        where: it comes from, for messages.

    Raises:
        InputError: it is not a list of models, names one twice or not at all,
            has a relative path, or another platform than TensorFlow.
    """
    require(
        message.WhichOneof("config") == "model_config_list",
        "type not supported; only ModelConfigList is currently supported",
        where,
        message.WhichOneof("config"),
        expected="model_config_list",
    )
    found: dict[str, ModelConfig] = {}
    for entry in message.model_config_list.config:
        require(bool(entry.name), "a model without a name", where, entry.name)
        require(
            entry.name not in found,
            "lists a model multiple times",
            where,
            entry.name,
        )
        found[entry.name] = _config(entry, f"{where}: model {entry.name}")
    return found


def _config(entry: Any, where: str) -> ModelConfig:
    # The deprecated field says 1 for TensorFlow.
    platform = entry.model_platform or (
        _PLATFORM if entry.model_type == 1 else ""
    )
    require(
        platform == _PLATFORM,
        "unsupported model_platform",
        where,
        platform,
        expected=_PLATFORM,
    )
    base_path = pathlib.Path(entry.base_path)
    require(
        base_path.is_absolute(),
        "base_path is not absolute",
        where,
        entry.base_path,
        expected="an absolute path",
    )
    policy = entry.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    return ModelConfig(
        entry.name,
        base_path,
        None if choice == "all" else max(policy.latest.num_versions, 1),
        frozenset(policy.specific.versions) if choice == "specific" else None,
        dict(entry.version_labels),
    )
