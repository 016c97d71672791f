"""Which other dbt projects a project names, to refer to their models: `projects:` of `dependencies.yml`, and the manifests of dbt-loom.

https://docs.getdbt.com/docs/mesh/govern/project-dependencies, https://nicholasyager.github.io/dbt-loom/.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from app.core.yaml_text import listed, mapping
from app.project.package_files import DEPENDENCIES_FILE, LOOM_FILE

MAX_PROJECTS = 100
_NAME = re.compile(r"\w{1,200}", re.ASCII)
"""dbt's names of projects."""


def named_projects(directory: str, texts: Mapping[str, bytes]) -> tuple[str, ...]:
    """The names of other projects, each once, in the order of the files; at most `MAX_PROJECTS`.

    >>> named_projects("", {"dependencies.yml": b"projects: [{name: platform}]"})
    ('platform',)
    """
    names = [
        name for file, key in ((DEPENDENCIES_FILE, "projects"), (LOOM_FILE, "manifests")) for name in _names(directory, texts, file, key)
    ]
    return tuple(dict.fromkeys(names))[:MAX_PROJECTS]


def _names(directory: str, texts: Mapping[str, bytes], file: str, key: str) -> Iterable[str]:
    for item in listed(mapping(texts.get(posixpath.join(directory, file))).get(key))[:MAX_PROJECTS]:
        name = item.get("name") if isinstance(item, dict) else item
        if isinstance(name, str) and _NAME.fullmatch(name):
            yield name
