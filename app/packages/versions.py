"""Versions and ranges of packages, compared exactly as dbt does, quirks included: this decides what `dbt deps` installs.

After https://github.com/dbt-labs/dbt-common/blob/main/dbt_common/semver.py, which differs from https://semver.org.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

_NUMBER = r"(0|[1-9]\d*+)"
_PART = r"(?:(?:0|[1-9]\d*+)(?![0-9a-zA-Z-])|\d*+[a-zA-Z-][0-9a-zA-Z-]*+)"
_VERSION = re.compile(
    rf"(?P<matcher>>=|>|<=|<|=)?{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-?(?P<prerelease>{_PART}(?:\.{_PART})*))?(?:\+(?P<build>[0-9A-Za-z-]*+(?:\.[0-9A-Za-z-]*+)*+))?",
    re.ASCII,
)
MAX_LENGTH = 100
Admits = Callable[["Version", "Version"], bool]
_LOWER, _UPPER = frozenset({">", ">="}), frozenset({"<", "<="})
_TIES = {(">=", "<="): 0, ("<=", ">="): 0, ("<", "<="): -1, ("<=", "<"): 1, (">=", ">"): -1, (">", ">="): 1}


class NoCommonVersionError(ValueError):
    """No version meets all requirements."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version, or one bound of a range: `>=1.2.0`."""

    text: str
    """As it was written, without the comparison sign."""
    release: tuple[int, int, int]
    prerelease: str | None = None
    matcher: str = "="

    def __str__(self) -> str:
        """With the comparison sign, except `=`."""
        return self.text if self.matcher == "=" else self.matcher + self.text


@dataclass(frozen=True, slots=True)
class Range:
    """From `start` to `end`, None where unbounded. An exact version is both."""

    start: Version | None = None
    end: Version | None = None

    @property
    def exact(self) -> bool:
        """True when exactly one version satisfies it."""
        return self.start is not None and self.start.matcher == "="


def parse_version(text: str) -> Version:
    """Parse `1.2.3`, `>=1.2.3-rc.1` and so on: always three numbers. Raises ValueError.

    >>> parse(">=1.2.0-b1").release, parse("1.2.0-b1").prerelease
    ((1, 2, 0), 'b1')
    """
    match = _VERSION.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        message = f"{text[:MAX_LENGTH]!r} is not a version with three numbers, like 1.2.3 or >=1.2.3"
        raise ValueError(message)
    matcher = match["matcher"] or ""
    major, minor, patch = match.group(2, 3, 4)
    return Version(text[len(matcher) :], (int(major), int(minor), int(patch)), match["prerelease"], matcher or "=")


def compare(a: Version, b: Version) -> int:
    """Below, at or above 0. Bounds with the same version are ordered by their signs."""
    if a.release != b.release:
        return 1 if a.release > b.release else -1
    if a.prerelease is None and b.prerelease is not None:
        # `<2.0.0` leaves out 2.0.0-rc1, though that is before 2.0.0.
        return -1 if a.matcher == "<" else 1
    if a.prerelease is not None and b.prerelease is None:
        return -1
    order = _compare_prereleases(a.prerelease or "", b.prerelease or "")
    if order:
        return order
    return _TIES.get((a.matcher, b.matcher), _side(a) if _side(a) == -_side(b) else 0)


def intersection(bounds: Sequence[Version]) -> Range:
    """The range within all bounds. Raises NoCommonVersionError."""
    if not bounds:
        return Range()
    *first, last = bounds
    common = _range(last)
    for version in first:
        common = _intersect(common, _range(version))
    return common


def satisfies(version: Version, bounds: Iterable[Version | None]) -> bool:
    """True when a version is within all bounds; None is no bound."""
    try:
        intersection([version, *(bound for bound in bounds if bound is not None)])
    except NoCommonVersionError:
        return False
    return True


def newest(available: Iterable[Version], allowed: Range) -> Version | None:
    """The highest version within a range."""
    matching = [version for version in available if satisfies(version, (allowed.start, allowed.end))]
    return max(matching, key=cmp_to_key(compare), default=None)


def oldest_first(versions: Iterable[Version]) -> list[Version]:
    """Sort versions as dbt compares them."""
    return sorted(versions, key=cmp_to_key(compare))


def _side(version: Version) -> int:
    """-1 for an upper bound, 1 for a lower one, 0 for an exact version: `<1.0.0` is before `>1.0.0`."""
    return (version.matcher in _LOWER) - (version.matcher in _UPPER)


def _range(version: Version) -> Range:
    return Range(None if version.matcher in _UPPER else version, None if version.matcher in _LOWER else version)


def _intersect(a: Range, b: Range) -> Range:
    if a.exact and b.exact:
        if _compare_ends(a.start, b.start) != 0:
            raise NoCommonVersionError
        return Range(a.start, a.start)
    common = Range(_stricter(a.start, b.start, _is_above), _stricter(a.end, b.end, _is_below))
    if _compare_ends(common.start, common.end) > 0:
        raise NoCommonVersionError
    return common


def _stricter(a: Version | None, b: Version | None, admits: Admits) -> Version | None:
    if a is None or b is None:
        return a or b
    if a.matcher != "=" and b.matcher != "=":
        return b if admits(a, b) else a
    bound, exact = (b, a) if a.matcher == "=" else (a, b)
    if not (admits(bound, exact) or (compare(bound, exact) == 0 and bound.matcher.endswith("="))):
        raise NoCommonVersionError
    return exact


def _is_above(lower: Version, version: Version) -> bool:
    return compare(lower, version) < 0


def _is_below(upper: Version, version: Version) -> bool:
    return compare(upper, version) > 0


def _compare_ends(a: Version | None, b: Version | None) -> int:
    return 0 if a is None or b is None else compare(a, b)


def _compare_prereleases(a: str, b: str) -> int:
    for one, other in zip(a.split("."), b.split("."), strict=False):
        order = _compare_parts(one, other)
        if order:
            return order
    # By text length, not by the number of parts: as dbt does.
    return (len(a) > len(b)) - (len(a) < len(b))


def _compare_parts(a: str, b: str) -> int:
    if a.isdecimal() and b.isdecimal():
        return (int(a) > int(b)) - (int(a) < int(b))
    if a.isdecimal() != b.isdecimal():
        return -1 if a.isdecimal() else 1
    return (a > b) - (a < b)
