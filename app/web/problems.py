"""The one shape of errors: `application/problem+json`, https://www.rfc-editor.org/rfc/rfc9457."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from aiohttp import web

CONTENT_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the RFC's own word
    """Ends a request with a problem document."""

    def __init__(self, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: object) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def response(self) -> web.Response:
        """Return the document as a response."""
        document = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail, **self.more}
        return web.Response(status=self.status, body=orjson.dumps(document), content_type=CONTENT_TYPE, headers=self.headers)


def not_found(what: str) -> Problem:
    """Return the answer for what is not there, or not for the caller to see: the two are not told apart."""
    return Problem(404, "Not found", f"There is no such {what}, or it may not be seen with this token.")


def unknown_token() -> Problem:
    """Return the answer to a token that nobody knows: https://www.rfc-editor.org/rfc/rfc6750#section-3."""
    what = "Send a token of GitHub's that is still good, or a service token: the operator sets them with FRESHET_API_TOKENS."
    return Problem(401, "This token is not known", what, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def of_status(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem of a plain HTTP status."""
    phrase = HTTPStatus(status)
    return Problem(status, phrase.phrase, detail or phrase.description or phrase.phrase, headers=headers)
