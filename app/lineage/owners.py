"""Who owns a node: its own `meta.owner`, else the owner of its group (for an exposure, before that, its own owner), else CODEOWNERS."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from app.lineage.code_owners.rules import owners_of
from app.lineage.manifest import Manifest, Resource
from app.lineage.relations import known

MAX_OWNER = 200
MAX_OWNERS = 20


class CodeOwners(msgspec.Struct, frozen=True):
    """A commit's CODEOWNERS, and the directory of the dbt project, whose manifest has paths relative to it."""

    text: bytes
    project_dir: str


class Owners:
    """The owners of a project's groups and files, and from them those of its nodes."""

    def __init__(self, manifest: Manifest, code_owners: CodeOwners | None = None) -> None:
        self._by_group = {(group.package_name, group.name): named(known(group.owner)) for group in manifest.groups.values()}
        self._project = manifest.metadata.project_name
        own = (one.original_file_path for one in manifest.resources.values() if one.package_name == self._project)
        self._by_file = _by_file(code_owners, own) if code_owners is not None and self._project is not None else {}

    def of(self, resource: Resource, meta: Mapping[str, Any]) -> str | None:
        """The owner of a resource, `meta` its own; None: nobody is named."""
        own = named(meta.get("owner")) or named(known(resource.owner))
        return own or self._of_group(resource) or self._of_file(resource)

    def _of_group(self, resource: Resource) -> str | None:
        return self._by_group.get((resource.package_name, resource.group)) if resource.group else None

    def _of_file(self, resource: Resource) -> str | None:
        # The paths of packages are relative to the package.
        return self._by_file.get(resource.original_file_path) if resource.package_name == self._project else None


def _by_file(code_owners: CodeOwners, files: Iterable[str]) -> dict[str, str]:
    """The owners of files by their paths in the manifest, which can lead out of the project's directory: `../shared/models/a.sql`."""
    paths = {file: posixpath.normpath(posixpath.join(code_owners.project_dir, file)) for file in files if file}
    owners = owners_of(code_owners.text, paths.values())
    return {file: owners[path] for file, path in paths.items() if path in owners}


def named(owner: Any) -> str | None:
    """An owner as a text: dbt takes a name, an email address or both in a mapping, and people write texts and lists too.

    >>> named("Data"), named({"name": "Data", "email": "data@example.com"}), named(["Ann", {"email": "bo@example.com"}]), named({"id": 1})
    ('Data', 'Data', 'Ann, bo@example.com', None)
    """
    if isinstance(owner, list):
        return ", ".join(filter(None, map(named, owner[:MAX_OWNERS])))[:MAX_OWNER] or None
    if isinstance(owner, dict):
        return next(filter(None, (named(owner.get(key)) for key in ("name", "email"))), None)
    return owner.strip()[:MAX_OWNER] or None if isinstance(owner, str) else None
