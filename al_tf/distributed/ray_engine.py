"""Ray as the engine; an optional dependency."""

from __future__ import annotations

import collections
import importlib.util
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from al_tf.distributed.costs.measures import Receipt
from al_tf.distributed.engine import Engine, Handle, WithState, run_task
from runkit import InputError

# How often Ray runs a task again that died with its worker or its machine.
_RETRIES = 3
# Actors that may end before they have begun.
_STILLBORN = 20
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

    def map_with_state(
        self,
        stage: str,
        make: Callable[[], Any],
        function: Callable[..., Any],
        items: Sequence[Sequence[Any]],
        on_done: Callable[[int, Any], None] | None = None,
    ) -> list[Any]:
        """See `Engine.map_with_state`; a worker is an actor."""
        crew = _Crew(self._ray, make, len(items))
        results: list[Any] = [None] * len(items)
        try:
            for number, (receipt, result) in crew.work(stage, function, items):
                self.take_receipt(stage, f"{stage}, part {number}", receipt)
                results[number] = result
                if on_done:
                    on_done(number, result)
        finally:
            crew.dismiss()
        return results

    def worker_bytes(self) -> int:
        """See `Engine.worker_bytes`; an object has to fit into a store."""
        limits = []
        for node in self._ray.nodes():
            has = node["Resources"]
            if node["Alive"] and has.get("CPU"):
                share = has.get("memory", np.inf) / has["CPU"]
                store = has.get("object_store_memory", np.inf)
                limits.append(min(share, store))
        return int(min([*limits, 2**62]))

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
            raise lost(label, error) from None


def lost(label: str, error: Exception) -> InputError:
    """What to say of a task that Ray gives up."""
    first = str(error).strip().partition("\n")[0]
    return InputError(
        f"its worker died {_RETRIES + 1} times, or what it made was lost "
        f"({type(error).__name__}: {first})",
        where=label,
        remedy="Give each worker more memory or make more parts; the same "
        "command goes on from the state",
    )


class _Crew:
    """Actors that take the items of a stage one by one.

    An actor that is lost is replaced, and its item goes to whoever is free. So
    a machine less makes a run slower and stops nothing, even where the others
    have no room for a further actor.

    Args:
        ray: the module.
        make: what each actor keeps.
        most: no more actors than this, and than the cluster has cores.
    """

    def __init__(self, ray: Any, make: Callable[[], Any], most: int):
        self._ray, self._make = ray, make
        self._type = ray.remote(max_restarts=0, num_cpus=1)(WithState)
        # Actors by the handle of what they are doing: beginning, or an item.
        self._busy: dict[Any, tuple[Any, int | None]] = {}
        cores = int(ray.cluster_resources().get("CPU", 1))
        for _ in range(max(1, min(most, cores))):
            self._hire()

    def _hire(self) -> None:
        actor = self._type.remote(self._make)
        self._busy[actor.__ray_ready__.remote()] = actor, None

    def work(
        self,
        stage: str,
        function: Callable[..., Any],
        items: Sequence[Sequence[Any]],
    ) -> Iterator[tuple[int, tuple[Receipt, Any]]]:
        """Yields (number of the item, (receipt, result)) as they come."""
        waiting = collections.deque(range(len(items)))
        deaths = [0] * len(items)
        left, stillborn = len(items), 0
        while left:
            (done,), _ = self._ray.wait([*self._busy], num_returns=1)
            actor, number = self._busy.pop(done)
            try:
                answer = self._ray.get(done)
            except self._ray.exceptions.RayError as error:
                self._hire()
                if number is None:
                    stillborn += 1
                    if stillborn > _STILLBORN:
                        raise lost(stage, error) from None
                    continue
                deaths[number] += 1
                if deaths[number] > _RETRIES:
                    raise lost(f"{stage}, part {number}", error) from None
                # Behind the others: it may be to blame.
                waiting.append(number)
                continue
            if waiting:
                following = waiting.popleft()
                label = f"{stage}, part {following}"
                method = actor.run_task.options(name=label)
                task = method.remote(function, *items[following])
                self._busy[task] = actor, following
            if number is not None:
                left -= 1
                yield number, answer

    def dismiss(self) -> None:
        """Ends all actors."""
        for actor, _ in self._busy.values():
            self._ray.kill(actor)


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
