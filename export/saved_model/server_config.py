"""The text files that a TF Serving command line points to.

They stand in the base path beside the versions: a file inside a version would
go when its version does.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import text_format

from export.saved_model import protos
from export.saved_model.versions import (
    BATCHING_CONFIG,
    LARGEST_BATCH,
    METRICS_PATH,
    MODELS_CONFIG,
    MONITORING_CONFIG,
    MOST_REQUEST_ROWS,
)
from runkit import InputError, atomic_write

_BATCH_SIZES = tuple(2**i for i in range(LARGEST_BATCH.bit_length()))
# What TF Serving takes for fields that a file leaves out.
_DEFAULT_BATCH, _DEFAULT_TIMEOUT, _DEFAULT_QUEUE = 1000, 0, 10
_NEW_MESSAGE = {
    MODELS_CONFIG: protos.model_server_config,
    BATCHING_CONFIG: protos.batching_parameters,
    MONITORING_CONFIG: protos.monitoring_config,
}


def write_configs(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    """Writes the files that are not there yet; none is overwritten.

    Args:
        folder: base path of the versions.
        name: of the model, served from /models/NAME as in TF Serving's
            container.

    Returns:
        The files that were written.
    """
    written = []
    for file, message in _messages(name).items():
        path = folder / file
        if not path.exists():
            with atomic_write(path) as handle:
                handle.write(text_format.MessageToString(message))
            written.append(path)
    return written


def _messages(name: str) -> dict[str, Any]:
    models: Any = protos.model_server_config()
    models.model_config_list.config.add(
        name=name, base_path=f"/models/{name}", model_platform="tensorflow"
    )
    batching: Any = protos.batching_parameters()
    # A request of up to max_batch_size rows is run in parts; a part is padded
    # to the next larger of the allowed sizes. The number of threads is the
    # server's to choose: it knows its processors.
    batching.max_batch_size.value = MOST_REQUEST_ROWS
    batching.enable_large_batch_splitting.value = True
    batching.max_execution_batch_size.value = LARGEST_BATCH
    batching.allowed_batch_sizes.extend(_BATCH_SIZES)
    batching.batch_timeout_micros.value = 2000
    # The parts of a largest request must find room, beside others.
    batching.max_enqueued_batches.value = 2 * MOST_REQUEST_ROWS // LARGEST_BATCH
    monitoring: Any = protos.monitoring_config()
    monitoring.prometheus_config.enable = True
    monitoring.prometheus_config.path = METRICS_PATH
    return {
        MODELS_CONFIG: models,
        BATCHING_CONFIG: batching,
        MONITORING_CONFIG: monitoring,
    }


class BatchLimits(NamedTuple):
    """What a batching configuration means for a server.

    Attributes:
        max_batch_size: most rows of one call of the model.
        max_request_rows: most rows of a request.
        batch_timeout_micros: microseconds that a request waits for others.
        max_waiting: most requests of one row in the queue.
        num_batch_threads: most batches that run at once; 0 means one for each
            processor.
    """

    max_batch_size: int
    max_request_rows: int
    batch_timeout_micros: int
    max_waiting: int
    num_batch_threads: int


def read_batching(path: pathlib.Path) -> BatchLimits:
    """Reads a file for `--batching_parameters_file`.

    Allowed sizes, to which TF Serving pads its batches, are checked but change
    no answer.

    Args:
        path: of a BatchingParameters message in text format.

    Raises:
        InputError: no such file, an unknown field, or values that TF Serving
            refuses.
    """
    batching = _parse(path, BATCHING_CONFIG)
    _check_batching(path, batching)

    def value(field: str, default: int, least: int = 1) -> int:
        found = default
        if batching.HasField(field):
            found = getattr(batching, field).value
        if found < least:
            raise InputError(
                "is too small",
                where=f"{path}: {field}",
                got=found,
                expected=f">= {least}",
            )
        return found

    request = value("max_batch_size", _DEFAULT_BATCH)
    call = request
    if batching.enable_large_batch_splitting.value:
        call = value("max_execution_batch_size", request)
    queue = value("max_enqueued_batches", _DEFAULT_QUEUE)
    return BatchLimits(
        max_batch_size=call,
        max_request_rows=request,
        batch_timeout_micros=value(
            "batch_timeout_micros", _DEFAULT_TIMEOUT, least=0
        ),
        max_waiting=queue * call,
        num_batch_threads=(
            value("num_batch_threads", 0)
            if batching.HasField("num_batch_threads")
            else 0
        ),
    )


@contextlib.contextmanager
def written_configs(folder: pathlib.Path, name: str) -> Iterator[None]:
    """`write_configs` whose files go again if the block fails.

    Args:
        folder: base path of the versions.
        name: of the model.
    """
    written = write_configs(folder, name)
    try:
        yield
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def check_name(folder: pathlib.Path, name: str) -> None:
    """Raises InputError where a base path serves under other names only.

    Args:
        folder: base path; it may have no configuration yet.
        name: of the model.
    """
    path = folder / MODELS_CONFIG
    if not path.is_file():
        return
    known = [entry.name for entry in _models(path)]
    if name not in known:
        raise InputError(
            "the base path serves another model",
            where=str(path),
            got=name,
            expected=" or ".join(known),
            remedy=f"Use --model_name={known[0]} or another directory",
        )


def check_configs(folder: pathlib.Path) -> None:
    """Parses the files of a version and checks the batch sizes.

    A version may have been copied without the files beside it; what is there
    must be right.

    Args:
        folder: of the version. Older exports hold the files in it, newer ones
            beside it.

    Raises:
        InputError: a file has an unknown field, or batch sizes that TF Serving
            refuses.
    """
    for file in _NEW_MESSAGE:
        path = config_path(folder, file)
        if path is None:
            continue
        if file == MODELS_CONFIG:
            _models(path)
        elif file == BATCHING_CONFIG:
            _check_batching(path, _parse(path, file))
        else:
            _parse(path, file)


def config_path(folder: pathlib.Path, file: str) -> pathlib.Path | None:
    """Returns where a version's configuration file is; None without one.

    Args:
        folder: of the version.
        file: its name.
    """
    places = (folder / file, folder.parent / file)
    return next((path for path in places if path.is_file()), None)


def _models(path: pathlib.Path) -> Any:
    found = _parse(path, MODELS_CONFIG).model_config_list.config
    if not found:
        raise InputError("names no model", where=str(path))
    return found


def _check_batching(path: pathlib.Path, batching: Any) -> None:
    """Refuses what TF Serving refuses when it creates its batching session."""
    sizes = list(batching.allowed_batch_sizes)
    most, bound = batching.max_batch_size.value, "max_batch_size"
    if not batching.HasField("max_batch_size"):
        most = _DEFAULT_BATCH
    if batching.enable_large_batch_splitting.value:
        whole, bound = most, "max_execution_batch_size"
        most = batching.max_execution_batch_size.value or whole
        if most > whole:
            raise InputError(
                "is above max_batch_size",
                where=f"{path}: {bound}",
                got=most,
                expected=f"<= {whole}",
            )
    if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != most):
        raise InputError(
            f"must ascend and end with {bound}",
            where=f"{path}: allowed_batch_sizes",
            got=sizes,
            expected=f"..., {most}",
        )


def _parse(path: pathlib.Path, kind: str) -> Any:
    message = _NEW_MESSAGE[kind]()
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(
            f"cannot be parsed ({error})", where=str(path)
        ) from None
