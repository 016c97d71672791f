"""What has to be equal between a result with a state and one without, and how a difference is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from app.lineage.manifest import decode
from app.lineage.nodes import build
from tests.series.containers import Answer

OF_A_RUN = ("generated_at", "invocation_id", "invocation_started_at", "run_started_at")
"""Metadata that dbt makes anew in each run. The other is `created_at` of whatever is in a section."""
SECTIONS = (
    *("nodes", "sources", "macros", "docs", "exposures", "metrics", "groups", "selectors", "disabled", "saved_queries", "semantic_models"),
    *("unit_tests", "functions"),
)
MAX_SHOWN = 12
MAX_VALUE = 160


def differences(full: Answer, incremental: Answer) -> list[str]:
    """Each a line: where, what a full parse says, what the incremental one says."""
    if full.result is None or incremental.result is None:
        broken = [name for name, answer in (("full", full), ("incremental", incremental)) if answer.result is None]
        return [f"no result of the {' and the '.join(broken)} parse: {(incremental if full.result else full).log[-2000:]}"]
    theirs, ours = facts(full.result), facts(incremental.result)
    found = list(_different("", theirs, ours))
    if full.ok and incremental.ok and not found:
        before, after = manifest(full.manifest), manifest(incremental.manifest)
        found = list(_different("manifest", before, after))
        if not found and build(decode(full.manifest)) != build(decode(incremental.manifest)):
            found = ["the lineage differs, in its order alone"]
    return found


def in_another_order(full: Answer, incremental: Answer) -> list[str]:
    """The sections of the manifest with the same entries in another order."""
    before, after = json.loads(full.manifest), json.loads(incremental.manifest)
    return [name for name in SECTIONS if list(before.get(name) or {}) != list(after.get(name) or {})]


def facts(result: Any) -> dict[str, Any]:
    """What the service uses of a result's header."""
    found: dict[str, Any] = msgspec.to_builtins(result)
    return {name: found[name] for name in ("ok", "kind", "error", "dbt_version", "placeholders", "ignored")}


def differing_manifests(full: bytes, other: bytes) -> list[str]:
    """Each a line, as `differences`."""
    return [*_different("manifest", manifest(full), manifest(other))]


def manifest(content: bytes) -> dict[str, Any]:
    """A manifest without what differs from run to run."""
    found: dict[str, Any] = json.loads(content)
    for name in OF_A_RUN:
        found["metadata"].pop(name, None)
    # In the order of the nodes, which is compared apart.
    found["group_map"] = {name: sorted(members) for name, members in (found.get("group_map") or {}).items()}
    for name in SECTIONS:
        for entry in (found.get(name) or {}).values():
            for one in entry if isinstance(entry, list) else [entry]:
                if isinstance(one, dict):
                    one.pop("created_at", None)
    return found


def _different(place: str, before: Any, after: Any) -> Iterator[str]:
    if before == after and type(before) is type(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _different(f"{place}/{key}", before.get(key, "(nothing)"), after.get(key, "(nothing)"))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _different(f"{place}[{number}]", one, other)
    else:
        yield f"{place}: {_short(before)} in full, {_short(after)} incrementally"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def shown(found: list[str]) -> str:
    """The first differences, as text."""
    more = [] if len(found) <= MAX_SHOWN else [f"and {len(found) - MAX_SHOWN} more"]
    return "\n".join(f"  {line}" for line in [*found[:MAX_SHOWN], *more])
