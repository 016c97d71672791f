"""Where in the repository dbt stopped, read off its message."""

from __future__ import annotations

import posixpath
import re

from app.project import PROJECT_FILE, Layout

_FILE = re.compile(r"[^\s'\"`(),:;\[\]<>|]+\.(?:sql|py|ya?ml|csv|md)\b")
_LINE = re.compile(r"\bline[: ]+(\d+)", re.IGNORECASE)


def place(output: str, layout: Layout) -> tuple[str, int | None] | None:
    """Return the file of the repository, and the line, that dbt's message names first.

    dbt names files relative to the project, to a path setting, or with a package's name; those that steer it, not at all.
    """
    project_dir = layout.project_dir
    known = {*(member.path for member in layout.members), posixpath.join(project_dir, PROJECT_FILE)}
    for match in _FILE.finditer(output):
        name = posixpath.normpath(match[0])
        found = next((path for path in (posixpath.normpath(posixpath.join(project_dir, name)), name) if path in known), None)
        if found is None:
            endings = [path for path in known if path.endswith("/" + name)]
            found = endings[0] if len(endings) == 1 else None
        if found:
            line = _LINE.search(output, match.end())
            return found, int(line[1]) if line else None
    line = _LINE.search(output)
    return (layout.unreadable[0], int(line[1]) if line else None) if layout.unreadable else None
