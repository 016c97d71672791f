"""Splits the code of dbt projects into tokens to color: SQL with Jinja, or Python. It guesses where dialects differ. Takes linear time."""

from __future__ import annotations

import keyword
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Literal, NamedTuple

TokenKind = Literal["keyword", "string", "number", "comment", "jinja", "name", "text"]
"""`jinja`: where an expression or a statement of Jinja begins and ends. `name`: in Jinja or Python."""

SQL_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        "all and any array as asc between by case cast create cross cube current date delete desc distinct drop else end escape except "
        "exists extract false fetch filter first flatten following for from full function grant group grouping having ilike in inner "
        "insert intersect interval into is join last lateral left like limit materialized merge minus natural not null nulls offset on "
        "or order outer over partition pivot preceding qualify range recursive returning right rollup row rows sample select set sets "
        "similar some struct table tablesample then timestamp true unbounded union unnest unpivot update using values view when where "
        "window with within ",
    )
)
JINJA_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        "and block call do elif else endblock endcall endfilter endfor endif endmacro endraw endset endsnapshot endtest extends false "
        "filter for from if import in include is macro materialization endmaterialization none not or raw set snapshot test true with ",
    )
)
PYTHON_KEYWORDS = frozenset(keyword.kwlist)

_JINJA = ("{{", "{%", "{#")
_SQL = re.compile(
    r"(?P<opening>--|/\*|['\"`])|(?P<word>[^\W\d]\w*+)|(?P<number>\d[\w.]*+)"
    r"|(?P<text>(?:[^\w'\"`{/-]++|-(?!-)|/(?!\*)|\{(?![{%#]))++)"
)
_INSIDE: Mapping[str, re.Pattern[str]] = {
    "'": re.compile(r"(?:[^'\\{]++|\\[^{]?|''|\{(?![{%#]))*+(?P<end>')?"),
    '"': re.compile(r'(?:[^"{]++|""|\{(?![{%#]))*+(?P<end>")?'),
    "`": re.compile(r"(?:[^`{]++|\{(?![{%#]))*+(?P<end>`)?"),
    "--": re.compile(r"(?:[^\n{]++|\{(?![{%#]))*+(?P<end>\n)?"),
    "/*": re.compile(r"(?:[^*{]++|\*(?!/)|\{(?![{%#]))*+(?P<end>\*/)?"),
}
"""The rest of a string, a quoted name or a comment of SQL, up to its end or to Jinja, by how it began."""
_IN_JINJA = re.compile(
    r"(?P<string>'(?:[^'\\]++|\\.?)*+'?|\"(?:[^\"\\]++|\\.?)*+\"?)|(?P<name>[^\W\d]\w*+)|(?P<number>\d[\w.]*+)"
    r"|(?P<text>[^\w'\"{}%-]++|.)",
    re.DOTALL,
)
_KINDS: Mapping[str, TokenKind] = {"'": "string", '"': "text", "`": "text", "--": "comment", "/*": "comment"}
_BY_GROUP: Mapping[str, TokenKind] = {"comment": "comment", "string": "string", "number": "number", "name": "name"}
_JINJA_END = re.compile(r"-?[}%]\}")
_PYTHON = re.compile(
    r"(?P<comment>#[^\n]*+)"
    r"|(?P<string>(?:[rbfuRBFU]{1,2}(?=['\"]))?(?:'''(?:[^'\\]++|\\.?|'(?!''))*+(?:''')?|\"\"\"(?:[^\"\\]++|\\.?|\"(?!\"\"))*+(?:\"\"\")?"
    r"|'(?:[^'\\\n]++|\\.?)*+'?|\"(?:[^\"\\\n]++|\\.?)*+\"?))"
    r"|(?P<name>[^\W\d]\w*+)|(?P<number>\d[\w.]*+)|(?P<text>[^\w'\"#]++)",
    re.DOTALL,
)


class CodeToken(NamedTuple):
    """A piece of the code. All pieces together are the code."""

    kind: TokenKind
    text: str


def split(code: str, language: str | None) -> Iterator[CodeToken]:
    """The tokens of code in dbt's `language`: `python`, or else SQL.

    >>> [token.text for token in split("select {{ x }} -- y", None)]
    ['select', ' ', '{{', ' ', 'x', ' ', '}}', ' ', '--', ' y']
    """
    return _python(code) if language == "python" else _sql(code)


def _python(code: str) -> Iterator[CodeToken]:
    return (_token(found, PYTHON_KEYWORDS) for found in _PYTHON.finditer(code))


def _sql(code: str) -> Iterator[CodeToken]:
    """Jinja comes first: it may begin in strings and comments too, which go on behind it."""
    position, opening = 0, ""
    while position < len(code):
        if code.startswith(_JINJA, position):
            position = yield from _jinja(code, position)
        elif opening and (rest := _INSIDE[opening].match(code, position)):
            yield CodeToken(_KINDS[opening], rest[0])
            position, opening = rest.end(), "" if rest["end"] else opening
        elif found := _SQL.match(code, position):
            opening = found["opening"] or ""
            yield CodeToken(_KINDS[opening], opening) if opening else _token(found, SQL_KEYWORDS)
            position = found.end()


def _jinja(code: str, position: int) -> Generator[CodeToken, None, int]:
    """The tokens of what begins at a position; returns where it ends."""
    begin = code[position : position + 2]
    if begin == "{#":
        end = code.find("#}", position) + 2
        yield CodeToken("comment", code[position : end if end > 1 else len(code)])
        return end if end > 1 else len(code)
    yield CodeToken("jinja", begin)
    position, depth = position + 2, 0
    while position < len(code):
        if not depth and (end_mark := _JINJA_END.match(code, position)):
            yield CodeToken("jinja", end_mark[0])
            return end_mark.end()
        found = _IN_JINJA.match(code, position)
        assert found is not None  # noqa: S101 - it takes any text
        depth = max(depth + (found[0] == "{") - (found[0] == "}"), 0)
        yield _token(found, JINJA_KEYWORDS)
        position = found.end()
    return position


def _token(found: re.Match[str], keywords: frozenset[str]) -> CodeToken:
    if found.lastgroup == "word":
        return CodeToken("keyword" if found[0].lower() in keywords else "text", found[0])
    if found.lastgroup == "name" and found[0] in keywords:
        return CodeToken("keyword", found[0])
    return CodeToken(_BY_GROUP.get(found.lastgroup or "", "text"), found[0])
