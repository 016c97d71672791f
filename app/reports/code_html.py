"""Code of strangers as HTML: colored, with links where it names other nodes by `ref()` and `source()`. Everything in it is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from app.reports.code_tokens import TokenKind, split
from app.reports.markdown import cut, plain

MAX_COLORED = 50_000
"""Characters. Longer code is shown without colors and links."""
MAX_SHOWN_BYTES = 400_000
"""The rest is cut off."""
_CLASSES: Mapping[TokenKind, str] = {"keyword": "k", "string": "s", "number": "n", "comment": "c", "jinja": "j"}
_LITERAL = r"(?:'[^'\\\n]{1,300}+'|\"[^\"\\\n]{1,300}+\")"
_CALL = re.compile(
    rf"(?P<function>ref|source)\s*+\(\s*+(?P<first>{_LITERAL})(?:\s*+,\s*+(?P<second>{_LITERAL}))?+"
    rf"(?:\s*+,\s*+v(?:ersion)?+\s*+=\s*+(?P<version>{_LITERAL}|[\w.]{{1,50}}+))?+\s*+\)"
)
"""A call of plain strings: what others name is only known to dbt."""


@dataclass(frozen=True, slots=True)
class CodeCall:
    """A call that names another node: `ref('orders')`, `ref('shop', 'orders', v=2)`, `source('erp', 'orders')`."""

    function: Literal["ref", "source"]
    names: tuple[str, ...]
    version: str | None = None


Link = Callable[[CodeCall], str | None]
"""The address of the node that a call names; None: it is not known."""


def render(code: str, language: str | None, link: Link) -> Markup:
    """The code in `<pre>`; `language` is dbt's.

    >>> render("select 1 from {{ ref('a') }}", "sql", lambda call: f"/{call.names[0]}")  # doctest: +ELLIPSIS
    Markup('<pre class="code"><code><span class="k">select</span> ...<a href="/a">ref(&#39;a&#39;)</a>...</code></pre>')
    """
    shown = cut(plain(code, lines=True), MAX_SHOWN_BYTES)
    inside = [escape(shown)] if len(shown) > MAX_COLORED else _colored(shown, language, link)
    return Markup(f'<pre class="code"><code>{"".join(inside)}</code></pre>')  # noqa: S704 - every part is escaped


def _colored(code: str, language: str | None, link: Link) -> Iterator[str]:
    position = written = 0
    for kind, text in split(code, language):
        found = _CALL.match(code, position) if kind == "name" and position >= written else None
        if found is not None and (address := link(_call(found))) is not None:
            yield f'<a href="{escape(address)}">{escape(found[0])}</a>'
            written = found.end()
        rest = text[max(written - position, 0) :]
        name = _CLASSES.get(kind)
        yield f'<span class="{name}">{escape(rest)}</span>' if name and rest else escape(rest)
        position += len(text)


def _call(found: re.Match[str]) -> CodeCall:
    first, second, version = (part and part.strip("'\"") for part in found.group("first", "second", "version"))
    return CodeCall("ref" if found["function"] == "ref" else "source", (first, second) if second else (first,), version)
