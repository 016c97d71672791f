"""Content negotiation by `Accept` and `Accept-Encoding`: https://www.rfc-editor.org/rfc/rfc9110#section-12.5."""

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

    def specificity(self, media_type: str) -> int:
        """3 for the exact type, 2 for `type/*`, 1 for `*/*`, 0 for no match."""
        kind, _, subtype = media_type.partition("/")
        if (self.kind, self.subtype) == (kind, subtype):
            return 3
        if (self.kind, self.subtype) == (kind, "*"):
            return 2
        return int((self.kind, self.subtype) == ("*", "*"))


def preferred(accept: str, offered: Sequence[str]) -> str | None:
    """Return the offered media type that an `Accept` header prefers, the first of equal ones; None if none is acceptable.

    The most specific matching range sets the weight of a type. Parameters other than `q` and malformed ranges are ignored. With an empty
    header everything is acceptable.
    """
    if not accept.strip():
        return offered[0]
    ranges = [found for element in _ELEMENT.findall(accept) if (found := _range(element))]
    weights = {media_type: _weight(media_type, ranges) for media_type in offered}
    best = max(offered, key=weights.__getitem__)
    return best if weights[best] else None


def accepts_encoding(accept_encoding: str, coding: str) -> bool:
    """Whether an `Accept-Encoding` header names a coding, or any, without refusing it (`;q=0`)."""
    weights = {}
    for element in accept_encoding.lower().split(","):
        name, _, parameters = element.partition(";")
        weight = _WEIGHT.search(f";{parameters}")
        weights[name.strip()] = float(weight[1]) if weight else 1.0
    return weights.get(coding, weights.get("*", 0.0)) > 0


def _weight(media_type: str, ranges: Sequence[_Range]) -> float:
    best = max((one.specificity(media_type) for one in ranges), default=0)
    return max((one.weight for one in ranges if best and one.specificity(media_type) == best), default=0.0)


def _range(element: str) -> _Range | None:
    match = _RANGE.fullmatch(element)
    if match is None:
        return None
    parameters = _QUOTED.sub("", match[3] or "")
    weight = _WEIGHT.search(parameters)
    if weight is None and _WEIGHED.search(parameters):
        return None
    return _Range(match[1].lower(), match[2].lower(), float(weight[1]) if weight else 1.0)
