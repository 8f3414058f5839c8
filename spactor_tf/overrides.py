"""Configurations as text: JSON, single fields by name, differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from runkit import InputError, closest
from spactor_tf.config import PretrainConfig


def to_dict(config: PretrainConfig) -> dict[str, Any]:
    """Returns the configuration as plain nested dictionaries."""
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Any]) -> PretrainConfig:
    """Builds a configuration from what `to_dict` gave.

    Raises:
        InputError: an unknown field (with the closest known one).
    """
    return override(PretrainConfig(), flatten(values))


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested dictionaries as {"section.field": value}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{k}": v for k, v in value.items()})
        else:
            flat[key] = value
    return flat


def override(
    config: PretrainConfig, fields: Mapping[str, Any]
) -> PretrainConfig:
    """Returns `config` with single fields replaced.

    Args:
        config: the configuration to start from.
        fields: {"section.field" or "field": value}; a text value is read as
            the field's type ("none" for an absent value).

    Raises:
        InputError: an unknown field, or a text that is not of its type.
    """
    known = flatten(to_dict(config))
    for name, value in fields.items():
        if name not in known:
            raise InputError(
                "unknown field", where="config", got=name,
                remedy=closest(name, known),
            )  # fmt: skip
        section, _, field = name.rpartition(".")
        part: Any = getattr(config, section) if section else config
        if isinstance(value, str):
            value = _read(value, part, field, where=name)
        part = dataclasses.replace(part, **{field: value})
        whole: Any = {section: part}
        config = dataclasses.replace(config, **whole) if section else part
    return config


def diff(old: PretrainConfig, new: PretrainConfig) -> list[str]:
    """Lists fields that differ, but for `runtime`, as "name: old -> new"."""
    before, after = flatten(to_dict(old)), flatten(to_dict(new))
    return [
        f"{name}: {before[name]!r} -> {after[name]!r}"
        for name in before
        if before[name] != after[name] and not name.startswith("runtime.")
    ]


def _read(text: str, part: Any, field: str, where: str) -> Any:
    """Reads a text as the annotated type of `part.field`."""
    annotation = str(type(part).__dataclass_fields__[field].type)
    if annotation == "str":
        return text
    if "None" in annotation and text.lower() == "none":
        return None
    try:
        if annotation.startswith("bool"):
            return {"true": True, "false": False}[text.lower()]
        if annotation.startswith("int"):
            return int(text)
        return float(text)
    except (ValueError, KeyError):
        raise InputError(
            "is not of the field's type", where=where, got=text,
            expected=annotation,
        ) from None  # fmt: skip
