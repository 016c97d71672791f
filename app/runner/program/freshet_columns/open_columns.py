"""Columns that only open tables may have: which of them has the one that a reference names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freshet_columns import digests
from freshet_columns.relations import Field, Relation
from freshet_columns.run import either, having
from freshet_columns.sources import Source
from freshet_columns.values import EMPTY, TRANSFORMATION, Value, doubtful, through, union

if TYPE_CHECKING:
    from freshet_columns.scopes import Scope


def perhaps(scope: Scope, key: str, name: str) -> Field | None:
    """The column that one of a scope's own sources may have; None if none of them may."""
    sources = [source for source in scope.sources if source.relation.rest and source.relation.may_have(key)]
    if sources:
        candidates = [source.relation for source in sources]
        value = _perhaps_around(scope, candidates, key, name) or _asked(scope, candidates, key, name)
        return Field(name, key, value, digest=_digest(scope, sources, key, value))
    wild = [source for source in scope.sources if source.relation.wild is not None]
    if not wild:
        return None
    digest = digests.either([digests.made("of", source.columns_digest(), digests.text(key)) for source in wild])
    return Field(name, key, union(source.relation.wild or EMPTY for source in wild), digest=digest)


def among(scope: Scope, sources: list[Source], key: str, name: str) -> Field | None:
    """The column that one of these sources of a scope may have; None if none of them may."""
    if len(sources) == 1 and sources[0].relation.may_have(key):
        return scope.member(sources[0].relation, key, name)
    return perhaps(scope, key, name)


def _digest(scope: Scope, sources: list[Source], key: str, value: Value) -> str:
    """The digest of a column that one of these open sources has."""
    if len(sources) == 1:
        return digests.marked(scope.run.open_digest(sources[0].relation, key, value), sources[0].mark)
    asked = scope.run.tables_of(value)
    meant = [source for source in sources if any(table in asked for group in source.relation.rest for table, _ in group.tables)]
    return digests.either([digests.marked(scope.run.open_digest(source.relation, key, value), source.mark) for source in meant or sources])


def _asked(scope: Scope, candidates: list[Relation], key: str, name: str) -> Value:
    wild = [source.relation.wild for source in scope.sources if source.relation.wild is not None]
    if wild and not scope.run.is_proved(candidates, key):
        tables = having(candidates, key)
        scope.run.note(f"column `{name}` may belong to {either(tables)} or to the elements of an array: not all of their columns are known")
        return union([scope.run.perhaps(tables, key, name), doubtful(through(union(wild), TRANSFORMATION))])
    shows = not any(around.may_have(key) for around in scope.chain()[1:])
    if len(candidates) > 1:
        return scope.run.ask_any(candidates, key, name, shows=shows)
    return scope.run.ask(candidates[0], key, name, shows=shows) or EMPTY


def _perhaps_around(scope: Scope, candidates: list[Relation], key: str, name: str) -> Value | None:
    """In a condition of a subquery, a column that its own tables only may have is perhaps one of the tables around it."""
    if not scope.in_condition or scope.outer is None or scope.outer.weak or scope.run.is_proved(candidates, key):
        return None
    around = next((value for value in (one.offered(key, name) for one in scope.outer.chain()) if value is not None), None)
    if around is None:
        return None
    scope.run.note(f"column `{name}` in a subquery may belong to the subquery's own tables or to those around it")
    return union([scope.run.perhaps(having(candidates, key), key, name), around])
