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
        return Field(name, key, value, digest=_or_others(scope, candidates, key, _digest(scope, sources, key, value)))
    wild = [source for source in scope.sources if source.relation.wild is not None]
    if not wild:
        return None
    digest = digests.either([digests.made("of", source.columns_digest(), digests.text(key)) for source in wild])
    return Field(name, key, union(source.relation.wild or EMPTY for source in wild), digest=digest)


def unless_column(scope: Scope, alias: Field) -> Field:
    """An alias of the projection that is meant unless one of the scope's tables has a column of this name."""
    columns = [source.columns_digest() for source in scope.sources if source.relation.might_have(alias.key)]
    return alias.digested(lambda digest: digests.doubtful(digests.made("alias", digest, *columns))) if columns else alias


def _or_others(scope: Scope, candidates: list[Relation], key: str, digest: str) -> str:
    """The digest of a column that an open table may have; if it has none, the name is a table's, or a column's around the scope."""
    own = having(candidates, key)
    if any((table, key) in scope.run.proved for table in own) or scope.run.is_proved(candidates, key):
        return digest
    others: list[str] = []
    for around in scope.chain():
        if around.weak:
            break
        others += _around(around, key, scope, own) if around is not scope else []
        others += [digests.made("row", around.by_alias[key].columns_digest())] if key in around.by_alias else []
    if not others:
        return digest
    scope.run.doubts.update((table, key) for table in own)
    return digests.doubtful(digests.made("or", digest, *others))


def _around(around: Scope, key: str, scope: Scope, own: list[str]) -> list[str]:
    """The digests of what a name may mean around a scope whose `own` tables have no such column."""
    known = [source.seen(field) for source in around.sources for field in source.relation.find(key)]
    relations = [(source, source.relation) for source in around.sources]
    lists = [one.columns_digest() for one, made in relations if made.wild is not None or set(having([made], key)) - set(own)]
    found = [field.digest or scope.run.statement() for field in known] + lists
    return [digests.made("outer", str(scope.level - around.level), one) for one in found]


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
