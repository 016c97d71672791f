"""GitHub's error responses.

https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.double.state import Json

DOCUMENTATION_URL = "https://docs.github.com/rest"


class ApiError(Exception):
    """An error response, with GitHub's own message where it is known."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: list[Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = dict(headers or {})

    def body(self) -> Json:
        """GitHub's JSON for this error."""
        errors = {} if self.errors is None else {"errors": self.errors}
        return {"message": self.message, **errors, "documentation_url": DOCUMENTATION_URL, "status": str(self.status)}


def not_found() -> ApiError:
    """The response for things that do not exist, or must not be known to exist."""
    return ApiError(404, "Not Found")


def forbidden(what: str = "integration") -> ApiError:
    """The response to a token without the permission."""
    return ApiError(403, f"Resource not accessible by {what}")
