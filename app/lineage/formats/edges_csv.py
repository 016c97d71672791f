"""The edges as CSV with every field quoted: https://www.rfc-editor.org/rfc/rfc4180.

A field that a spreadsheet would treat as a formula (https://owasp.org/www-community/attacks/CSV_Injection) gets an apostrophe in front.
dbt's unique_ids never need it: they start with a word.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.lineage.formats.heading import AnyHeading
from app.lineage.graph import Selection

FORMULAS = tuple("=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}")


def render(_heading: AnyHeading, selection: Selection) -> Iterator[bytes]:
    """A header, then one line per edge."""
    yield b'"upstream","downstream"\r\n'
    for upstream, downstream in selection.pairs():
        yield f"{cell(selection.node(upstream).unique_id)},{cell(selection.node(downstream).unique_id)}\r\n".encode()


def cell(text: str) -> str:
    """A quoted field."""
    safe = f"'{text}" if text.lstrip(" ").startswith(FORMULAS) else text
    return '"' + safe.replace('"', '""') + '"'
