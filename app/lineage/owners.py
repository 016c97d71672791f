"""Who owns a node: its own `meta.owner`, else the owner of its group; for an exposure, before that, its own owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.lineage.manifest import Group, Resource
from app.lineage.relations import known

MAX_OWNER = 200
MAX_OWNERS = 20


class Owners:
    """The owners of a project's groups, and from them those of its nodes."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._by_group = {(group.package_name, group.name): named(known(group.owner)) for group in groups}

    def of(self, resource: Resource, meta: Mapping[str, Any]) -> str | None:
        """The owner of a resource, `meta` its own; None: nobody is named."""
        own = named(meta.get("owner")) or named(known(resource.owner))
        return own or (self._by_group.get((resource.package_name, resource.group)) if resource.group else None)


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
