"""Configurations as text: JSON, single fields by name, differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from runkit import InputError, closest
from spactor_tf.config.pretrain import PretrainConfig

# Any frozen dataclass of fields and of sections, which are such themselves.
Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the configuration as plain nested dictionaries."""
    return dataclasses.asdict(config)


def from_dict(
    values: Mapping[str, Any], kind: type[Config] | None = None
) -> Config:
    """Builds a configuration from what `to_dict` gave.

    Args:
        values: nested dictionaries.
        kind: class of the configuration; None is `PretrainConfig`.

    Raises:
        InputError: an unknown field (with the closest known one), or a value
            of another type.
    """
    if not isinstance(values, Mapping):
        raise InputError(
            "is not a configuration", where="config", got=values,
            expected="an object of fields",
        )  # fmt: skip
    default: Any = (kind or PretrainConfig)()
    return override(default, flatten(values))


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested dictionaries as {"section.field": value}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{k}": v for k, v in value.items()})
        else:
            flat[key] = value
    return flat


def override(config: Config, fields: Mapping[str, Any]) -> Config:
    """Returns `config` with single fields replaced.

    Args:
        config: the configuration to start from.
        fields: {"section.field" or "field": value}; a text value is read as
            the field's type ("none" for an absent value).

    Raises:
        InputError: an unknown field, or a value that is not of its type.
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
        value = _read(value, part, field, where=name)
        part = dataclasses.replace(part, **{field: value})
        whole: Any = config
        config = (
            dataclasses.replace(whole, **{section: part}) if section else part
        )
    return config


def assignments(texts: Iterable[str]) -> dict[str, str]:
    """Reads texts of the form "section.field=value", for `override`.

    Raises:
        InputError: one has no value.
    """
    fields = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(
                "has no value", where="--set", got=text,
                expected="--set=section.field=value",
            )  # fmt: skip
        fields[name] = value
    return fields


def diff(old: Any, new: Any) -> list[str]:
    """Lists fields that differ, but for `runtime`, as "name: old -> new"."""
    before, after = flatten(to_dict(old)), flatten(to_dict(new))
    return [
        f"{name}: {before[name]!r} -> {after[name]!r}"
        for name in before
        if before[name] != after[name] and not name.startswith("runtime.")
    ]


def _read(value: Any, part: Any, field: str, where: str) -> Any:
    """Returns `value`, or what its text says, as the type of `part.field`."""
    annotation = str(type(part).__dataclass_fields__[field].type)
    kind, _, optional = annotation.partition(" | ")
    if optional and (value is None or str(value).lower() == "none"):
        return None
    try:
        return _READERS[kind](value)
    except (ValueError, KeyError):
        raise InputError(
            "is not of the field's type", where=where, got=value,
            expected=_EXPECTED[kind] + (" or none" if optional else ""),
        ) from None  # fmt: skip


def _read_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[str(value).lower()]


def _read_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(_text(value))


def _read_float(value: Any) -> float:
    # JSON of other tools writes 10 for 10.0.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return float(_text(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("neither of the type nor a text")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "bool": _read_bool, "int": _read_int, "float": _read_float, "str": _text,
}  # fmt: skip
_EXPECTED = {
    "bool": "true or false", "int": "a whole number (int)",
    "float": "a number (float)", "str": "a text",
}  # fmt: skip
