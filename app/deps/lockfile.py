"""The hash by which dbt tells whether `package-lock.yml` was made from what `packages.yml` says now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def lock_hashes(rendered: Sequence[dict[str, Any]], written: Sequence[object]) -> frozenset[str]:
    """Return what `sha1_hash` may be: versions of dbt differ in what they take into it (`_create_sha1_hash` of dbt/task/deps.py).

    `rendered` are the entries with their expressions evaluated, `written` the same as they stand in the file.
    """
    if len(rendered) != len(written):
        return frozenset()
    pairs = list(zip(rendered, written, strict=True))
    variants = [(named, kept) for named in (False, True) for kept in (True, False)]
    return frozenset(_hash([_contract(item, raw, named=named, kept=kept) for item, raw in pairs]) for named, kept in variants)


def _hash(entries: list[dict[str, Any]]) -> str:
    lines = sorted(json.dumps(entry, sort_keys=True, default=str) for entry in entries)
    return hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


def _contract(item: dict[str, Any], raw: object, *, named: bool, kept: bool) -> dict[str, Any]:
    """Return an entry as dbt writes it out: `named` with a name that is null (dbt 1.8), `kept` with what was written (since 1.7)."""
    defaults: dict[str, Any] = {"name": None} if named else {}
    if "package" in item:
        defaults["install_prerelease"] = False
    elif "git" in item or "private" in item:
        defaults |= {"revision": None, "subdirectory": None, "warn-unpinned": None}
        defaults |= {"provider": None} if "private" in item else {}
    return {**defaults, **item, **({"unrendered": raw} if kept else {})}
