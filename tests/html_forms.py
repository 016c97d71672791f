"""What a person's browser does on the setup page, as far as it matters: forms, cookies, redirects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

import aiohttp


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
        elif tag == "input" and "name" in values and (values.get("type") != "checkbox" or "checked" in values):
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
