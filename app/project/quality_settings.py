"""What counts for a project's quality: the key `quality` of `.github/freshet.yml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from app.core import yaml_text
from app.core.models.quality import USUAL, QualitySettings


@dataclass(frozen=True, slots=True)
class QualityPolicy:
    """The value of the key in one commit. It never decides about a check run, so a change may set it as it likes."""

    settings: QualitySettings = USUAL
    """Folders are relative to the root of the repository."""

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Self:
        """From the valid JSON value of the key."""
        off = frozenset(name for name, is_on in (item.get("findings") or {}).items() if not is_on)
        folders = tuple(yaml_text.join("", folder) or "" for folder in item.get("ignored_folders") or ())
        return cls(QualitySettings(item.get("weights") or {}, off, folders, item.get("check_runs", True)))

    def within(self, project_dir: str) -> QualitySettings:
        """The same with folders relative to a project's directory, those elsewhere left out."""
        return msgspec.structs.replace(self.settings, ignored_folders=tuple(_within(self.settings.ignored_folders, project_dir)))


def _within(folders: tuple[str, ...], project_dir: str) -> Iterator[str]:
    for folder in folders:
        if project_dir == folder or yaml_text.is_below(project_dir, folder):
            yield ""
        elif yaml_text.is_below(folder, project_dir):
            yield folder.removeprefix(f"{project_dir}/") if project_dir else folder
