"""Edits of macros that make other SQL: a number or a string in the text of a macro is another one."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)\s*\(")
_END = re.compile(r"\{%-?\s*endmacro\b")
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|--[^\n]*|/\*.*?\*/", re.DOTALL)
_LITERAL = re.compile(r"(?<!select )(?<![\w.'\"{-])(\d+)(?![\w.'\"])|'([A-Za-z_ -]+)'", re.IGNORECASE)


def edited_macros(files: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Every second file that has room for it, with its new text: the first literal of its first macro with one is another."""
    found = {path: new for path, text in sorted(files) if path.endswith(".sql") and (new := edited_macro(text)) is not None}
    return {path: text for number, (path, text) in enumerate(found.items()) if number % 2 == 0 or len(found) < 3}


def edited_macro(text: str) -> str | None:
    """The text of a file with another literal in a macro; None if there is none. (`exists (select 1 …)` would say the same.)"""
    for macro in _MACRO.finditer(text):
        end = _END.search(text, macro.end())
        start = text.find("%}", macro.end())
        if end is None or start < 0:
            continue
        hidden = _JINJA.sub(lambda found: " " * len(found[0]), text[start + 2 : end.start()])
        literal = _LITERAL.search(hidden)
        if literal is not None:
            new = str(int(literal[1]) + 1) if literal[1] else f"'{literal[2]}x'"
            at = start + 2
            return text[: at + literal.start()] + new + text[at + literal.end() :]
    return None
