"""Markdown in which untrusted names, paths and messages have no effect.

GitHub renders check runs as GitHub Flavored Markdown (https://github.github.com/gfm/). In text it turns words into mentions, references,
links and emoji, in code never. So untrusted text becomes code: `code` for one line, `fenced` for several, `prose` for our own sentences
that contain untrusted words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MAX_CODE_BYTES = 200
ELLIPSIS = "…"

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colors, cursor; ECMA-48
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC and its kin: titles, links
    r"|\x1b[ -/]*[0-~]"
)
_LINE_ENDS = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Printable for Python, but invisible: fillers and variation selectors."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d{1,3}(?:[.,]\d{1,3})*%?|[–—…→·&]")  # noqa: RUF001 - an apostrophe
"""A word that has no effect on GitHub, anywhere in a line."""
_TRAILING = ".,;:!?)”"
_LEADING = "(“"
_SHA = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)


def plain(text: str, limit: int | None = None, *, lines: bool = False) -> str:
    r"""Text without control characters, escape sequences, direction marks and invisible characters, for titles, annotations and consoles.

    On one line unless `lines`; cut to `limit` bytes of UTF-8.

    >>> plain("\x1b[31mred\x1b[0m\nrow\u202e")
    'red row'
    """
    text = _UNSEEN.sub("", _LINE_ENDS.sub("\n", _ESCAPES.sub("", text)))
    allowed = "\n\t" if lines else ""
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char in allowed else " " if char.isspace() else "" for char in text)
    text = text if lines else text.strip()
    return text if limit is None else cut(text, limit)


def cut(text: str, limit: int) -> str:
    """Shorten a text to `limit` bytes of UTF-8, with an ellipsis at the end."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit:
        return text
    return encoded[: max(limit - len(ELLIPSIS.encode()), 0)].decode(errors="ignore") + ELLIPSIS


def code(text: str, limit: int = MAX_CODE_BYTES) -> str:
    """A code span on one line. Backticks become apostrophes.

    >>> code("a`b")
    "`a'b`"
    """
    content = plain(text, limit).replace("`", "'")
    return f"`{content or '(nothing)'}`"


def fenced(text: str, limit: int, kind: str = "") -> str:
    """A code block of at most `limit` bytes, with a fence longer than any in the text. `kind` is its language, a trusted text."""
    content = plain(text, lines=True).strip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", content)), default=0))
    fence = fence if len(fence) * 4 < limit else "```"
    if fence == "```":
        content = content.replace("```", "'''")
    return f"{fence}{kind}\n{cut(content, limit - 2 * len(fence) - len(kind) - 2)}\n{fence}"


def prose(text: str) -> str:
    """A sentence as Markdown. Text between backticks becomes code, and so does every word that is more than letters or a number.

    This disables mentions, references, addresses, images and markup in every part of the sentence.

    >>> prose("While reading `a b`: octo/shop#1 is at https://x.example/y, says @bob.")
    'While reading `a b`: `octo/shop#1` is at `https://x.example/y`, says `@bob`.'
    """
    found = ""
    for number, part in enumerate(plain(text).split("`")):
        pieces = [code(part)] if number % 2 and part else [] if number % 2 else re.findall(r" +|[^ ]+", part)
        for piece in pieces:
            markdown = piece if number % 2 else _word(piece, first=not found)
            found += f" {markdown}" if found.endswith("`") and markdown.startswith("`") else markdown
    return found


def _word(word: str, *, first: bool) -> str:
    """A word of a sentence, as code unless it is harmless. A number at the start of a line could start a list."""
    core = word.lstrip(_LEADING).rstrip(_TRAILING)
    if "(" in core and word.lstrip(_LEADING).startswith(f"{core})"):
        core += ")"  # of a call, such as ref()
    if word.isspace() or not core:
        return " " if word.isspace() else code(word) if first else word
    before, after = word[: word.index(core)], word[word.index(core) + len(core) :]
    is_plain = _WORD.fullmatch(core) and not _SHA.fullmatch(core) and not (first and not core[0].isalpha())
    return f"{before}{core if is_plain else code(core)}{after}"


def location(path: str | None, line: int | None) -> str:
    """`models/a.sql`, line 3; empty without a path."""
    return f"{code(path)}{f', line {line}' if line else ''}" if path else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells made with this module. Bars are replaced: renderers disagree on how they end a cell, even in code."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', '¦') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def folded(title: str, blocks: Iterable[str]) -> str:
    """Blocks that are shown when somebody opens them, under a trusted title; nothing without any."""
    inside = [block for block in blocks if block]
    return "\n\n".join([f"<details><summary>{title}</summary>", *inside, "</details>"]) if inside else ""


def document(blocks: Iterable[str], limit: int) -> str:
    """The blocks that fit into `limit` bytes, separated by empty lines. Blocks are never cut, so no code block stays open."""
    note = "… see the details page for the rest."
    room = limit - len(note.encode()) - 2
    fitting: list[str] = []
    for block in blocks:
        room -= len(block.encode()) + 2
        if room < 0:
            return "\n\n".join([*fitting, note])
        if block:
            fitting.append(block)
    return "\n\n".join(fitting)
