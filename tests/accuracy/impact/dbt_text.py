"""A dbt file of SQL and Jinja, in pieces: what an edit may touch, and what it has to leave alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

Kind = Literal["space", "word", "sign", "text", "comment", "jinja", "tag"]
"""`text`: a string or a name in quotes. `jinja`: an expression or a comment. `tag`: a statement, such as `{% if … %}`."""

BACKSLASHES = frozenset({"bigquery", "snowflake", "databricks", "spark", "clickhouse"})
"""Dialects where a backslash in a string hides the quote behind it."""
BLOCKS = frozenset({"set", "call", "macro", "raw", "filter", "materialization", "docs", "test"})
"""Statements whose text may be used in another way than as a part of the SQL."""
_JINJA_END = {"{{": "}}", "{%": "%}", "{#": "#}"}
_WORD = re.compile(r"[A-Za-z_][\w$]*|\d[\w.]*")
_SPACE = re.compile(r"\s+")
_JINJA_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_STATEMENT = re.compile(r"\{%[-+]?\s*(\w+)")


class Piece(NamedTuple):
    """A part of a file. `fixed`: in a block whose text is used in another way, so it must not be touched."""

    kind: Kind
    text: str
    fixed: bool = False

    @property
    def is_jinja(self) -> bool:
        """Whether it is for Jinja."""
        return self.kind in ("jinja", "tag")


class UnreadableError(Exception):
    """A string, a comment or Jinja does not end: this is not what we took it for."""


def pieces(text: str, dialect: str) -> list[Piece]:
    """Take a file apart; joined, the pieces are the text again. Raises UnreadableError."""
    return [*_in_blocks(_Reader(text, dialect).read())]


def joined(found: Sequence[Piece]) -> str:
    """The text."""
    return "".join(piece.text for piece in found)


class _Reader:
    def __init__(self, text: str, dialect: str) -> None:
        self._text, self._dialect = text, dialect
        self._backslashes = dialect in BACKSLASHES
        self._line_comments = {"bigquery": ("--", "#"), "snowflake": ("--", "//")}.get(dialect, ("--",))
        self._quotes = {"bigquery": ("'''", '"""', "'", '"', "`"), "snowflake": ("$$", "'", '"')}.get(dialect, ("'", '"', "`"))

    def read(self) -> Iterator[Piece]:
        place = 0
        while place < len(self._text):
            kind, end = self._next(place)
            yield Piece(kind, self._text[place:end])
            place = end

    def _next(self, place: int) -> tuple[Kind, int]:
        text = self._text
        if text[place : place + 2] in _JINJA_END:
            return ("tag" if text.startswith("{%", place) else "jinja"), self._jinja_end(place)
        if text.startswith(self._line_comments, place):
            return "comment", self._until(place, "\n", strict=False)
        if text.startswith("/*", place):
            return "comment", self._until(place + 2, "*/") + 2
        quote = next((quote for quote in self._quotes if text.startswith(quote, place)), None)
        if quote is not None:
            return "text", self._quoted_end(place + len(quote), quote)
        for kind, pattern in (("space", _SPACE), ("word", _WORD)):
            found = pattern.match(text, place)
            if found is not None:
                return ("space" if kind == "space" else "word"), found.end()
        return "sign", place + 1

    def _jinja_end(self, place: int) -> int:
        end = _JINJA_END[self._text[place : place + 2]]
        place += 2
        while not self._text.startswith(end, place):
            string = _JINJA_STRING.match(self._text, place) if end != "#}" else None
            place = place + 1 if string is None else string.end()
            if place >= len(self._text):
                raise UnreadableError
        return place + 2

    def _until(self, place: int, end: str, *, strict: bool = True) -> int:
        """Where `end` begins; Jinja on the way may contain it."""
        while not self._text.startswith(end, place):
            if place >= len(self._text):
                if strict:
                    raise UnreadableError
                return place
            place = self._jinja_end(place) if self._text[place : place + 2] in _JINJA_END else place + 1
        return place

    def _quoted_end(self, place: int, quote: str) -> int:
        while not self._text.startswith(quote, place):
            if place >= len(self._text):
                raise UnreadableError
            if self._text[place : place + 2] in _JINJA_END:
                place = self._jinja_end(place)
            else:
                place += 2 if self._text[place] == "\\" and self._backslashes and quote not in ("`", "$$") else 1
        return place + len(quote)


def _in_blocks(found: Iterator[Piece]) -> Iterator[Piece]:
    depth = 0
    for piece in found:
        statement = _STATEMENT.match(piece.text) if piece.kind == "tag" else None
        name = statement[1] if statement else ""
        opens = name in BLOCKS and not (name == "set" and re.match(r"\{%[-+]?\s*set\b[^=]*=", piece.text))
        depth -= name.removeprefix("end") in BLOCKS and name.startswith("end") and depth > 0
        yield piece._replace(fixed=depth > 0 or piece.is_jinja)
        depth += opens
