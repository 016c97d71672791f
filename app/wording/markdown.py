"""Markdown that says what we mean, whatever names, paths and messages of strangers stand in it.

GitHub renders check runs as GitHub Flavored Markdown (https://github.github.com/gfm/), and makes mentions, references, links and emoji of
what it finds in text, but never of what is in code. So what others wrote is code here: `code` for one line, `fenced` for many, `prose` for
sentences of ours with words of theirs in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MAX_CODE_BYTES = 200
ELLIPSIS = "…"

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor; ECMA-48
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC and its kin: titles, links
    r"|\x1b[ -/]*[0-~]"
)
_LINE_ENDS = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""What is printable for Python, but takes no ink: fillers and variation selectors."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d{1,3}(?:[.,]\d{1,3})*%?|[–—…→·&]")  # noqa: RUF001 - an apostrophe
"""A word that is nothing else to GitHub, wherever it stands in a line."""
_TRAILING = ".,;:!?)”"
_LEADING = "(“"
_SHA = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)


def plain(text: str, limit: int | None = None, *, lines: bool = False) -> str:
    r"""Return text without what steers a terminal or hides: control characters, escape sequences, direction marks, what takes no width.

    On one line unless `lines`; cut to `limit` bytes of UTF-8. For titles, annotations and consoles.

    >>> plain("\x1b[31mred\x1b[0m\nrow\u202e")
    'red row'
    """
    text = _UNSEEN.sub("", _LINE_ENDS.sub("\n", _ESCAPES.sub("", text)))
    kept = "\n\t" if lines else ""
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char in kept else " " if char.isspace() else "" for char in text)
    text = text if lines else text.strip()
    return text if limit is None else cut(text, limit)


def cut(text: str, limit: int) -> str:
    """Return text within `limit` bytes of UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit:
        return text
    return encoded[: max(limit - len(ELLIPSIS.encode()), 0)].decode(errors="ignore") + ELLIPSIS


def code(text: str, limit: int = MAX_CODE_BYTES) -> str:
    """Return a code span on one line: nothing in it means anything. A backtick becomes an apostrophe.

    >>> code("a`b")
    "`a'b`"
    """
    shown = plain(text, limit).replace("`", "'")
    return f"`{shown or '(nothing)'}`"


def fenced(text: str, limit: int, kind: str = "") -> str:
    """Return a code block of at most `limit` bytes; its fence is longer than any in the text. `kind` is a language of ours."""
    shown = plain(text, lines=True).strip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    fence = fence if len(fence) * 4 < limit else "```"
    if fence == "```":
        shown = shown.replace("```", "'''")
    return f"{fence}{kind}\n{cut(shown, limit - 2 * len(fence) - len(kind) - 2)}\n{fence}"


def prose(text: str) -> str:
    """Return a sentence as Markdown: what stands between backticks is code, and so is every word that is more than letters or a number.

    So no mention, reference, address, picture or markup of anybody's works, whoever wrote which part.

    >>> prose("While reading `a b`: octo/shop#1 is at https://x.example/y, says @bob.")
    'While reading `a b`: `octo/shop#1` is at `https://x.example/y`, says `@bob`.'
    """
    found = ""
    for number, part in enumerate(plain(text).split("`")):
        pieces = [code(part)] if number % 2 and part else [] if number % 2 else re.findall(r" +|[^ ]+", part)
        for piece in pieces:
            shown = piece if number % 2 else _word(piece, first=not found)
            found += f" {shown}" if found.endswith("`") and shown.startswith("`") else shown
    return found


def _word(word: str, *, first: bool) -> str:
    """Return a word of a sentence, in code unless it is plain. A number that begins a line could begin a list."""
    core = word.lstrip(_LEADING).rstrip(_TRAILING)
    if word.isspace() or not core:
        return " " if word.isspace() else code(word) if first else word
    before, after = word[: word.index(core)], word[word.index(core) + len(core) :]
    is_plain = _WORD.fullmatch(core) and not _SHA.fullmatch(core) and not (first and not core[0].isalpha())
    return f"{before}{core if is_plain else code(core)}{after}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell is Markdown of this module's. A bar would end a cell, in code too, and does so differently by renderer."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', '¦') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def document(blocks: Iterable[str], limit: int) -> str:
    """Return the blocks with empty lines between, as many as fit into `limit` bytes: none is cut, so none is left open."""
    note = "… the page has the rest."
    room = limit - len(note.encode()) - 2
    kept: list[str] = []
    for block in blocks:
        room -= len(block.encode()) + 2
        if room < 0:
            return "\n\n".join([*kept, note])
        if block:
            kept.append(block)
    return "\n\n".join(kept)
