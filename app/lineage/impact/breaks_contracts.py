"""What breaks because of contracts: a model that does not keep its own any more, and readers that it was a promise to.

dbt's own rules: https://docs.getdbt.com/reference/resource-configs/contract#breaking-changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.lineage.impact.definition_changes import NodePair, contract_types, is_enforced, listed, mapping
from app.lineage.impact.model import Break
from app.lineage.impact.types import same_kind
from app.lineage.impact.versions import Traced, YamlColumn, folded
from app.lineage.impact.words import name, names, sentence


def contract_breaks(pair: NodePair, before: Traced | None, after: Traced | None, *, exact: bool) -> Iterator[Break]:
    """The breaks of one model. `before`, `after`: what its SQL makes, None if not known; `exact`: at the head, all of it is known."""
    if after is not None and not after.open and is_enforced(pair.new):
        yield from _own(pair, before, after, exact=exact)
    if is_enforced(pair.old):
        yield from _readers(pair)


def access_breaks(pair: NodePair) -> Iterator[Break]:
    """A model to which other projects may refer, and no longer can."""
    if pair.base.access == "public" and pair.head.access not in {"public", None}:
        text = f"{name(pair.name)} is no longer public: other projects may refer to it"
        yield Break(unique_id=pair.unique_id, kind="access", certain=False, reason=sentence(text), cause=pair.unique_id)


def _own(pair: NodePair, before: Traced | None, after: Traced, *, exact: bool) -> Iterator[Break]:
    """Dbt refuses to build a model whose SQL does not make exactly the columns of its contract."""
    known = before is not None and not before.open and is_enforced(pair.old)
    was = _mismatch(pair.base.columns, before) if known and before is not None else (set(), set())
    lacking, extra = _mismatch(pair.head.columns, after)
    spelled = {folded(one): one for one in (*(made.name for made in after.columns), *(promised.name for promised in pair.head.columns))}
    for columns, text in (
        (lacking - was[0], "the contract of {node} has {columns}, which its SQL does not make"),
        (extra - was[1], "the SQL of {node} makes {columns}, which its contract does not have"),
    ):
        if columns:
            listed = sorted(spelled[key] for key in columns)
            reason = text.format(node=name(pair.name), columns=names(listed, "column"))
            yield _break(pair, reason, certain=exact, column=listed[0] if len(listed) == 1 else None)
    yield from _types(pair, before, after)


def _mismatch(yaml: Sequence[YamlColumn], traced: Traced) -> tuple[set[str], set[str]]:
    """The columns that only the contract has, and those that only the SQL has."""
    promised, made = {folded(column.name) for column in yaml}, {folded(column.name) for column in traced.columns}
    return promised - made, made - promised


def _types(pair: NodePair, before: Traced | None, after: Traced) -> Iterator[Break]:
    """A cast that agreed with the contract and no longer does. Types have many names, so it is possible, not certain."""
    promised = {folded(column.name): column.data_type for column in pair.head.columns}
    old_promise = {folded(column.name): column.data_type for column in pair.base.columns}
    cast = {folded(column.name): column.type for column in before.columns} if before is not None else {}
    for column in after.columns:
        key = folded(column.name)
        wanted, old, old_wanted = promised.get(key), cast.get(key), old_promise.get(key)
        agreed = old is not None and old_wanted is not None and same_kind(old, old_wanted)
        if agreed and column.type is not None and wanted is not None and not same_kind(column.type, wanted):
            text = (
                f"{name(column.name)} is {name(wanted)} in the contract of {name(pair.name)}, but its SQL casts it to {name(column.type)}"
            )
            yield _break(pair, text, certain=False, column=column.name)


def _readers(pair: NodePair) -> Iterator[Break]:
    """Promises that are taken back. dbt refuses that for versions of a model, and warns for others."""
    certain = pair.new.get("version") is not None
    if not is_enforced(pair.new):
        yield _break(pair, f"the contract of {name(pair.name)}, on which its readers rely, is no longer enforced", certain=certain)
        return
    promised = {folded(column.name) for column in pair.head.columns}
    for gone in (column.name for column in pair.base.columns if folded(column.name) not in promised):
        yield _break(pair, f"{name(gone)} is no longer in the contract of {name(pair.name)}", certain=certain, column=gone)
    for change in contract_types(pair):
        types = f"{name(str(change.head))} instead of {name(str(change.base))}"
        text = f"{name(change.name)} is now {types} in the contract of {name(pair.name)}"
        yield _break(pair, text, certain=certain, column=change.name)
    lost = _constraint_types(pair, "old") - _constraint_types(pair, "new")
    for where, kind in sorted(lost):
        of = name(where) if where else "the whole table"
        yield _break(pair, f"the contract of {name(pair.name)} no longer has the constraint {name(kind)} on {of}", certain=certain)


def _constraint_types(pair: NodePair, version: str) -> set[tuple[str, str]]:
    """The constraints as (folded column or empty, type)."""
    definition = pair.old if version == "old" else pair.new
    found = {("", _kind(one)) for one in listed(definition.get("constraints"))}
    for column, fields in mapping(definition.get("columns")).items():
        found |= {(folded(column), _kind(one)) for one in listed(mapping(fields).get("constraints"))}
    return found


def _kind(constraint: object) -> str:
    return str(mapping(constraint).get("type"))


def _break(pair: NodePair, text: str, *, certain: bool, column: str | None = None) -> Break:
    return Break(unique_id=pair.unique_id, kind="contract", certain=certain, reason=sentence(text), cause=pair.unique_id, column=column)
