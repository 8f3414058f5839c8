"""The models that score: opened by whoever calls them, on any machine."""

from __future__ import annotations

import dataclasses
import pathlib

from export.client import Client
from export.scoring.scorer import Predict
from export.transports import RemoteError
from runkit import InputError


@dataclasses.dataclass(frozen=True)
class LocalModel:
    """One exported version, in this process.

    Attributes:
        path: its directory.
    """

    path: str

    def __call__(self) -> Predict:
        """Loads it.

        Raises:
            InputError: it is not an exported version.
        """
        from export.saved_model.session import SessionModel

        return SessionModel(self.path).run

    def name(self) -> str:
        """Which model it is.

        Raises:
            InputError: it has no model card.
        """
        from export.saved_model.verify import read_card

        card = read_card(pathlib.Path(self.path))
        name = f"{card['model_name']}/{card['version']}"
        return f"{name} {card.get('vocabulary_sha256', '')[:16]}"

    def weights(self) -> str:
        """SHA-256 of its weights; "" where it is unknown."""
        from export.saved_model.verify import read_card

        return read_card(pathlib.Path(self.path)).get("weights_sha256", "")


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A model on a server, pinned to a version.

    Attributes:
        address: host:port.
        model_name: on the server.
        transport: see `Client`.
        batch_size: texts per request.
        version: that answers.
    """

    address: str
    model_name: str
    transport: str
    batch_size: int
    version: int

    def __call__(self) -> Predict:
        """Opens a connection."""
        return Client(
            self.address,
            self.model_name,
            transport=self.transport,
            batch_size=self.batch_size,
            version=self.version,
        ).predict

    def name(self) -> str:
        """Which model it is."""
        return f"{self.address} {self.model_name}/{self.version}"

    def weights(self) -> str:
        """Unknown: a server does not tell."""
        return ""


def served_model(
    address: str, model_name: str, transport: str, batch_size: int
) -> ServedModel:
    """Pins the version that a server serves now.

    Scores of a version that arrives later must not mix with this one's.

    Raises:
        InputError: the server does not answer.
    """
    client = Client(
        address, model_name, transport=transport, batch_size=batch_size
    )
    try:
        version = client.served_version()
    except RemoteError as error:
        raise InputError(str(error), where="--server", got=address) from None
    return ServedModel(address, model_name, transport, batch_size, version)
