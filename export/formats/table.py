"""Formats of an export: what each can answer, and which options it can have."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from runkit import InputError
from runkit.errors import check_choice
from runkit.flag_values import Flag


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        answers: what its files can be asked for.
        dtypes: types of its stored weights.
        options: further flags that it can have.
        packages: what writes it, as `pip install` calls it.
        runtime: what runs it.
    """

    answers: tuple[str, ...]
    dtypes: tuple[str, ...]
    options: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()


SAVED_MODEL = "saved_model"
_SERVED_OPTIONS = (
    "version",
    "model_name",
    "labels",
    "prefix",
    "max_output_length",
    "decoding",
    "temperature",
    "seed",
    "num_beams",
    "length_penalty",
    "request_options",
)
_HALF = ("bfloat16", "float16")
FORMATS = {
    SAVED_MODEL: Format(
        ("embed", "classify", "generate"),
        ("float32", *_HALF),
        options=(*_SERVED_OPTIONS, "input_length", "unit_norm"),
    ),
    "hugging_face": Format(
        ("embed", "generate"),
        ("float32", *_HALF),
        options=("input_length", "runtime_python"),
        runtime=("torch", "transformers"),
    ),
    "ctranslate2": Format(
        ("embed", "generate"),
        ("float32", *_HALF, "int8"),
        options=("runtime_python",),
        packages=("ctranslate2", "transformers", "torch"),
        runtime=("ctranslate2",),
    ),
    "onnx": Format(
        ("embed",),
        ("float32",),
        options=("unit_norm", "runtime_python"),
        packages=("tf2onnx", "onnx"),
        runtime=("onnxruntime",),
    ),
    "openvino": Format(
        ("embed",),
        ("float32",),
        options=("unit_norm", "runtime_python"),
        packages=("openvino",),
        runtime=("openvino",),
    ),
}
DTYPES = ("float32", *_HALF, "int8")


def check_format(
    name: str, dtype: str, flags: Iterable[Flag] = (), values: Any = None
) -> Format:
    """Returns a format whose options are those that were given.

    Args:
        name: of the format.
        dtype: of its weights.
        flags: those that only some formats can have.
        values: of the flags, as attributes; the default counts as not given.

    Raises:
        InputError: an unknown format, or one that cannot have the type or a
            flag that was given.
    """
    check_choice(name, tuple(FORMATS), where="--format")
    form = FORMATS[name]
    if dtype not in form.dtypes:
        others = [n for n, f in FORMATS.items() if dtype in f.dtypes]
        raise InputError(
            f"cannot be written as {name}",
            where="--dtype",
            got=dtype,
            expected=", ".join(form.dtypes),
            remedy=f"--format={others[0]} has it" if others else "",
        )
    for flag in flags:
        value = getattr(values, flag.name)
        if value != flag.default and flag.name not in form.options:
            raise InputError(
                f"means nothing to --format={name}, which answers "
                f"{', '.join(form.answers)}",
                where=f"--{flag.name}",
                got=value,
                remedy="Omit the flag",
            )
    return form
