"""What the definition of a node says that is no SQL: its table, how it is built, who may use it, what it promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.lineage.impact.deltas import TypeChange
from app.lineage.impact.model import Change, ChangeClass
from app.lineage.impact.types import same_type
from app.lineage.impact.versions import Definition, NodeFacts
from app.lineage.impact.words import name, sentence
from app.lineage.resource_types import label

SAME_ROWS = frozenset({"table", "view", "materialized_view", "dynamic_table", "streaming_table", "ephemeral"})
"""Materialisations that have all rows of the query: which of them it is decides how old these may be."""
ROWS_OF = {
    "incremental": ("incremental_strategy", "unique_key", "on_schema_change", "event_time", "batch_size", "lookback", "begin"),
    "snapshot": ("unique_key", "strategy", "check_cols", "updated_at", "invalidate_hard_deletes", "hard_deletes"),
}
"""Configurations that decide about rows, by materialisation."""
SEMANTIC: Mapping[str, tuple[str, ...]] = {
    "metric": ("type", "type_params", "filter", "time_granularity"),
    "semantic_model": ("model", "defaults", "primary_entity", "entities", "measures", "dimensions"),
    "saved_query": ("query_params", "exports"),
    "function": ("raw_code", "arguments", "returns"),
}
"""What decides the result of these, by resource type."""
DEFAULTS: Mapping[str, Any] = {"on_schema_change": "ignore", "lookback": 1, "access": "protected", "hard_deletes": "ignore"}
"""What dbt takes where nothing is written: only newer versions of dbt write it into the manifest."""
PROMISES = (("access", "the access"), ("group", "the group"), ("version", "the version"), ("latest_version", "the latest version"))
CONSTRAINT = ("type", "name", "expression", "columns", "to", "to_columns")
WORDS_ONLY = frozenset({"description", "label", "meta", "config", "metadata", "docs", "unrendered_config"})
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

    @property
    def kind(self) -> str:
        """The resource type."""
        return self.head.resource_type

    def change(self, change_class: ChangeClass, text: str, *, certain: bool) -> Change:
        """A change of the whole node."""
        return Change(unique_id=self.unique_id, change_class=change_class, certain=certain, reason=sentence(text))


def definition_changes(pair: NodePair) -> Iterator[Change]:
    """The changes that follow from the definitions alone."""
    if pair.kind in SEMANTIC:
        yield from _semantic(pair)
        return
    yield from _table(pair)
    yield from _rows(pair)
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


def table_of(definition: Definition) -> tuple[str, ...] | None:
    """The database, schema and name of a table, as far as all of them are known."""
    last = definition.get("identifier") or definition.get("alias")
    parts = definition.get("database"), definition.get("schema"), last
    return tuple(map(str, filter(None, parts))) if parts[1] and last else None


def _table(pair: NodePair) -> Iterator[Change]:
    old, new = table_of(pair.old), table_of(pair.new)
    if old and new and len(old) == len(new) and old != new:
        where = f"{name('.'.join(new))} instead of {name('.'.join(old))}"
        if pair.kind == "source":
            yield pair.change("moved", f"{name(pair.name)} is now read from {where}", certain=True)
            yield pair.change("rows", f"{name(pair.name)} is another table now, which may have other rows", certain=False)
        else:
            yield pair.change("moved", f"{name(pair.name)} is now {where}", certain=True)
    elif (pair.base.materialized == "ephemeral") != (pair.head.materialized == "ephemeral"):
        text = "is no table any more, but part of the SQL that reads it" if pair.head.materialized == "ephemeral" else "is a table now"
        yield pair.change("moved", f"{name(pair.name)} {text}", certain=True)


def _rows(pair: NodePair) -> Iterator[Change]:
    if pair.kind == "seed":
        yield from _seed(pair)
        return
    before, after = pair.base.materialized, pair.head.materialized
    if before != after and not {before, after} <= SAME_ROWS:
        text = f"{name(pair.name)} is built as {name(str(after))} instead of {name(str(before))}, so it may have other rows"
        yield pair.change("rows", text, certain=False)
    elif before == after and before in ROWS_OF:
        old, new = config(pair.old), config(pair.new)
        for key in ROWS_OF[before]:
            was, now = _with_default(old, key), _with_default(new, key)
            if was != now:
                text = f"{name(key)} of {name(pair.name)} is now {_value(now)} instead of {_value(was)}"
                yield pair.change("rows", f"{text}, which decides which rows it gets", certain=False)


def _seed(pair: NodePair) -> Iterator[Change]:
    old, new = (mapping(one.get("checksum")).get("checksum") for one in (pair.old, pair.new))
    if old and new and old != new:
        yield pair.change("rows", f"the file of {name(pair.name)} has other content", certain=True)


def _promises(pair: NodePair) -> Iterator[str]:
    """What else counts, although the data is the same."""
    before, after = pair.base.materialized, pair.head.materialized
    if before != after and {before, after} <= SAME_ROWS and "ephemeral" not in {before, after}:
        yield f"{name(pair.name)} is built as {name(str(after))} instead of {name(str(before))}"
    for key, of in PROMISES if pair.kind == "model" else ():
        old, new = _with_default(pair.old, key), _with_default(pair.new, key)
        if old != new:
            yield f"{of} of {name(pair.name)} is now {_value(new)} instead of {_value(old)}"
    if is_enforced(pair.old) != is_enforced(pair.new):
        yield f"the contract of {name(pair.name)} is {'now' if is_enforced(pair.new) else 'no longer'} enforced"
    if _constraints(pair.old) != _constraints(pair.new):
        yield f"the constraints of {name(pair.name)} changed"
    old, new = pair.old.get("deprecation_date"), pair.new.get("deprecation_date")
    if old != new:
        yield f"{name(pair.name)} is deprecated from {_value(new)}" if new else f"{name(pair.name)} is no longer deprecated"


def _constraints(definition: Definition) -> str:
    columns = mapping(definition.get("columns"))
    of_columns = {key.casefold(): _written(mapping(column).get("constraints")) for key, column in columns.items()}
    return _text([_written(definition.get("constraints")), {key: value for key, value in of_columns.items() if value}])


def _written(constraints: Any) -> list[Any]:
    """Constraints without what newer versions of dbt add to them."""
    found = constraints if isinstance(constraints, list) else []
    return [{key: value for key in CONSTRAINT if (value := mapping(one).get(key))} for one in found]


def _with_default(values: Mapping[str, Any], key: str) -> Any:
    value = values.get(key)
    return DEFAULTS.get(key) if value is None else value


def _semantic(pair: NodePair) -> Iterator[Change]:
    old, new = ([_meaning(one.get(key)) for key in SEMANTIC[pair.kind]] for one in (pair.old, pair.new))
    if _text(old) != _text(new):
        yield pair.change("logic", f"the definition of the {label(pair.kind)} {name(pair.name)} changed", certain=pair.kind != "function")


def _meaning(value: Any) -> Any:
    """Without what people only read, and without empty values, which versions of dbt write or leave out."""
    if isinstance(value, dict):
        return {
            key: _meaning(one) for key, one in value.items() if key not in WORDS_ONLY and one not in (None, "", [], {}) and one is not False
        }
    return [_meaning(one) for one in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return repr(value)


def _value(value: Any) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else _text(value)
    return name(text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…")
