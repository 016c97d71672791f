"""What the definition of a node says that is no SQL: its table, who may use it, what it promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.lineage.column_digests import Comparison
from app.lineage.impact.deltas import TypeChange
from app.lineage.impact.model import Change, ChangeClass
from app.lineage.impact.types import same_type
from app.lineage.impact.versions import Definition, NodeFacts
from app.lineage.impact.words import name, sentence

TABLES = frozenset({"model", "seed", "snapshot", "source"})
SAME_ROWS = frozenset({"table", "view", "materialized_view", "dynamic_table", "streaming_table", "ephemeral"})
"""Materialisations that have all rows of the query: which of them it is decides how old these may be."""
DEFAULTS: Mapping[str, Any] = {"on_schema_change": "ignore", "lookback": 1, "access": "protected", "hard_deletes": "ignore"}
"""What dbt takes where nothing is written: only newer versions of dbt write it into the manifest."""
PROMISES = (("access", "the access"), ("group", "the group"), ("version", "the version"), ("latest_version", "the latest version"))
CONSTRAINT = ("type", "name", "expression", "columns", "to", "to_columns")
MAX_VALUE = 60
"""Characters of a value in a sentence."""


@dataclass(frozen=True, slots=True)
class NodePair:
    """Both versions of a node, decoded."""

    unique_id: str
    name: str
    base: NodeFacts
    head: NodeFacts
    old: Definition
    new: Definition
    file: Comparison = "unknown"
    """Of a seed, how its files compare."""

    @property
    def kind(self) -> str:
        """The resource type."""
        return self.head.resource_type

    def change(self, change_class: ChangeClass, text: str, *, certain: bool) -> Change:
        """A change of the whole node."""
        return Change(unique_id=self.unique_id, change_class=change_class, certain=certain, reason=sentence(text))


def definition_changes(pair: NodePair) -> Iterator[Change]:
    """The changes that follow from the definitions alone."""
    if pair.kind not in TABLES:
        return
    yield from _table(pair)
    promises = list(_promises(pair))
    if promises:
        yield pair.change("none", "; ".join(promises), certain=True)


def contract_types(pair: NodePair) -> list[TypeChange]:
    """Columns of an enforced contract whose type in the YAML file differs."""
    if not (is_enforced(pair.old) and is_enforced(pair.new)):
        return []
    old = {column.name.casefold(): column.data_type for column in pair.base.columns}
    return [
        TypeChange(column.name, old[key], column.data_type)
        for column in pair.head.columns
        if (key := column.name.casefold()) in old and not same_type(old[key], column.data_type)
    ]


def is_enforced(definition: Definition) -> bool:
    """Whether a contract is enforced."""
    return bool(mapping(definition.get("contract")).get("enforced") or mapping(config(definition).get("contract")).get("enforced"))


def config(definition: Definition) -> Mapping[str, Any]:
    """The configuration of a node."""
    return mapping(definition.get("config"))


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, empty for anything else."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """A list, empty for anything else."""
    return value if isinstance(value, list) else []


def table_of(definition: Definition) -> tuple[str | None, ...]:
    """The database, the schema and the name of a table; None where they are not known, or there are none."""
    last = definition.get("identifier") or definition.get("alias")
    parts = definition.get("database"), definition.get("schema"), last
    return tuple(str(part) if part else None for part in parts)


def _table(pair: NodePair) -> Iterator[Change]:
    old, new = table_of(pair.old), table_of(pair.new)
    if any(None not in parts and parts[0] != parts[1] for parts in zip(old, new, strict=True)):
        where = f"{name('.'.join(filter(None, new)))} instead of {name('.'.join(filter(None, old)))}"
        if pair.kind == "source":
            yield pair.change("moved", f"{name(pair.name)} is now read from {where}", certain=True)
            yield pair.change("rows", f"{name(pair.name)} is another table now, which may have other rows", certain=False)
        else:
            yield pair.change("moved", f"{name(pair.name)} is now {where}", certain=True)
    elif (pair.base.materialized == "ephemeral") != (pair.head.materialized == "ephemeral"):
        text = "is no table any more, but part of the SQL that reads it" if pair.head.materialized == "ephemeral" else "is a table now"
        yield pair.change("moved", f"{name(pair.name)} {text}", certain=True)


def _promises(pair: NodePair) -> Iterator[str]:
    """What else counts, although the data is the same."""
    before, after = pair.base.materialized, pair.head.materialized
    if before != after and {before, after} <= SAME_ROWS and "ephemeral" not in {before, after}:
        yield f"{name(pair.name)} is built as {name(str(after))} instead of {name(str(before))}"
    for key, of in PROMISES if pair.kind == "model" else ():
        old, new = with_default(pair.old, key), with_default(pair.new, key)
        if old != new:
            yield f"{of} of {name(pair.name)} is now {shown(new)} instead of {shown(old)}"
    if is_enforced(pair.old) != is_enforced(pair.new):
        yield f"the contract of {name(pair.name)} is {'now' if is_enforced(pair.new) else 'no longer'} enforced"
    if _constraints(pair.old) != _constraints(pair.new):
        yield f"the constraints of {name(pair.name)} changed"
    old, new = pair.old.get("deprecation_date"), pair.new.get("deprecation_date")
    if old != new:
        yield f"{name(pair.name)} is deprecated from {shown(new)}" if new else f"{name(pair.name)} is no longer deprecated"


def _constraints(definition: Definition) -> str:
    columns = mapping(definition.get("columns"))
    of_columns = {key.casefold(): _written(mapping(column).get("constraints")) for key, column in columns.items()}
    return text_of([_written(definition.get("constraints")), {key: value for key, value in of_columns.items() if value}])


def _written(constraints: Any) -> list[Any]:
    """Constraints without what newer versions of dbt add to them."""
    return [{key: value for key in CONSTRAINT if (value := mapping(one).get(key))} for one in listed(constraints)]


def with_default(values: Mapping[str, Any], key: str) -> Any:
    """A value, or what dbt takes instead of it."""
    value = values.get(key)
    return DEFAULTS.get(key) if value is None else value


def text_of(value: Any) -> str:
    """A value as JSON, independent of the order of keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return repr(value)


def shown(value: Any) -> str:
    """A value in a sentence."""
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else text_of(value)
    return name(text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…")
