"""Patterns of CODEOWNERS: those of `.gitignore` without negation, character ranges and an escaped `#`.

https://git-scm.com/docs/gitignore#_pattern_format
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_PATTERN = 4096
"""Characters; no path is that long: https://man7.org/linux/man-pages/man7/path_resolution.7.html."""
ANY = "/"
"""Stands for `?` in a `NamePattern`: no name has this character."""


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A name with `*` between its `pieces`, at least one, and `ANY` for one character."""

    pieces: tuple[str, ...]
    cost: int
    """Per character of a name, in 512ths of a step."""

    def fits(self, name: str) -> bool:
        """Whether the name matches; takes at most its length times that of the pattern."""
        first, last = self.pieces[0], self.pieces[-1]
        end = len(name) - len(last)
        if len(self.pieces) == 1:
            return end == 0 and _is_at(first, name, 0)
        if end < len(first) or not _is_at(first, name, 0) or not _is_at(last, name, end):
            return False
        place = len(first)
        for piece in self.pieces[1:-1]:
            # The first place is the best one: it leaves most for the other pieces.
            place = _find(piece, name, place, end)
            if place < 0:
                return False
            place += len(piece)
        return True


Segment = str | NamePattern | None
"""A name, a pattern of names, or any number of directories."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Segments from the root of the repository, and what they stand for: only files, only everything in directories, or both."""

    segments: tuple[Segment, ...]
    matches: Literal["files", "contents", "both"]


def parse(text: str) -> Pattern | None:
    """The meaning of a pattern; None if GitHub ignores it, or if it matches nothing."""
    if text.startswith(("!", "\\#")) or text == "/" or "***" in text or len(text) > MAX_PATTERN:
        return None
    parts = text.split("/")
    if not parts[0]:
        del parts[0]
    elif len(parts) == 1 or parts[1:] == [""]:
        parts.insert(0, "**")
    if not parts[-1]:
        parts[-1] = "**"
    segments: list[Segment] = []
    for part in parts:
        segment = _segment(part)
        if segment is not None or segments[-1:] != [None]:
            segments.append(segment)
    if parts[-1] != "*":
        return Pattern(tuple(segments[:-1]), "contents") if segments[-1] is None else Pattern(tuple(segments), "both")
    return Pattern(tuple(segments[:-2]), "contents") if segments[-2:-1] == [None] else Pattern(tuple(segments), "files")


def _segment(part: str) -> Segment:
    if part == "**":
        return None
    if not ("*" in part or "?" in part or "\\" in part):
        return part
    pieces, escaped = [""], False
    for character in part:
        if escaped or character not in "*?\\":
            pieces[-1] += character
            escaped = False
        elif character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += ANY
        else:
            escaped = True
    if len(pieces) == 1 and ANY not in pieces[0]:
        return pieces[0]
    return NamePattern(tuple(pieces), len(part) * (64 if ANY in "".join(pieces) else 1))


def _is_at(piece: str, name: str, place: int) -> bool:
    if ANY not in piece:
        return name.startswith(piece, place)
    return all(expected in {found, ANY} for expected, found in zip(piece, name[place : place + len(piece)], strict=True))


def _find(piece: str, name: str, start: int, end: int) -> int:
    if ANY not in piece:
        return name.find(piece, start, end)
    return next((place for place in range(start, end - len(piece) + 1) if _is_at(piece, name, place)), -1)
