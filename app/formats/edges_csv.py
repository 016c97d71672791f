"""The edges as CSV: https://www.rfc-editor.org/rfc/rfc4180, every field quoted.

A field that a spreadsheet would take for a formula (https://owasp.org/www-community/attacks/CSV_Injection) gets an apostrophe before it.
unique_ids of dbt never need one: they begin with a word.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.formats.heading import Heading
from app.graph import Selection

FORMULAS = tuple("=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}")


def texts(_heading: Heading, selection: Selection) -> Iterator[bytes]:
    """Yield a header and a line for each edge."""
    yield b'"upstream","downstream"\r\n'
    for upstream, downstream in selection.pairs():
        yield f"{_field(selection.node(upstream).unique_id)},{_field(selection.node(downstream).unique_id)}\r\n".encode()


def _field(text: str) -> str:
    safe = f"'{text}" if text.lstrip(" ").startswith(FORMULAS) else text
    return '"' + safe.replace('"', '""') + '"'
