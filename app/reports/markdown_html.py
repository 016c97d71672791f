"""Descriptions that strangers wrote as Markdown, as HTML that cannot do anything: no HTML of theirs, no images, links to the web alone.

What is written is a table of tags of ours: what the parser may learn to read later shows as text. https://spec.commonmark.org/0.31.2/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from app.reports.markdown import cut, plain

MAX_MARKDOWN_BYTES = 20_000
"""Of one description; the rest is cut off."""

MAX_CELLS = 5_000
"""Of a text: its lines by the most bars in one of them. With more, its tables show as text: each row is filled up to the first one."""
MAX_ADDRESSES = 2 * MAX_MARKDOWN_BYTES
"""Characters of all addresses of a text: one that is defined once can be used in thousands of links."""

_PLAIN_TABLES = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("strikethrough")
_TABLES = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["strikethrough", "table"])
for _parser in (_PLAIN_TABLES, _TABLES):
    _parser.validateLink = lambda _url: True  # type: ignore[assignment] # `_Writer` decides: here, the source would show instead
_TAGS = {
    "paragraph": "p",
    "blockquote": "blockquote",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "em": "em",
    "strong": "strong",
    "s": "s",
    **{name: name for name in ("table", "thead", "tbody", "tr", "th", "td")},
}
_OUTER = {"bullet_list", "ordered_list", "blockquote", "table", "thead", "tbody", "tr"}
_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!|<>&~\n=-]|:/|\d[.)]")
"""What a text that is no Markdown does not have. Most descriptions are one such sentence."""
_BARE = re.compile(r"\bhttps?://[^\s<>()\[\]\"'`\\]+")
_TRAILING = ".,;:!?*_~"
_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s\\]", re.IGNORECASE)
_SIDES = frozenset({"right", "center"})
_DEEPEST = 6


def safe_link(address: str | None) -> str | None:
    """An address of the web or of mail as strangers wrote it; None if it is anything else, such as `javascript:` or relative.

    >>> safe_link("https://bi.example/1"), safe_link("javascript:alert(1)"), safe_link("//bi.example"), safe_link(None)
    ('https://bi.example/1', None, None, None)
    """
    return address if address and _ADDRESS.match(address) and address.isprintable() else None


def render(text: str, *, below: int = 2, limit: int = MAX_MARKDOWN_BYTES) -> Markup:
    r"""Blocks of HTML. A first-level heading becomes one of the level after `below`.

    >>> render("# Orders\n\nPaid, see [the wiki](https://wiki.example/o).")
    Markup('<h3>Orders</h3>\n<p>Paid, see <a href="https://wiki.example/o" rel="noopener nofollow">the wiki</a>.</p>\n')
    """
    shown = cut(plain(text, lines=True).strip(), limit)
    if not _MARKUP.search(shown):
        return Markup("<p>{}</p>\n").format(shown) if shown else Markup()
    lines = shown.split("\n")
    parser = _TABLES if len(lines) * max(line.count("|") for line in lines) <= MAX_CELLS else _PLAIN_TABLES
    return Markup("".join(_Writer(below).blocks(parser.parse(shown))))  # noqa: S704 - every part is escaped


class _Writer:
    """Writes the tokens of one text."""

    def __init__(self, below: int) -> None:
        self._below = below
        self._left = MAX_ADDRESSES
        self._links: list[bool] = []
        """Of the links that are open: whether they are written."""

    def blocks(self, tokens: Iterable[Token]) -> Iterator[str]:
        for token in tokens:
            if token.type == "inline":
                yield from self._inline(token.children or ())
            elif not token.hidden:
                yield self._block(token)

    def _block(self, token: Token) -> str:
        name = _name(token)
        if name == "heading":
            level = min(int(token.tag[1:]) + self._below, _DEEPEST)
            return f"<h{level}>" if token.nesting == 1 else f"</h{level}>\n"
        if name in _TAGS:
            end = "\n" if token.nesting == -1 or name in _OUTER else ""
            return f"{_tag(token)}{end}"
        if name == "hr":
            return "<hr>\n"
        if name in {"fence", "code_block"}:
            return f"<pre><code>{_seen(token.content)}</code></pre>\n"
        return _seen(token.content)

    def _inline(self, tokens: Iterable[Token]) -> Iterator[str]:
        for token in tokens:
            match _name(token):
                case "link":
                    yield self._open(token.attrGet("href")) if token.nesting == 1 else self._close()
                case "image":
                    yield self._open(token.attrGet("src"))
                    yield from self._inline(token.children) if token.children else ("image",)
                    yield self._close()
                case "code_inline":
                    yield f"<code>{_seen(token.content)}</code>"
                case "softbreak":
                    yield "\n"
                case "hardbreak":
                    yield "<br>\n"
                case name if name in _TAGS:
                    yield _tag(token)
                case _:
                    yield from self._text(token.content)

    def _text(self, text: str) -> Iterator[str]:
        """Addresses in it become links, as on GitHub."""
        end = 0
        for found in _BARE.finditer(text):
            address = found[0].rstrip(_TRAILING)
            yield _seen(text[end : found.start()])
            yield f"{self._open(address)}{_seen(address)}{self._close()}"
            end = found.start() + len(address)
        yield _seen(text[end:])

    def _open(self, address: object) -> str:
        """A link; nothing if it leads nowhere, or is in another one, as an image may be."""
        safe = safe_link(address) if isinstance(address, str) else None
        self._left -= len(safe or "")
        self._links.append(safe is not None and self._left >= 0 and not any(self._links))
        return f'<a href="{escape(safe)}" rel="noopener nofollow">' if self._links[-1] else ""

    def _close(self) -> str:
        return "</a>" if self._links.pop() else ""


def _name(token: Token) -> str:
    return token.type.removesuffix("_open").removesuffix("_close")


def _tag(token: Token) -> str:
    """The tag with, of lists, their first number, and of cells their side: a class, because the page allows no styles of its own."""
    tag = _TAGS[_name(token)]
    if token.nesting == -1:
        return f"</{tag}>"
    start, side = token.attrGet("start"), str(token.attrGet("style")).removeprefix("text-align:")
    attribute = f' start="{start}"' if isinstance(start, int) else f' class="{side}"' if side in _SIDES else ""
    return f"<{tag}{attribute}>"


def _seen(text: str) -> str:
    """Text as HTML, without what hides or reorders it, which entities can bring back: `&#8238;`."""
    return escape(plain(text, lines=True))
