"""Metrics, semantic models, saved queries and functions with another definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.lineage.impact.definition_changes import NodePair
from app.lineage.impact.mentions import same_but_for
from app.lineage.impact.model import Change
from app.lineage.impact.semantic_elements import ELEMENTS
from app.lineage.impact.versions import Definition
from app.lineage.impact.words import name
from app.lineage.resource_types import label

SEMANTIC: Mapping[str, tuple[str, ...]] = {
    "metric": ("type", "type_params", "filter", "time_granularity"),
    "semantic_model": ("model", "defaults", "primary_entity", "entities", "measures", "dimensions"),
    "saved_query": ("query_params", "exports"),
    "function": ("raw_code", "arguments", "returns"),
}
"""What decides the result of these, by resource type."""
WORDS_ONLY = frozenset({"description", "label", "meta", "config", "metadata", "docs", "unrendered_config"})
CODE = frozenset({"expr", "raw_code"})


def semantic_changes(pair: NodePair, words: Mapping[str, str]) -> Iterator[Change]:
    """The change, if there is one. `words`: new names of columns that it may follow, folded."""
    for key in SEMANTIC.get(pair.kind, ()):
        if not _same(_meaning(pair.old, key), _meaning(pair.new, key), words, key):
            text = f"the definition of the {label(pair.kind)} {name(pair.name)} changed"
            yield pair.change("logic", text, certain=pair.kind != "function")
            return


def _meaning(definition: Definition, key: str) -> Any:
    """A part of a definition. An element of a semantic model is the column of its own name, unless it says what else."""
    value = definition.get(key)
    if key in ELEMENTS and isinstance(value, list):
        return [{**one, "expr": one.get("expr") or one.get("name")} if isinstance(one, dict) else one for one in value]
    return value


def _same(old: Any, new: Any, words: Mapping[str, str], key: str) -> bool:
    """Without what people only read, and without empty values, which versions of dbt write or leave out."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_same(old.get(one), new.get(one), words, one) for one in (old.keys() | new.keys()) - WORDS_ONLY)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(one, other, words, key) for one, other in zip(old, new, strict=True))
    if isinstance(old, str) and isinstance(new, str) and key in CODE:
        return same_but_for(old, new, words)
    return old == new or (_is_empty(old) and _is_empty(new))


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})
