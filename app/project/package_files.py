"""The packages that a project's files ask for, and where they are installed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.core.yaml_text import UNREADABLE, is_below, join, listed, literal, load, mapping

PROJECT_FILE = "dbt_project.yml"
DEPENDENCIES_FILE = "dependencies.yml"
PACKAGE_FILES = ("packages.yml", DEPENDENCIES_FILE)
LOCK_FILE = "package-lock.yml"
LOOM_FILE = "dbt_loom.config.yml"
"""Of the plugin dbt-loom: where it finds the manifests of other projects."""
PACKAGE_TEXTS = (PROJECT_FILE, *PACKAGE_FILES, LOCK_FILE, LOOM_FILE)

Texts = Mapping[str, bytes]


def package_specs(directory: str, texts: Texts) -> list[dict[str, Any]]:
    """Return the items of `packages.yml` and `dependencies.yml`; `{}` for an item that is not a mapping."""
    return _specs(directory, texts, PACKAGE_FILES)


def _specs(directory: str, texts: Texts, names: Iterable[str]) -> list[dict[str, Any]]:
    specs = [spec for name in names for spec in listed(mapping(texts.get(posixpath.join(directory, name))).get("packages"))]
    return [spec if isinstance(spec, dict) else {} for spec in specs]


def local_packages(directory: str, texts: Texts) -> Iterator[str]:
    """Yield the `local:` paths of a project's packages as written. The lock file adds those that its packages ask for."""
    for spec in _specs(directory, texts, (*PACKAGE_FILES, LOCK_FILE)):
        if local := literal(spec.get("local")):
            yield local


def local_directories(roots: Iterable[str], project_dir: str, texts: Texts) -> Iterator[str]:
    """Yield where the local packages of a project and of its local packages may be, whether there is anything or not."""
    for root in roots:
        for local in local_packages(root, texts):
            yield from (path for base in (project_dir, root) if (path := join(base, local)) is not None)


def package_roots(project_dir: str, texts: Texts) -> Iterator[str]:
    """Yield the project's directory and those of its local packages, recursively.

    dbt resolves a nested `local:` against the root project, but people also write it relative to the package, so both are tried.
    """
    pending, seen = [project_dir], {project_dir}
    while pending:
        root = pending.pop()
        yield root
        for local in local_packages(root, texts):
            for base in (project_dir, root):
                path = join(base, local)
                if path is not None and path not in seen and posixpath.join(path, PROJECT_FILE) in texts:
                    seen.add(path)
                    pending.append(path)


def install_dir(project_dir: str, path: str | None) -> str:
    """Return where dbt installs packages, relative to the repository; `path` is the project's `packages-install-path`."""
    place = join(project_dir, path) if path else None
    return posixpath.join(project_dir, "dbt_packages") if place is None or is_below(project_dir + "/", place) else place


def invalid_yaml(root: str, texts: Texts, names: Iterable[str]) -> list[str]:
    """Return the paths of those files of a project that are not valid YAML."""
    return [path for path in (posixpath.join(root, name) for name in names) if load(texts.get(path)) is UNREADABLE]
