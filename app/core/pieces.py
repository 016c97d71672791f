"""Long texts of strangers in pieces: one search with a regular expression holds the interpreter, and with it the whole service."""

from __future__ import annotations

from collections.abc import Iterator

PIECE = 64 << 10
"""Characters: a search of these takes a few milliseconds."""


def pieces(text: str, overlap: int = 0) -> Iterator[str]:
    r"""Cut a text, at line ends where that is possible. `overlap` is how far each piece goes on into the next one.

    >>> list(pieces("a\nb\n"))
    ['a\nb\n']
    """
    start = 0
    while start < len(text):
        end = start + PIECE
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield text[start : end + overlap]
        start = end
