"""What a project is to be parsed for, and how we know."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from app.texts import literal, mapping

DEFAULT_ADAPTER = "duckdb"
DEFAULT_TARGET = "dev"


@dataclass(frozen=True, slots=True)
class Warehouse:
    """What to parse for, and why we think so."""

    adapter_type: str
    target: str
    evidence: str


def infer(project_dir: str, profile: str | None, texts: Mapping[str, bytes]) -> Warehouse:
    """Read the adapter type and target from a profiles.yml of the repository (its structure only), nearest to the project first."""
    found = [path for path in texts if posixpath.basename(path) == "profiles.yml"]
    found.sort(key=lambda path: (posixpath.dirname(path) != project_dir, path.count("/"), path))
    for path in found:
        profiles = mapping(texts[path])
        chosen = profiles.get(profile) if profile in profiles else None
        if not isinstance(chosen, dict) or not isinstance(chosen.get("outputs"), dict):
            continue
        outputs = chosen["outputs"]
        target = literal(chosen.get("target"))
        if target not in outputs:
            target = DEFAULT_TARGET if DEFAULT_TARGET in outputs else next(iter(outputs), None)
        output = outputs.get(target)
        adapter = literal(output.get("type")) if isinstance(output, dict) else None
        if adapter and isinstance(target, str):
            return Warehouse(adapter, target, f"the profile `{profile}` in `{path}`")
    return Warehouse(DEFAULT_ADAPTER, DEFAULT_TARGET, f"the default: no profiles.yml of the repository has the profile `{profile}`")
