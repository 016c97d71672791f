"""What a person's browser does, as far as it matters: forms, cookies, redirects, and where requests come from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser

import aiohttp
from yarl import URL

from tests.patience import HANGS_S


@dataclass
class Form:
    """A form of a page: its target and its fields."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(values.get("method", "get"), values.get("action", "")))
        elif tag == "input" and "name" in values and (values.get("type") not in ("checkbox", "radio") or "checked" in values):
            self.found[-1].fields[values["name"]] = values.get("value", "")


def forms(page: str) -> list[Form]:
    """The forms of a page, in order."""
    parser = _Forms()
    parser.feed(page)
    return parser.found


async def open_page(session: aiohttp.ClientSession, url: str, **query: str) -> tuple[int, str, Mapping[str, str]]:
    """Return status, text and headers of a page, redirects not followed."""
    async with session.get(url, params=query, headers={"Accept": "text/html"}, allow_redirects=False) as response:
        return response.status, await response.text(), response.headers


async def press(session: aiohttp.ClientSession, form: Form) -> str:
    """Submit the form that creates the App; returns where GitHub redirects the browser."""
    async with session.post(form.action, data=form.fields, headers={"User-Agent": "browser"}, allow_redirects=False) as response:
        assert response.status == 302, await response.text()
        return response.headers["Location"]


NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}
"""What a browser says of a page that a person opens."""


@dataclass
class Page:
    """What a browser shows in the end."""

    status: int
    url: str
    text: str
    headers: Mapping[str, str]
    through: list[str] = field(default_factory=list)
    """The addresses that redirected to it."""


class Browser:
    """A browser with cookies of its own, which says where its requests come from, and follows redirects."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def open(self, path: str, *, site: str = "none", follow: bool = True, **headers: str) -> Page:
        """Open a page of the service, or any address."""
        url = path if path.startswith("http") else self.url + path
        headers = {**NAVIGATION, "User-Agent": "browser", "Sec-Fetch-Site": site, **headers}
        async with self.session.get(url, headers=headers, allow_redirects=follow) as response:
            through = [str(one.url) for one in response.history]
            return Page(response.status, str(response.url), await response.text(), response.headers, through)

    async def submit(self, path: str, fields: Mapping[str, str] | None = None, **headers: str) -> Page:
        """Submit a form of one of the service's pages."""
        own = {**NAVIGATION, "User-Agent": "browser", "Sec-Fetch-Site": "same-origin", "Origin": self.url, **headers}
        own = {name: value for name, value in own.items() if value}
        async with self.session.post(self.url + path, data=fields or {}, headers=own, allow_redirects=False) as response:
            return Page(response.status, str(response.url), await response.text(), response.headers)

    async def fetch(self, path: str, method: str = "GET", **headers: str) -> Page:
        """What a script of the service's pages does."""
        own = {
            "Accept": "application/json",
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Dest": "empty",
            **headers,
        }
        own = {name: value for name, value in own.items() if value}
        async with self.session.request(method, self.url + path, headers=own, allow_redirects=False) as response:
            return Page(response.status, str(response.url), await response.text(), response.headers)

    def cookies(self) -> dict[str, str]:
        """All cookies that it has of the service."""
        return {name: one.value for name, one in self.session.cookie_jar.filter_cookies(URL(self.url)).items()}

    def set_cookie(self, name: str, value: str) -> None:
        """Have a cookie of the service."""
        self.session.cookie_jar.update_cookies({name: value}, URL(self.url))


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Browser]:
    """A new browser for the service at `url`."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=HANGS_S)) as session:
        yield Browser(session, url)
