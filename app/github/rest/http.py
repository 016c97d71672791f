"""Requests to GitHub's REST API: time limits, redirects that keep the method, and no token for another host."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
import stamina
from gidgethub import sansio
from pydantic import SecretStr
from yarl import URL

from app.core import metrics
from app.core.errors import ConfigurationError, GitHubUnavailableError, RejectedError
from app.github.rest.responses import REDIRECTS, GitHubResponse, date_of, decode, error_for, reserve_error, without_nulls

T = TypeVar("T")

API_VERSION = "2022-11-28"
CONNECT_S = 5.0
TOTAL_S = 15.0
MAX_ANSWER_BYTES = 64 << 20
MAX_REDIRECTS = 3
MAX_PAGES = 1000
GET_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Basic:
    """Basic authentication: for an App's client id and secret, and for git."""

    user: str
    password: SecretStr


Credentials = SecretStr | Basic


@dataclass(frozen=True, slots=True)
class _Request:
    """One request; `doing` is its purpose, for error messages."""

    method: str
    url: URL
    doing: str
    token: Credentials | None
    data: bytes | None = None
    etag: str | None = None
    """Of the version that we know: GitHub answers 304 while it is current."""
    reserve: int = 0
    """Requests of the hourly rate limit that must be left after this one."""
    form: bool = False
    """Whether `data` is a form rather than JSON, and plain JSON is expected, as on GitHub's OAuth endpoints."""
    whole: bool = True
    """False if the body of a successful response is not needed."""


class ApiClient:
    """A client for GitHub's REST API at one URL. An async context manager: it holds the connections.

    `measured`: the tokens are the App's, so their rate limits go into the metrics.
    """

    def __init__(
        self,
        api_url: str,
        *,
        connect_s: float = CONNECT_S,
        total_s: float = TOTAL_S,
        user_agent: str = "freshet",
        measured: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.point_at(api_url)
        self._clock = clock
        self._measured = measured
        self._timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s)
        self._headers = {**sansio.create_headers(user_agent, accept="application/vnd.github+json"), "x-github-api-version": API_VERSION}
        self._session: aiohttp.ClientSession | None = None
        self.clock_offset_s = 0.0
        """How far this host's clock is behind GitHub's, by the `Date` of the last response."""

    def point_at(self, api_url: str) -> None:
        """Use another GitHub server from now on. Raises ConfigurationError for an invalid URL."""
        try:
            base = URL(api_url.rstrip("/") + "/")
            self._base, self._origin, self._proxy = base, base.origin(), _proxy_of(base)
        except ValueError as error:
            raise ConfigurationError("reading GITHUB_API_URL", f"{api_url!r} is not a URL") from error

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        # Not trust_env: it also reads ~/.netrc, and aiohttp rejects a request with two sets of credentials.
        self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, reserve: int = 0, **query: str) -> T:
        """GET `path`, with immediate retries for temporary errors. Raises as described in `pipeline.ports.GitHub`.

        Also raises GitHubUnavailableError when fewer than `reserve` requests of the token's hourly rate limit are left.
        """
        request = _Request("GET", self._url(path, query), doing, token, reserve=reserve)
        return await self._get(request, lambda answer: decode(answer, type_, doing))

    async def get_if_changed(
        self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, etag: str | None, reserve: int = 0
    ) -> tuple[T, str | None] | None:
        """GET `path` and its ETag, or None if it is unchanged since `etag`, which does not count against the rate limit.

        https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate
        """

        def read(answer: GitHubResponse) -> tuple[T, str | None] | None:
            unchanged = answer.status == HTTPStatus.NOT_MODIFIED
            return None if unchanged else (decode(answer, type_, doing), answer.headers.get("etag"))

        return await self._get(_Request("GET", self._url(path, {}), doing, token, etag=etag, reserve=reserve), read)

    async def get_with_headers(
        self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, **query: str
    ) -> tuple[T, Mapping[str, str]]:
        """Like `get`, with the response headers."""
        request = _Request("GET", self._url(path, query), doing, token)
        return await self._get(request, lambda answer: (decode(answer, type_, doing), answer.headers))

    async def check(self, path: str, *, doing: str, token: Credentials | None, **query: str) -> int:
        """GET `path` and return its status. Raises like `get`; the body is not read."""
        return await self._get(_Request("GET", self._url(path, query), doing, token, whole=False), lambda answer: answer.status)

    def pages(
        self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, reserve: int = 0, **query: str
    ) -> AsyncGenerator[T, None]:
        """GET `path` and all following pages."""
        request = _Request("GET", self._url(path, {"per_page": "100", **query}), doing, token, reserve=reserve)
        return self._pages(request, lambda answer: decode(answer, type_, doing))

    def pages_with_headers(
        self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, **query: str
    ) -> AsyncGenerator[tuple[T, Mapping[str, str]], None]:
        """Like `pages`, with the response headers of each page."""
        request = _Request("GET", self._url(path, {"per_page": "100", **query}), doing, token)
        return self._pages(request, lambda answer: (decode(answer, type_, doing), answer.headers))

    async def post(self, path: str, type_: type[T], *, doing: str, token: Credentials | None, body: Mapping[str, Any]) -> T:
        """POST `body` without nulls. Sent once: after a lost response the caller decides."""
        return decode(await self._exchange(_Request("POST", self._url(path, {}), doing, token, _dumps(body))), type_, doing)

    async def post_form(self, path: str, type_: type[T], *, doing: str, fields: Mapping[str, str]) -> T:
        """POST a form, once, to an endpoint of GitHub's that is not part of its REST API."""
        request = _Request("POST", self._url(path, {}), doing, None, urlencode(fields).encode(), form=True)
        return decode(await self._exchange(request), type_, doing)

    async def delete(self, path: str, *, doing: str, token: Credentials | None, body: Mapping[str, Any]) -> None:
        """DELETE with `body` without nulls, once; only the status is read."""
        await self._exchange(_Request("DELETE", self._url(path, {}), doing, token, _dumps(body)))

    async def trigger(self, path: str, *, doing: str, token: SecretStr | None) -> None:
        """POST an empty body, once; only the status is read."""
        await self._exchange(_Request("POST", self._url(path, {}), doing, token))

    async def patch(self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, body: Mapping[str, Any]) -> T:
        """PATCH with `body` without nulls, once."""
        return decode(await self._exchange(_Request("PATCH", self._url(path, {}), doing, token, _dumps(body))), type_, doing)

    async def _get(self, request: _Request, read: Callable[[GitHubResponse], T]) -> T:
        attempts = stamina.retry_context(
            _is_retryable, attempts=GET_ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=1.0, wait_jitter=0.2
        )
        async for attempt in attempts:
            with attempt:
                return read(await self._exchange(request))
        raise AssertionError  # pragma: no cover - stamina raises the last error itself

    async def _pages(self, request: _Request, read: Callable[[GitHubResponse], T]) -> AsyncGenerator[T, None]:
        for _ in range(MAX_PAGES):
            page, following = await self._get(request, lambda answer: (read(answer), answer.next_url))
            yield page
            if following is None:
                return
            request = replace(request, url=self._same_host(request.url, following, request.doing))
        raise GitHubUnavailableError(request.doing, f"GitHub listed more than {MAX_PAGES} pages")

    async def _exchange(self, request: _Request) -> GitHubResponse:
        """Send one request and follow GitHub's redirects with the same method and body.

        https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
        """
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._once(request)
            if answer.status in REDIRECTS and "location" in answer.headers:
                request = replace(request, url=self._same_host(request.url, answer.headers["location"], request.doing))
            else:
                return _check(answer, request)
        raise GitHubUnavailableError(request.doing, f"GitHub redirected more than {MAX_REDIRECTS} times")

    async def _once(self, request: _Request) -> GitHubResponse:
        if self._session is None:
            message = "ApiClient is used outside its context"
            raise RuntimeError(message)
        headers = {**self._headers, **_headers_of(request)}
        # A check run with annotations can be megabytes; aiohttp expects a file for that.
        content = None if request.data is None else io.BytesIO(request.data)
        status = "none"
        try:
            sent = self._session.request(
                request.method, request.url, data=content, headers=headers, proxy=self._proxy, allow_redirects=False
            )
            async with sent as response:
                status = str(response.status)
                if date := date_of(response.headers):
                    self.clock_offset_s = date.timestamp() - self._clock()
                if self._measured:
                    metrics.RATE_LIMIT.note(response.headers)
                body = await _read(response, request.doing) if request.whole or not response.ok else b""
                link = response.links.get("next")
                return GitHubResponse(response.status, response.headers, body, str(link["url"]) if link else None)
        except TimeoutError as error:
            raise GitHubUnavailableError(request.doing, f"GitHub did not answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise GitHubUnavailableError(request.doing, f"the connection to {self._base.host} broke ({type(error).__name__})") from error
        finally:
            metrics.GITHUB_REQUESTS.labels(request.method, status).inc()

    def _url(self, path: str, query: Mapping[str, str]) -> URL:
        return self._base.join(URL(path.removeprefix("/"), encoded=True)).with_query(query)

    def _same_host(self, base: URL, link: str, doing: str) -> URL:
        """Resolve `link` on the API's own host. Raises RejectedError for other hosts: they must not receive the token."""
        try:
            url = base.join(URL(link))
            foreign = url.origin() != self._origin
        except ValueError:
            url, foreign = URL(), True
        if foreign:
            reason = f"GitHub redirected to another host ({url.host}), which must not receive our token; check GITHUB_API_URL"
            raise RejectedError(doing, reason, status=HTTPStatus.MOVED_PERMANENTLY)
        return url


def _headers_of(request: _Request) -> dict[str, str]:
    """Headers of this request alone."""
    headers = {}
    if request.token is not None:
        headers["authorization"] = _authorization(request.token)
    if request.data is not None:
        headers["content-type"] = "application/x-www-form-urlencoded" if request.form else "application/json"
    if request.form:
        headers["accept"] = "application/json"
    if request.etag is not None:
        headers["if-none-match"] = request.etag
    return headers


def _authorization(credentials: Credentials) -> str:
    if isinstance(credentials, Basic):
        return aiohttp.encode_basic_auth(credentials.user, credentials.password.get_secret_value())
    return f"Bearer {credentials.get_secret_value()}"


def _check(answer: GitHubResponse, request: _Request) -> GitHubResponse:
    """Pass on a successful response; raises the error of any other."""
    good = answer.status // 100 == 2 or (answer.status == HTTPStatus.NOT_MODIFIED and request.etag is not None)  # noqa: PLR2004 - 2xx
    now = date_of(answer.headers) or datetime.now(UTC)
    error = reserve_error(answer, request.doing, request.reserve, now) if good else error_for(answer, request.doing, now)
    if error is not None:
        raise error
    return answer


def _dumps(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(without_nulls(body))


async def _read(response: aiohttp.ClientResponse, doing: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise RejectedError(doing, f"the response is larger than {MAX_ANSWER_BYTES >> 20} MiB", status=response.status)
    return bytes(body)


def _is_retryable(error: Exception) -> bool:
    """True if a GET may be retried immediately. If GitHub asks for a delay, the pipeline retries later."""
    return isinstance(error, GitHubUnavailableError) and error.retry_after_s is None


def _proxy_of(url: URL) -> URL | None:
    """The proxy for a URL from the environment (`https_proxy`, `no_proxy` …)."""
    proxy = getproxies().get(url.scheme)
    return None if proxy is None or proxy_bypass(url.authority) else URL(proxy)
