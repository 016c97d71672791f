"""Errors as `application/problem+json`: https://www.rfc-editor.org/rfc/rfc9457.

`title` says what kind of error it is in a few words, `detail` what happened and what to do, in sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from aiohttp import web

CONTENT_TYPE = "application/problem+json"


class HttpProblem(Exception):  # noqa: N818 - the RFC's own word
    """Ends a request with a problem document. `more` are further members, such as `field` and `candidates`."""

    def __init__(self, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: object) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def response(self) -> web.Response:
        """The document as a response."""
        document = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail, **self.more}
        return web.Response(status=self.status, body=orjson.dumps(document), content_type=CONTENT_TYPE, headers=self.headers)


def not_found(what: str) -> HttpProblem:
    """404 for a thing ("connection") that does not exist or that the caller may not see: the two look the same."""
    return HttpProblem(404, f"{what.capitalize()} not found", f"This {what} does not exist, or you may not see it.")


def unknown_token() -> HttpProblem:
    """401 for a token that is neither a service token nor known to GitHub: https://www.rfc-editor.org/rfc/rfc6750#section-3."""
    detail = "Send a valid GitHub token, or a service token (the operator sets them with FRESHET_API_TOKENS)."
    return HttpProblem(401, "Unknown token", detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def of_status(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> HttpProblem:
    """The problem of a plain HTTP status, titled with its standard phrase."""
    phrase = HTTPStatus(status)
    return HttpProblem(status, phrase.phrase, detail or f"{phrase.description or phrase.phrase}.", headers=headers)
