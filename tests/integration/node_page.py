"""The page of a node, fetched and read as a browser reads it."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import quote

from tests.integration.lineage_reader import TOKEN, Reader

VOID = {"meta", "link", "br", "hr", "img", "input"}
TAGS = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "nav", "main", "p", "code", "span", "button", "section"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "dl", "div", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "ul", "ol", "li"),
    *("figure", "svg", "rect", "figcaption"),
    *("details", "summary", "pre", "time", "em", "strong", "s", "blockquote", "br", "hr", "form", "input"),
}  # fmt: skip
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "rel", "href", "src", "type", "class", "id", "data-root", "data-kind", "data-copy"),
    *("aria-label", "aria-hidden", "aria-current", "hidden", "scope", "datetime", "tabindex", "start", "role", "open"),
    *("viewbox", "preserveaspectratio", "x", "y", "width", "height"),
    *("action", "id", "value", "maxlength", "placeholder", "aria-keyshortcuts", "autocomplete", "spellcheck", "data-live"),
}  # fmt: skip


class Html(HTMLParser):
    """A page as a browser reads it. Everything that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.text, self.hrefs, self.ids = "", list[str](), list[str]()
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self._text = ""
        self.feed(html.replace("<wbr>", ""))
        self.close()
        assert not self._open
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert tag in TAGS, tag
        assert found.keys() <= ATTRIBUTES, found
        if tag == "script":
            assert (found.get("src") or "").startswith("/assets/")
        if "href" in found:
            self.hrefs.append(str(found["href"]))
        if "id" in found:
            self.ids.append(str(found["id"]))
        if tag not in VOID:
            self._open.append((tag, found))
        self._text = ""

    def handle_endtag(self, tag: str) -> None:
        opened, found = self._open.pop()
        assert opened == tag
        if tag == "a":
            self.links[self._text.strip()] = str(found["href"])

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"
        self._text += data


async def page(reader: Reader, name: str, query: str = "", *, status: int = 200) -> Html:
    path = f"/connections/{reader.connection_id}/nodes/{quote(name, safe='')}{query}"
    async with reader.client.get(path, headers={**TOKEN, "Accept": "text/html"}) as response:
        body = await response.text()
        assert response.status == status, body
        assert response.content_type == "text/html"
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        return Html(body)
