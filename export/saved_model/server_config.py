"""The two text files that a TF Serving command line points to."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from google.protobuf import text_format

from export.saved_model import protos
from export.saved_model.versions import BATCHING_CONFIG, MODELS_CONFIG
from runkit import InputError

_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


def write_configs(folder: pathlib.Path, name: str) -> None:
    """Writes models.config and batching.config.

    Args:
        folder: of the version.
        name: of the model, served from /models/NAME as in TF Serving's
            container.
    """
    models: Any = protos.model_server_config()
    models.model_config_list.config.add(
        name=name, base_path=f"/models/{name}", model_platform="tensorflow"
    )
    batching: Any = protos.batching_parameters()
    batching.max_batch_size.value = _BATCH_SIZES[-1]
    batching.batch_timeout_micros.value = 2000
    batching.max_enqueued_batches.value = 100
    batching.num_batch_threads.value = os.cpu_count() or 1
    # A batch is padded to the next larger of these sizes.
    batching.allowed_batch_sizes.extend(_BATCH_SIZES)
    for file, message in ((MODELS_CONFIG, models), (BATCHING_CONFIG, batching)):
        (folder / file).write_text(text_format.MessageToString(message))


def check_configs(folder: pathlib.Path) -> None:
    """Parses both files and checks the batch sizes.

    Raises:
        InputError: a file is missing, has an unknown field, or batch sizes
            that TF Serving refuses.
    """
    models = _parse(folder / MODELS_CONFIG, protos.model_server_config())
    if not models.model_config_list.config:
        raise InputError("names no model", where=str(folder / MODELS_CONFIG))
    batching = _parse(folder / BATCHING_CONFIG, protos.batching_parameters())
    sizes = list(batching.allowed_batch_sizes)
    most = batching.max_batch_size.value
    if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != most):
        raise InputError(
            "must ascend and end with max_batch_size",
            where=f"{folder / BATCHING_CONFIG}: allowed_batch_sizes",
            got=sizes,
            expected=f"..., {most}",
        )


def _parse(path: pathlib.Path, message: Any) -> Any:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except text_format.ParseError as error:
        raise InputError(
            f"cannot be parsed ({error})", where=str(path)
        ) from None
