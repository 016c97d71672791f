"""Edits all over a project: as many as its files have room for, each noted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tests.accuracy.impact import sql_edits, yaml_edits
from tests.accuracy.impact.dbt_text import UnreadableError

FOLDERS = ("models", "snapshots", "tests", "analyses", "macros", "seeds", "data")
LEFT_ALONE = frozenset({"dbt_packages", "dbt_modules", "target", ".github", "venv"})
PER_FILE = 3
"""Edits of one file."""


class Edited(NamedTuple):
    """One edit of one file."""

    name: str
    path: str


@dataclass
class EditedProject:
    """The edits that were made, and the files with their new text by path."""

    edits: list[Edited] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """Edits by name."""
        return Counter(edit.name for edit in self.edits)


def edit(files: Iterable[tuple[str, str]], dialect: str, seed: int = 1, per_file: int = PER_FILE) -> EditedProject:
    """Edit the files of a project (path and text); each kind of edit comes as often as the others, where there is room for it."""
    found, r = EditedProject(), random.Random(seed)
    for path, text in sorted(files):
        names = [*(yaml_edits.EDITS if path.endswith((".yml", ".yaml")) else sql_edits.EDITS)]
        r.shuffle(names)
        names.sort(key=lambda name: found.counts[name])
        new = text
        for name in names:
            after = _edited(path, new, dialect, name, r)
            if after is not None:
                new = after
                found.edits.append(Edited(name, path))
            if found.edits[-per_file:] and sum(edit.path == path for edit in found.edits[-per_file:]) == per_file:
                break
        if new != text:
            found.files[path] = new
    return found


def _edited(path: str, text: str, dialect: str, name: str, r: random.Random) -> str | None:
    if path.endswith((".yml", ".yaml")):
        return yaml_edits.edited(text, name, r)
    try:
        return sql_edits.edited(text, dialect, name, r)
    except UnreadableError:
        return None


def editable(project: Path) -> Iterator[tuple[str, str]]:
    """The files of a project's directory that edits are made to: SQL of its own folders, and YAML beside it."""
    for path in sorted(project.rglob("*")):
        inside = PurePosixPath(path.relative_to(project))
        if LEFT_ALONE & {*inside.parts} or not path.is_file() or path.is_symlink():
            continue
        if path.suffix in (".sql", ".yml", ".yaml") and inside.parts[0] in FOLDERS:
            yield str(inside), path.read_text(errors="surrogateescape")
