"""One request to GitHub's REST API: time limits on everything, redirects that keep their method, and no token for any other host."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
import stamina
from gidgethub import sansio
from pydantic import SecretStr
from yarl import URL

from app.errors import ConfigurationError, GitHubUnavailableError, RejectedError
from app.github.answers import REDIRECTS, Answer, decode, refusal, without_nulls

T = TypeVar("T")

API_VERSION = "2022-11-28"
CONNECT_S = 5.0
TOTAL_S = 15.0
MAX_ANSWER_BYTES = 64 << 20
MAX_REDIRECTS = 3
MAX_PAGES = 100
GET_ATTEMPTS = 3


class ApiClient:
    """GitHub's REST API at one URL. An async context manager: it holds the connections."""

    def __init__(self, api_url: str, *, connect_s: float = CONNECT_S, total_s: float = TOTAL_S, user_agent: str = "freshet") -> None:
        try:
            self._base = URL(api_url.rstrip("/") + "/")
            self._origin = self._base.origin()
        except ValueError as error:
            raise ConfigurationError("reading GITHUB_API_URL", f"{api_url!r} is not a URL") from error
        self._timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s)
        self._headers = {**sansio.create_headers(user_agent, accept="application/vnd.github+json"), "x-github-api-version": API_VERSION}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        # Not trust_env: it reads ~/.netrc too, and aiohttp refuses a request that has both.
        self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar(), proxy=_proxy_of(self._base))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, **query: str) -> T:
        """GET `path`, tried again at once when GitHub stumbles. Raises as `app.ports.GitHub` says."""
        return (await self._get(self._url(path, query), type_, doing, token))[0]

    async def pages(self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, **query: str) -> AsyncGenerator[T, None]:
        """GET `path` and all pages that follow it."""
        url: URL | None = self._url(path, {"per_page": "100", **query})
        for _ in range(MAX_PAGES):
            if url is None:
                return
            page, following = await self._get(url, type_, doing, token)
            yield page
            url = None if following is None else self._ours(url, following, doing)

    async def post(self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, body: Mapping[str, Any]) -> T:
        """POST `body`, without its nulls, once: what follows a lost answer is for the caller to decide."""
        return decode(await self._exchange("POST", self._url(path, {}), doing, token, _dumps(body)), type_, doing)

    async def patch(self, path: str, type_: type[T], *, doing: str, token: SecretStr | None, body: Mapping[str, Any]) -> T:
        """PATCH with `body`, without its nulls, once."""
        return decode(await self._exchange("PATCH", self._url(path, {}), doing, token, _dumps(body)), type_, doing)

    async def _get(self, url: URL, type_: type[T], doing: str, token: SecretStr | None) -> tuple[T, str | None]:
        attempts = stamina.retry_context(_passes_soon, attempts=GET_ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=1.0, wait_jitter=0.2)
        async for attempt in attempts:
            with attempt:
                answer = await self._exchange("GET", url, doing, token, None)
                return decode(answer, type_, doing), answer.next_url
        raise AssertionError  # pragma: no cover - stamina raises the last error itself

    async def _exchange(self, method: str, url: URL, doing: str, token: SecretStr | None, data: bytes | None) -> Answer:
        """Send one request and follow GitHub's redirects with the same method and body.

        https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
        """
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._once(method, url, doing, token, data)
            if answer.status in REDIRECTS and "location" in answer.headers:
                url = self._ours(url, answer.headers["location"], doing)
            elif answer.status // 100 == 2:  # noqa: PLR2004 - 2xx
                return answer
            else:
                raise refusal(answer, doing, datetime.now(UTC))
        raise GitHubUnavailableError(doing, f"GitHub redirected more than {MAX_REDIRECTS} times")

    async def _once(self, method: str, url: URL, doing: str, token: SecretStr | None, data: bytes | None) -> Answer:
        if self._session is None:
            message = "ApiClient is used outside its context"
            raise RuntimeError(message)
        headers = dict(self._headers)
        if token is not None:
            headers["authorization"] = f"Bearer {token.get_secret_value()}"
        if data is not None:
            headers["content-type"] = "application/json"
        # A check run with all its annotations can be megabytes, which aiohttp wants as a file.
        content = None if data is None else io.BytesIO(data)
        try:
            async with self._session.request(method, url, data=content, headers=headers, allow_redirects=False) as response:
                body = await _read(response, doing)
                link = response.links.get("next")
                return Answer(response.status, response.headers, body, str(link["url"]) if link else None)
        except TimeoutError as error:
            raise GitHubUnavailableError(doing, f"GitHub did not answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise GitHubUnavailableError(doing, f"the connection to {self._base.host} broke ({type(error).__name__})") from error

    def _url(self, path: str, query: Mapping[str, str]) -> URL:
        return self._base.join(URL(path.removeprefix("/"), encoded=True)).with_query(query)

    def _ours(self, base: URL, link: str, doing: str) -> URL:
        """Return where `link` leads when that is on the API's own host. Raises RejectedError: the token is for nobody else."""
        try:
            url = base.join(URL(link))
            foreign = url.origin() != self._origin
        except ValueError:
            url, foreign = URL(), True
        if foreign:
            reason = f"GitHub pointed to another host ({url.host}), which is not sent our token; check GITHUB_API_URL"
            raise RejectedError(doing, reason, status=HTTPStatus.MOVED_PERMANENTLY)
        return url


def _dumps(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(without_nulls(body))


async def _read(response: aiohttp.ClientResponse, doing: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise RejectedError(doing, f"the answer is over {MAX_ANSWER_BYTES >> 20} MiB", status=response.status)
    return bytes(body)


def _passes_soon(error: Exception) -> bool:
    """Tell whether a GET may be tried again at once; where GitHub asks for patience, the flow above has more of it."""
    return isinstance(error, GitHubUnavailableError) and error.retry_after_s is None


def _proxy_of(url: URL) -> URL | None:
    """Return the proxy that the environment (`https_proxy`, `no_proxy` …) names for a URL."""
    proxy = getproxies().get(url.scheme)
    return None if proxy is None or proxy_bypass(url.authority) else URL(proxy)
