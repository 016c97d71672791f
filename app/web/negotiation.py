"""Which media type a caller takes: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_RANGE = re.compile(r"\s*([\w!#$&^.+*-]+)/([\w!#$&^.+*-]+)\s*(;.*)?", re.ASCII | re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_WEIGHT = re.compile(r";\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", re.ASCII | re.IGNORECASE)
_WEIGHED = re.compile(r";\s*q\s*=", re.IGNORECASE)


class _Range(NamedTuple):
    kind: str
    subtype: str
    weight: float

    def fits(self, media_type: str) -> int:
        """Return how exactly a media type is meant: 0 for not at all."""
        kind, _, subtype = media_type.partition("/")
        if (self.kind, self.subtype) == (kind, subtype):
            return 3
        if (self.kind, self.subtype) == (kind, "*"):
            return 2
        return int((self.kind, self.subtype) == ("*", "*"))


def accepted(accept: str, offered: Sequence[str]) -> str | None:
    """Return the media type that an `Accept` header prefers; of what is as welcome, the one that is offered first.

    The most exact range decides about a type. Parameters other than the weight are passed over, and so is what is no media range. None:
    nothing that is offered is acceptable. Without a header, everything is.
    """
    if not accept.strip():
        return offered[0]
    ranges = [found for element in _ELEMENT.findall(accept) if (found := _range(element))]
    weights = {media_type: _weight(media_type, ranges) for media_type in offered}
    best = max(offered, key=weights.__getitem__)
    return best if weights[best] else None


def _weight(media_type: str, ranges: Sequence[_Range]) -> float:
    exact = max((one.fits(media_type) for one in ranges), default=0)
    return max((one.weight for one in ranges if exact and one.fits(media_type) == exact), default=0.0)


def _range(element: str) -> _Range | None:
    match = _RANGE.fullmatch(element)
    if match is None:
        return None
    parameters = _QUOTED.sub("", match[3] or "")
    weight = _WEIGHT.search(parameters)
    if weight is None and _WEIGHED.search(parameters):
        return None
    return _Range(match[1].lower(), match[2].lower(), float(weight[1]) if weight else 1.0)
