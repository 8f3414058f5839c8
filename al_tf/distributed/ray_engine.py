"""Ray as the engine; an optional dependency."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable, Sequence
from typing import Any

from al_tf.distributed.engine import Engine, Handle, Receipt, run_task
from runkit import InputError

# How often Ray runs a task again that died with its worker or its machine.
_RETRIES = 3
# Seconds to wait for the port of a cluster.
_PATIENCE = 10.0


class RayEngine(Engine):
    """A Ray cluster, or one that is started on this machine.

    Outputs stay in the object store of the machine that made them, and are
    made again if that is lost. A worker computes with one thread, as Ray
    counts.

    Args:
        address: "local" starts a cluster here; "auto" joins that of this
            machine; otherwise "host:port" or "ray://host:port".

    Raises:
        InputError: Ray is not installed, or the address does not answer.
    """

    def __init__(self, address: str = "local"):
        super().__init__()
        if importlib.util.find_spec("ray") is None:
            raise InputError(
                "Ray is not installed",
                where="--engine=ray",
                remedy="pip install 'spactor-al[ray]', or use --engine=local",
            )
        import ray

        check_address(address)
        self._ray = ray
        self._is_own = not ray.is_initialized()
        if self._is_own:
            try:
                ray.init(
                    address=address,
                    log_to_driver=False,
                    include_dashboard=False if address == "local" else None,
                    logging_level="error",
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise InputError(
                    f"no Ray cluster answers ({error})",
                    where="--ray_address",
                    got=address,
                    remedy="Start one with `ray start --head`, or give "
                    "--ray_address=local",
                ) from None
        self._run = ray.remote(run_task)

    def put(self, value: Any) -> Handle:
        """See `Engine.put`."""
        return self._ray.put(value)

    def get(self, handles: Sequence[Handle]) -> list[Any]:
        """See `Engine.get`."""
        return self._got("result", list(handles))

    def close(self) -> None:
        """Leaves the cluster, or ends one that was started here."""
        if self._is_own:
            self._ray.shutdown()

    def submit(
        self,
        label: str,
        function: Callable[..., Any],
        item: Sequence[Any],
        returns: int | None,
    ) -> list[Handle]:
        """See `Engine.submit`."""
        task = self._run.options(
            num_returns=1 + (returns or 1), name=label, max_retries=_RETRIES
        )
        return task.remote(function, returns, *item)

    def receipt(self, label: str, handle: Handle) -> Receipt:
        """See `Engine.receipt`."""
        return self._got(label, handle)

    def _got(self, label: str, handles: Any) -> Any:
        try:
            return self._ray.get(handles)
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().partition("\n")[0]
            raise InputError(
                f"its worker died {_RETRIES + 1} times, or what it made was "
                f"lost ({type(error).__name__}: {first})",
                where=label,
                remedy="Give each worker more memory or make more parts; the "
                "same command goes on from the state",
            ) from None


def check_address(address: str) -> None:
    """Refuses an address at which nothing listens.

    Raises:
        InputError: it is not an address, or nobody answers.
    """
    if address in ("local", "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(
            "is not an address of a Ray cluster",
            where="--ray_address",
            got=address,
            expected="local, auto, host:port or ray://host:port",
        )
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except OSError as error:
        raise InputError(
            f"nobody answers there ({error})",
            where="--ray_address",
            got=address,
            remedy="Start a cluster with `ray start --head --port=6379`, or "
            "give --ray_address=local",
        ) from None
