"""The flags of binaries that run on an engine, and the engine they ask for."""

from __future__ import annotations

from typing import Any

from al_tf.distributed.engine import Engine, LocalEngine
from al_tf.distributed.ray_engine import RayEngine
from runkit import InputError
from runkit.flag_values import Flag

ENGINES = ("local", "ray")


def engine_flags(what: str, default: str | None) -> tuple[Flag, ...]:
    """The flags.

    Args:
        what: help of `--engine`.
        default: its default; None asks for none.
    """
    return (
        Flag("engine", what, default=default, choices=ENGINES),
        Flag(
            "ray_address",
            "Cluster of --engine=ray: local, the default, starts one here, "
            "auto joins that of this machine; or host:port.",
            default="",
        ),
    )


def check_engine_flags(values: Any) -> None:
    """Refuses flags that do not go together."""
    if values.ray_address and values.engine != "ray":
        raise InputError(
            "is for --engine=ray only",
            where="--ray_address",
            got=values.ray_address,
        )


def asked_engine(values: Any) -> Engine:
    """Starts or joins the engine that the flags ask for; close it.

    Raises:
        InputError: a cluster that does not answer, or no Ray.
    """
    check_engine_flags(values)
    if values.engine == "ray":
        return RayEngine(values.ray_address or "local")
    return LocalEngine()
