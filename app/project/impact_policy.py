"""What a check run concludes when a change breaks something: the key `impact` of `.github/freshet.yml`."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from app.core import yaml_text

Breaks = Literal["fail", "neutral", "off"]
"""What the check run concludes when something breaks; `off`: what changes do is not shown at all."""


@dataclass(frozen=True, slots=True)
class ImpactPolicy:
    """The value of the key in one commit. Without folders and tags, a break of any node decides."""

    breaks: Breaks = "neutral"
    folders: tuple[str, ...] = ()
    """Relative to the root of the repository."""
    tags: tuple[str, ...] = ()

    @classmethod
    def read(cls, value: str | Mapping[str, Any]) -> Self:
        """From the valid JSON value of the key: a word, or an object with these fields."""
        item: Mapping[str, Any] = {"breaks": value} if isinstance(value, str) else value
        folders = (yaml_text.join("", folder) or "" for folder in item.get("folders") or ())
        return cls(item.get("breaks", "neutral"), tuple(folders), tuple(item.get("tags") or ()))

    def covers(self, path: str | None, tags: Collection[str]) -> bool:
        """Whether a break of a node decides. `path`: its file in the repository; None if it has none there."""
        if not self.folders and not self.tags:
            return True
        inside = path is not None and any(yaml_text.is_below(posixpath.normpath(path), folder) for folder in self.folders)
        return inside or not {*self.tags}.isdisjoint(tags)


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """What applies to one comparison: the stricter of both commits' policies, so that a change cannot switch off its own check."""

    own: ImpactPolicy = field(default_factory=ImpactPolicy)
    """Of the commit that is checked."""
    base: ImpactPolicy | None = None
    """Of the commit that it is compared with; None: not known."""

    @property
    def is_off(self) -> bool:
        """Whether neither wants to know what changes do."""
        return all(policy.breaks == "off" for policy in self._both())

    def decides(self, path: str | None, tags: Collection[str]) -> Breaks:
        """What a break of this node means to the stricter of both; `off`: nothing."""
        meant = {policy.breaks for policy in self._both() if policy.covers(path, tags)}
        return "fail" if "fail" in meant else "neutral" if "neutral" in meant else "off"

    def _both(self) -> tuple[ImpactPolicy, ...]:
        return (self.own,) if self.base is None else (self.own, self.base)
