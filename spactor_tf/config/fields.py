"""Configurations as text: JSON, single fields by name, flags, differences.

A field is named "section.field", or "field" at the top level. The functions
work for any frozen dataclass whose fields are values or such dataclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from runkit import InputError, closest
from runkit.flag_values import Flag, given_fields
from spactor_tf.config.pretrain import PretrainConfig

Config = TypeVar("Config")

_TYPES = {"bool": bool, "int": int, "float": float, "str": str}
_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number (int)",
    "float": "a number (float)",
    "str": "a text",
}
# {field: {value that earlier versions wrote: what it is called now}}.
_EARLIER = {"runtime.jit_compile": {"True": "true", "False": "false"}}


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the configuration as plain nested dictionaries."""
    return dataclasses.asdict(config)


def from_dict(
    values: Mapping[str, Any], kind: type[Config] | None = None
) -> Config:
    """Builds a configuration from the result of `to_dict`.

    Args:
        values: nested dictionaries; fields that are missing keep their
            defaults.
        kind: class of the configuration; None is `PretrainConfig`.

    Raises:
        InputError: an unknown field (with the closest known one), or a value
            of another type.
    """
    if not isinstance(values, Mapping):
        raise InputError(
            "is not a configuration",
            where="config",
            got=values,
            expected="an object of fields",
        )
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
        fields: {"section.field" or "field": value}; a string is parsed as the
            field's type ("none" for an absent value).

    Raises:
        InputError: an unknown field, or a value of another type.
    """
    known = flatten(to_dict(config))
    for name, value in fields.items():
        if name not in known:
            raise InputError(
                "unknown field",
                where="config",
                got=name,
                remedy=closest(name, known),
            )
        value = _EARLIER.get(name, {}).get(str(value), value)
        section, _, field = name.rpartition(".")
        part: Any = getattr(config, section) if section else config
        value = _read(value, part, field, where=name)
        part = dataclasses.replace(part, **{field: value})
        whole: Any = config
        config = (
            dataclasses.replace(whole, **{section: part}) if section else part
        )
    return config


def fields_from_flags(table: Iterable[Flag], values: Any) -> dict[str, Any]:
    """Returns {field: value} of the flags that were given, --set included.

    Args:
        table: the binary's flags.
        values: their values as attributes; `set` is a list of assignments
            "section.field=value", which override the other flags.

    Raises:
        InputError: a --set without a value.
    """
    fields = given_fields(table, values)
    for text in values.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(
                "has no value",
                where="--set",
                got=text,
                expected="--set=section.field=value",
            )
        fields[name] = value
    return fields


def diff(old: Any, new: Any) -> list[str]:
    """Lists the fields that differ as "name: old -> new".

    Fields of the section `runtime` are left out: they may change when a run is
    resumed.
    """
    before, after = flatten(to_dict(old)), flatten(to_dict(new))
    return [
        f"{name}: {before[name]!r} -> {after[name]!r}"
        for name in before
        if before[name] != after[name] and not name.startswith("runtime.")
    ]


def _read(value: Any, part: Any, field: str, where: str) -> Any:
    """Returns `value`, or the value its text stands for, of the field's type.

    Args:
        value: a value of the type, or text.
        part: dataclass that has the field.
        field: name of the field.
        where: full name of the field, for the message.
    """
    annotation = str(type(part).__dataclass_fields__[field].type)
    kind, _, optional = annotation.partition(" | ")
    if optional and (value is None or str(value).lower() == "none"):
        return None
    try:
        if isinstance(value, str):
            if kind == "bool":
                return {"true": True, "false": False}[value.lower()]
            return _TYPES[kind](value)
        # A bool is an int to Python; JSON of other tools writes 10 for 10.0.
        wanted = int | float if kind == "float" else _TYPES[kind]
        if isinstance(value, bool) == (kind == "bool") and isinstance(
            value, wanted
        ):
            return _TYPES[kind](value)
    except (ValueError, KeyError, OverflowError):
        pass
    raise InputError(
        "is not of the field's type",
        where=where,
        got=value,
        expected=_EXPECTED[kind] + (" or none" if optional else ""),
    )
