"""How a request fails, whatever the transport."""

from __future__ import annotations


class ServiceError(Exception):
    """An answer other than OK.

    Args:
        code: canonical gRPC name, such as "NOT_FOUND".
        message: for the client.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message
