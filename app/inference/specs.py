"""The packages that a project asks for, as it stands in its files, and where they go."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.texts import UNREADABLE, is_below, join, listed, literal, load, mapping

PROJECT_FILE = "dbt_project.yml"
PACKAGE_FILES = ("packages.yml", "dependencies.yml")
LOCK_FILE = "package-lock.yml"
PACKAGE_TEXTS = (PROJECT_FILE, *PACKAGE_FILES, LOCK_FILE)

Texts = Mapping[str, bytes]


def package_specs(directory: str, texts: Texts) -> list[dict[str, Any]]:
    """Return what `packages.yml` and `dependencies.yml` of a project or package ask for; `{}` for what is no mapping."""
    return _specs(directory, texts, PACKAGE_FILES)


def _specs(directory: str, texts: Texts, names: Iterable[str]) -> list[dict[str, Any]]:
    specs = [spec for name in names for spec in listed(mapping(texts.get(posixpath.join(directory, name))).get("packages"))]
    return [spec if isinstance(spec, dict) else {} for spec in specs]


def local_packages(directory: str, texts: Texts) -> Iterator[str]:
    """Yield `local:` of the packages of a project, as it stands there. A lock may name some that only packages of others ask for."""
    for spec in _specs(directory, texts, (*PACKAGE_FILES, LOCK_FILE)):
        if local := literal(spec.get("local")):
            yield local


def package_roots(project_dir: str, texts: Texts) -> Iterator[str]:
    """Yield the project's directory and those of its local packages, theirs included.

    dbt resolves a nested `local:` against the root project; people also write it relative to the package, so both are looked at.
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
    """Return where dbt puts the packages of a project, `path` being its `packages-install-path`, as a directory of the repository."""
    place = join(project_dir, path) if path else None
    return posixpath.join(project_dir, "dbt_packages") if place is None or is_below(project_dir + "/", place) else place


def are_missing(roots: Sequence[str], texts: Texts, committed: int) -> bool:
    """Tell whether packages are to be installed: dbt refuses to run with fewer than the project asks for, and counts just so."""
    asked = any(package_specs(root, texts) or unreadable(root, texts, PACKAGE_FILES) for root in roots)
    return asked and committed < max(1, len(package_specs(roots[0], texts)))


def unreadable(root: str, texts: Texts, names: Iterable[str]) -> list[str]:
    """Return those of the files of a project that are no YAML."""
    return [path for path in (posixpath.join(root, name) for name in names) if load(texts.get(path)) is UNREADABLE]
