"""The analysis of one SQL text: parse it, walk it, and say how sure the result is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError

from freshet_columns import (  # noqa: F401 - they register themselves
    canonical_calls,
    canonical_names,
    choices,
    ctes,
    date_units,
    joins,
    pivots,
    selects,
    set_operations,
    structs,
    tables,
)
from freshet_columns.canonical import plain
from freshet_columns.dialects import DIALECTS, facts
from freshet_columns.digests import doubted, made, shown
from freshet_columns.model import APPROXIMATE, EXACT, UNKNOWN, Analysis, Catalog, Column, Edge, Star
from freshet_columns.output_names import UNNAMED
from freshet_columns.parsing import Parsed, described, parsed
from freshet_columns.queries import Query, evaluate
from freshet_columns.relations import Field, Relation
from freshet_columns.run import OUTSIDE, Proof, Run, either
from freshet_columns.scopes import Environment
from freshet_columns.values import JOIN, NAMES, Value

MAX_REASON = 500
MAX_TYPE = 1000
"""Characters: longer ones are left out of documents."""
VERSION = "16"
"""Part of the cache keys: raise it with every change of the results."""


NO_PROOF: Proof = frozenset()


def analyse(sql: str, dialect: str, catalog: Catalog, proof: Proof = NO_PROOF, *, strict: bool = False) -> Analysis:
    """The columns of a query and what they depend on; `unknown` with a reason where no parser understands it.

    `proof`: (unique_id, column key) pairs that other queries have shown (`Analysis.shown`), to decide this one's doubts. `strict`: SQL
    that the dialect does not have is `unknown`; otherwise, if there is any way to read it, `approximate`.
    """
    dialect = DIALECTS.get(dialect, dialect)
    if Dialect.get(dialect) is None:
        return _unknown(f"Freshet does not know the SQL of the adapter `{dialect}`")
    try:
        return _analysed(parsed(sql, dialect, strict=strict), Run(facts(dialect), catalog, proof), sql)
    except SqlglotError as error:
        return _unknown("the SQL could not be parsed: " + described(error))
    except RecursionError:
        return _unknown("the SQL is nested too deeply")
    except MemoryError:
        return _unknown("the SQL needs too much memory")
    except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the project its other models
        return _unknown(f"Freshet failed on this SQL ({type(error).__name__}): please report it")


def _unknown(reason: str) -> Analysis:
    return Analysis(UNKNOWN, _sentence(reason))


def _analysed(parts: Parsed, run: Run, sql: str) -> Analysis:
    trees = [tree for tree in parts.statements if isinstance(tree, (exp.Query, exp.Pivot, exp.Table, exp.DDL, exp.Values))]
    if not trees:
        return _unknown("the SQL has no query" if parts.statements else "the SQL is empty")
    run.tree, run.has_columns_calls = trees[-1], "columns" in sql.lower()
    run, relation = _walked(run)
    if len(parts.statements) > 1:
        run.note(f"the SQL has {len(parts.statements)} statements: only the last query is read")
    found = _doubted(_result(run, relation), parts)
    beside = _beside(parts, trees[-1], run, sql)
    return doubted(found, *beside) if beside else found


def _beside(parts: Parsed, tree: Any, run: Run, sql: str) -> list[str]:
    """Texts that are part of what the query means, but not of its digests."""
    if not parts.whole:
        return [" ".join(sql.split())]
    texts = [plain(other, run.folding) for other in parts.statements if other is not tree]
    if isinstance(tree, exp.DDL):
        texts.append(plain(tree, run.folding))
    return texts + (["read otherwise"] if parts.doubt is not None else [])


def _doubted(found: Analysis, parts: Parsed) -> Analysis:
    """The result, as uncertain as the text that it was read from."""
    if parts.doubt is None:
        return found
    edges = tuple(edge._replace(certain=False) for edge in found.edges)
    reason = _sentence(f"{parts.doubt}; {_continued(found.reason)}" if found.reason else parts.doubt)
    rest = tuple(tuple(star._replace(certain=False) for star in group) for group in found.rest)
    found = found._replace(status=APPROXIMATE, reason=reason, edges=edges, rest=rest, shown={}, missing=(), uneven=False)
    return found if parts.whole else found._replace(open=True, ordered=False)


def _walked(run: Run) -> tuple[Run, Relation]:
    """One pass, and a second one if the first found whose columns the ambiguous ones are."""
    relation = evaluate(Query(run.tree, Environment(run, {}, {}), None))
    if run.doubts & run.proved:
        run = run.again()
        relation = evaluate(Query(run.tree, Environment(run, {}, {}), None))
    return run, relation


class _Decoded(NamedTuple):
    upstream: str
    name: str
    kind: int
    certain: bool


def _result(run: Run, relation: Relation) -> Analysis:
    columns, edges = _columns(run, relation)
    open_tables = [table for group in relation.rest for table, _ in group.tables]
    is_open = bool(relation.rest) or relation.wild is not None
    if relation.wild is not None and not run.notes:
        run.note("a star includes columns of a function or a struct, which are not known")
    status = APPROXIMATE if run.notes else EXACT
    notes = list(run.notes)
    if open_tables:
        notes.append(f"there may be more columns: not all columns of {either(list(dict.fromkeys(open_tables)))} are known")
    return Analysis(
        status,
        _reason(notes),
        tuple(columns),
        is_open,
        relation.fixed == len(relation.fields) and not is_open,
        tuple(edges),
        tuple(run.hard_coded),
        tuple(run.used),
        {table: tuple(names.values()) for table, names in run.asked.items() if not table.startswith(OUTSIDE)},
        _rest(relation),
        _by_table(run.proved),
        _by_table(run.doubts),
        *_digests(run, relation),
        missing=tuple(run.missing),
        uneven=run.uneven,
    )


def _digests(run: Run, relation: Relation) -> tuple[str | None, str | None]:
    """The digests of the whole query and of its rows."""
    origin = run.origin(relation)
    return (None, None) if run.broken else (shown(made("sql", origin.rows, origin.columns)), shown(origin.rows))


def _value(run: Run, field: Field) -> str | None:
    """The digest of a column: without a cast that is said by the column's type."""
    is_said = field.type is not None and len(field.type) <= MAX_TYPE
    digest = field.bare if is_said and field.bare is not None else field.digest
    return None if run.broken else shown(digest if digest is not None else run.statement())


def _by_table(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """The keys of columns by table, in an order that depends on nothing else."""
    found: dict[str, list[str]] = {}
    for table, key in sorted(pairs):
        found.setdefault(table, []).append(key)
    return {table: tuple(keys) for table, keys in found.items()}


def _rest(relation: Relation) -> tuple[tuple[Star, ...], ...]:
    groups = [
        tuple(Star(table, tuple(sorted(excluded)), group.certain) for table, excluded in group.tables if not table.startswith(OUTSIDE))
        for group in relation.rest
    ]
    return tuple(group for group in groups if group)


def _reason(notes: list[str]) -> str | None:
    if not notes:
        return None
    text = "; ".join(notes[:3]) + (f"; and {len(notes) - 3} more" if len(notes) > 3 else "")  # noqa: PLR2004
    return _sentence(text)


def _continued(reason: str) -> str:
    return reason if reason[1:2].isupper() else reason[:1].lower() + reason[1:]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:MAX_REASON]


def _columns(run: Run, relation: Relation) -> tuple[list[Column], list[Edge]]:
    columns: list[Column] = []
    edges: list[Edge] = []
    seen: set[str] = set()
    for field in relation.fields:
        if field.key in seen:
            run.note(f"two columns have the name `{field.name}`: only the first one is read")
            continue
        if field.key.startswith(UNNAMED):
            run.note(f"column {len(columns) + 1} has no name in the SQL: the warehouse gives it one")
        seen.add(field.key)
        columns.append(Column(field.name, field.type, _value(run, field)))
        edges += _edges(run, field.value, field.name)
    return columns, edges + _edges(run, relation.rows, None)


def _edges(run: Run, value: Value, column: str | None) -> list[Edge]:
    """One edge for each leaf and kind; of the direct kinds the strongest only, and certain ones first."""
    if len(value) == 1:
        [(slot, leaves)] = value.items()
        if leaves and not leaves & (leaves - 1):  # one leaf, as most columns have
            table, name = run.leaves[leaves.bit_length() - 1]
            return [] if table.startswith(OUTSIDE) else [Edge(table, name, column, NAMES[slot >> 1], not slot & 1)]
    best: dict[tuple[int, int], tuple[int, bool]] = {}
    for slot in sorted(value):
        kind, certain = slot >> 1, not slot & 1
        group = 0 if kind < JOIN else kind
        for leaf in _bits(value[slot]):
            known = best.get((leaf, group))
            best[leaf, group] = (kind, certain or (known is not None and known[1]))
    decoded = [(run.leaves[leaf], kind, certain) for (leaf, _), (kind, certain) in best.items()]
    return [Edge(table, name, column, NAMES[kind], certain) for (table, name), kind, certain in decoded if not table.startswith(OUTSIDE)]


def _bits(number: int) -> list[int]:
    """The positions of the bits that are set."""
    positions = []
    while number:
        lowest = number & -number
        positions.append(lowest.bit_length() - 1)
        number ^= lowest
    return positions
