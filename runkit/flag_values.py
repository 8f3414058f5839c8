r"""Flags of a binary: declared in one table, defined, checked, read.

Every binary declares its flags as a table and hands it to `run_binary`:

    FLAGS = flags.FLAGS
    FLAG_TABLE = (
        Flag("output_dir", "Directory to write.", required=True),
        Flag("train_steps", "Optimizer steps.", int, 500, positive=True),
        Flag("metric", "How runs are compared.", default="accuracy",
             choices=("accuracy", "average_precision")),
        Flag("learning_rate", "Peak rate.", field="optimizer.learning_rate"),
        Flag("seeds", "Random seeds, separated by commas.", list),
        Flag("set", "section.field=value; repeatable.", repeated=True),
    )

    def main(argv):
        del argv
        check_table(FLAG_TABLE, FLAGS)
        fields = given_fields(FLAG_TABLE, FLAGS)
        ...

    def run():
        run_binary(main, FLAG_TABLE)

The values are attributes of `FLAGS`. A test gives a binary its own
`flags.FlagValues` with `define_flags(module.FLAG_TABLE, own)`.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from absl import flags

from runkit.errors import InputError, check_choice
from runkit.files import as_path, check_folder, refuse_url, url_scheme


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag of a binary.

    Attributes:
        name: without the dashes.
        help: one sentence for `--help`, ending with a full stop; what the
            other attributes say (required, choices, field) is added to it.
        type: `str`, `int`, `float`, `bool`, or `list` for texts that are
            separated by commas.
        default: value of a flag that is not given; None where the program
            chooses later.
        field: "section.field" of a configuration that the flag overrides. The
            value stays a text, which the configuration reads as its own type.
        repeated: the flag may be given several times; its value is a list.
        required: an empty or missing value is refused.
        choices: the only values allowed.
        positive: only finite numbers above 0 are allowed.
        least: smallest number allowed.
        url: whether a URL of object storage can be given.
    """

    name: str
    help: str
    type: type = str
    default: Any = None
    field: str = ""
    repeated: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()
    positive: bool = False
    least: float | None = None
    url: bool = False

    def define(self, values: flags.FlagValues = flags.FLAGS) -> None:
        """Defines the flag in `values`, unless it is there already."""
        if self.name in values:
            return
        parts = [self.help]
        if self.choices:
            parts.append(f"One of {', '.join(self.choices)}.")
        if self.field:
            parts.append(f"Overrides {self.field}.")
        if self.required:
            parts.append("Required.")
        define: Callable[..., Any] = flags.DEFINE_multi_string
        default = self.default
        if self.repeated:
            default = default or []
        else:
            define = _DEFINERS[self.type]
        define(self.name, default, " ".join(parts), flag_values=values)
        if default in ("", []):
            # `--help` would show "(default: '')", which tells nobody anything.
            values[self.name].default_as_str = None


# `--help` shows a flag below the module that calls `run_binary`.
flags.disclaim_key_flags()

_DEFINERS: dict[type, Callable[..., Any]] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    list: flags.DEFINE_list,
}


def define_flags(
    table: Iterable[Flag], values: flags.FlagValues = flags.FLAGS
) -> None:
    """Defines the flags of a table; a name that is defined stays."""
    for flag in table:
        flag.define(values)


def check_table(table: Iterable[Flag], values: Any) -> None:
    """Refuses missing and impossible values of the table's flags.

    Args:
        table: the flags of a binary.
        values: their values as attributes, `flags.FLAGS` in a binary. None
            passes where the flag is not required.

    Raises:
        InputError: with the name of the first flag that is wrong.
    """
    for flag in table:
        value = getattr(values, flag.name)
        if flag.choices and value is not None:
            check_choice(value, flag.choices, where=f"--{flag.name}")
        if isinstance(value, str) and not flag.url:
            refuse_url(value, where=f"--{flag.name}")
        check_flags(
            values,
            required=[flag.name] * flag.required,
            positive=[flag.name] * flag.positive,
            least={} if flag.least is None else {flag.name: flag.least},
        )


def given_fields(table: Iterable[Flag], values: Any) -> dict[str, Any]:
    """Returns {field: value} of the flags that override a configuration.

    Args:
        table: the flags of a binary; those without a `field` are passed over.
        values: their values as attributes; None means not given.

    Raises:
        InputError: a flag is given, but empty, as by a variable of the shell
            that is not set. Left out in silence, it would begin another run.
    """
    fields = {}
    for flag in table:
        value = getattr(values, flag.name)
        if not flag.field or value is None:
            continue
        if value == "":
            raise InputError(
                "is empty", where=f"--{flag.name}", remedy="Leave the flag out"
            )
        fields[flag.field] = value
    return fields


def output_folder(values: Any) -> pathlib.Path:
    """Returns the directory of --output_dir, which need not exist yet.

    Raises:
        InputError: the flag is missing, or names no place for a directory.
    """
    check_flags(values, required=("output_dir",))
    if url_scheme(values.output_dir):
        return as_path(values.output_dir, where="--output_dir")
    check_folder(values.output_dir, where="--output_dir")
    return pathlib.Path(values.output_dir)


def new_output_folder(values: Any) -> pathlib.Path:
    """Returns the directory of --output_dir, where nothing may exist yet.

    Raises:
        InputError: as `output_folder`, or something exists there.
    """
    folder = output_folder(values)
    if folder.exists():
        raise InputError(
            "exists already",
            where="--output_dir",
            got=str(folder),
            remedy="Name another directory",
        )
    return folder


def check_flags(
    values: Any,
    *,
    required: Iterable[str] = (),
    positive: Iterable[str] = (),
    least: Mapping[str, float] | None = None,
) -> None:
    """Refuses missing and impossible flags.

    Args:
        values: the flags as attributes; a number may be None for a default
            that is chosen later.
        required: names of flags that must be given.
        positive: names of numbers above 0 and finite.
        least: {name: smallest number allowed}.

    Raises:
        InputError: with the flag's name.
    """
    for name in required:
        value = getattr(values, name)
        if value is None or value in ("", []):
            raise InputError("is missing", where=f"--{name}")
    for name in positive:
        value = getattr(values, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(
                "is not positive and finite", where=f"--{name}", got=value
            )
    for name, limit in (least or {}).items():
        value = getattr(values, name)
        # Not `value < limit`: NaN is refused too.
        if value is not None and not value >= limit:
            raise InputError(
                "is too small",
                where=f"--{name}",
                got=value,
                expected=f">= {limit}",
            )
