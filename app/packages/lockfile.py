"""The hash by which dbt checks that `package-lock.yml` matches `packages.yml`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def lock_hashes(rendered: Sequence[dict[str, Any]], written: Sequence[object]) -> frozenset[str]:
    """All valid values of `sha1_hash`: dbt versions hash different fields (`_create_sha1_hash` in dbt/task/deps.py).

    `rendered` are the entries with their expressions evaluated, `written` the same entries as in the file.
    """
    if len(rendered) != len(written):
        return frozenset()
    pairs = list(zip(rendered, written, strict=True))
    variants = [(name, raw) for name in (False, True) for raw in (True, False)]
    return frozenset(_hash([_contract(item, raw, with_name=name, with_raw=keep) for item, raw in pairs]) for name, keep in variants)


def _hash(entries: list[dict[str, Any]]) -> str:
    lines = sorted(json.dumps(entry, sort_keys=True, default=str) for entry in entries)
    return hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


def _contract(item: dict[str, Any], raw: object, *, with_name: bool, with_raw: bool) -> dict[str, Any]:
    """An entry as dbt serializes it: `with_name` adds a null name (dbt 1.8), `with_raw` the unevaluated entry (since dbt 1.7)."""
    defaults: dict[str, Any] = {"name": None} if with_name else {}
    if "package" in item:
        defaults["install_prerelease"] = False
    elif "git" in item or "private" in item:
        defaults |= {"revision": None, "subdirectory": None, "warn-unpinned": None}
        defaults |= {"provider": None} if "private" in item else {}
    return {**defaults, **item, **({"unrendered": raw} if with_raw else {})}
