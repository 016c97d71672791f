"""Operators that compute columns from one relation."""

from __future__ import annotations

from tests.accuracy.building import Choices, Col, Draft, Made, Operator, Rel
from tests.accuracy.truth import AGGREGATION, CONDITIONAL, NOTHING, Value, both, changed, used


class OneRelation(Operator):
    """Some columns as they are, and one or two expressions."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, draft = c.alias(), Draft(c)
        draft.keep(alias, c.some(source.cols, 1, 4))
        for _ in range(c.r.randint(1, 2)):
            self.compute(c, alias, source, draft)
        return Made(f"select {draft.list()} from {source.sql} as {alias}", tuple(draft.cols), source.rows)

    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        """Add an expression."""
        raise NotImplementedError


class Projection(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, draft = c.alias(), Draft(c)
        cols = c.some(source.cols, 2)
        if not any(col.kind == "int" for col in cols):
            cols.append(c.int_of(source))
        c.r.shuffle(cols)
        draft.keep(alias, cols)
        return Made(f"select {draft.list()} from {source.sql} as {alias}", tuple(draft.cols), source.rows)


class UnqualifiedProjection(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        cols = c.some(source.cols, 2)
        cols = cols if any(col.kind == "int" for col in cols) else [*cols, c.int_of(source)]
        return Made(f"select {', '.join(col.sql for col in cols)} from {source.sql} as {c.alias()}", tuple(cols), source.rows)


class Arithmetic(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        one, other = c.two_of(source)
        sign = c.r.choice("+-*")
        draft.add(f"({alias}.{one.sql} {sign} {alias}.{other.sql}) + 1", "int", changed(one.value, other.value))


class UnqualifiedArithmetic(Operator):
    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        one, other = c.two_of(source)
        name = c.name({col.name for col in source.cols})
        value = changed(one.value, other.value)
        cols = (one, Col(name, "int", value))
        return Made(f"select {one.sql}, {one.sql} + {other.sql} as {name} from {source.sql} as {c.alias()}", cols, source.rows)


class Cast(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        col = c.int_of(source)
        form, kind = c.r.choice([("cast({} as varchar(20))", "text"), ("cast({} as bigint)", "int"), ("{}::bigint", "int")])
        draft.add(form.format(f"{alias}.{col.sql}"), kind, changed(col.value))


class CaseSearched(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        (condition, looked), (one, other) = c.condition(alias, source), c.two_of(source)
        sql = f"case when {condition} then {alias}.{one.sql} else {alias}.{other.sql} end"
        draft.add(sql, "int", both(used(looked, CONDITIONAL), changed(one.value, other.value)))


class CaseSimple(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        looked, one = c.two_of(source)
        sql = f"case {alias}.{looked.sql} when 1 then {alias}.{one.sql} when 2 then 7 else -1 end"
        draft.add(sql, "int", both(used(looked.value, CONDITIONAL), changed(one.value)))


class CaseNested(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        (first, looked), (second, inner), (one, other) = c.condition(alias, source), c.condition(alias, source), c.two_of(source)
        sql = f"case when {first} then case when {second} then {alias}.{one.sql} end else coalesce({alias}.{other.sql}, 0) end"
        draft.add(sql, "int", both(used(both(looked, inner), CONDITIONAL), changed(one.value, other.value)))


class Coalesce(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        one, other = c.two_of(source)
        draft.add(f"coalesce({alias}.{one.sql}, {alias}.{other.sql}, 0)", "int", changed(one.value, other.value))


class NullIf(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        one, other = c.two_of(source)
        value = both(changed(one.value), used(other.value, CONDITIONAL))
        draft.add(f"nullif({alias}.{one.sql}, {alias}.{other.sql})", "int", value)


class ScalarFunction(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        one, other = c.two_of(source)
        left, right = f"{alias}.{one.sql}", f"{alias}.{other.sql}"
        sql = c.r.choice([f"abs({left} - {right})", f"round({left} / (1 + abs({right})), 2)", f"{left} % (abs({right}) + 1)"])
        draft.add(sql, "int", changed(one.value, other.value))


class TextFunction(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        col = c.r.choice(source.cols)
        text = f"{alias}.{col.sql}" if col.kind == "text" else f"cast({alias}.{col.sql} as varchar(20))"
        sql = c.r.choice([f"upper(trim({text}))", f"replace({text}, 'a', '-')", f"concat({text}, '-')", f"{text} || '.'"])
        draft.add(sql, "text", changed(col.value))


class Comparison(OneRelation):
    dialects = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "databricks"})

    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        condition, looked = c.condition(alias, source)
        draft.add(condition, "bool", changed(looked))


class Literal(OneRelation):
    def compute(self, c: Choices, alias: str, source: Rel, draft: Draft) -> None:
        draft.add(c.r.choice(["1", "-1", "2 + 3"]), "int", NOTHING)


class LateralAlias(Operator):
    """An expression over a column of the same SELECT; a column of the source with that name would win."""

    dialects = frozenset({"duckdb", "snowflake", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other) = c.alias(), c.two_of(source)
        name = c.r.choice([f"step{c.count}", c.name(set())])
        value = changed(one.value)
        taken = next((col for col in source.cols if col.name.lower() == name), None)
        meant = taken.value if taken is not None and taken.kind == "int" else value
        if taken is not None and taken.kind != "int":
            return None
        result = Col(f"next{c.count}", "int", changed(meant, other.value))
        sql = f"select {alias}.{one.sql} + 1 as {name}, {name} * 2 + {alias}.{other.sql} as {result.name} from {source.sql} as {alias}"
        return Made(sql, (Col(name, "int", value), result), source.rows)


class SwappedNames(Operator):
    """Two columns under each other's names."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        one, other = c.two_of(source)
        if one == other:
            return None
        alias = c.alias()
        cols = (Col(other.name, "int", one.value, other.quoted), Col(one.name, "int", other.value, one.quoted))
        sql = f"select {alias}.{one.sql} as {other.sql}, {other.sql} as {one.sql} from {source.sql} as {alias}"
        return Made(sql, cols, source.rows)


class QuotedName(Operator):
    """Names that only quotes make possible."""

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, col = c.alias(), c.int_of(source)
        name = c.r.choice(["Order", "select", "group key", "Mixed Case", "a-b", "1st"])
        kept = [one for one in c.some(source.cols, 1, 3) if one.name.lower() != name.lower()]
        draft = Draft(c)
        draft.keep(alias, kept, rename=False)
        draft.items.append(f'{alias}.{col.sql} as "{name}"')
        cols = (*draft.cols, Col(name, "int", col.value, quoted=True))
        return Made(f"select {draft.list()} from {source.sql} as {alias}", cols, source.rows)


class StructField(Operator):
    """A field of a struct that the query itself makes."""

    dialects = frozenset({"duckdb", "bigquery", "databricks"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other) = c.alias(), c.two_of(source)
        inner = f"select {{'p': {alias}.{one.sql}, 'q': {alias}.{other.sql}}} as st, {alias}.{one.sql} as k from {source.sql} as {alias}"
        cols = (Col("k", "int", one.value), Col("p1", "int", changed(one.value)), Col("q1", "int", changed(other.value)))
        outer = c.alias()
        return Made(f"select {outer}.k, {outer}.st.p + 1 as p1, {outer}.st.q * 2 as q1 from ({inner}) as {outer}", cols, source.rows)


class UnnestedLiteral(Operator):
    """A row for each of two columns: the number of rows depends on nothing."""

    dialects = frozenset({"duckdb", "bigquery", "postgres"})

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        (source,) = sources
        alias, (one, other) = c.alias(), c.two_of(source)
        array = f"[{alias}.{one.sql}, {alias}.{other.sql}]"
        join, name = f"cross join unnest({array}) as l(e)", "e"
        kept = c.int_of(source)
        cols = (Col("kept", "int", kept.value), Col("item", "int", changed(one.value, other.value)))
        return Made(f"select {alias}.{kept.sql} as kept, {name} as item from {source.sql} as {alias} {join}", cols, source.rows)


def aggregates(c: Choices, alias: str, source: Rel, draft: Draft, *, bare: bool = False) -> None:
    """Add one or two aggregates over a relation."""
    for _ in range(c.r.randint(1, 2)):
        sql, value = aggregate(c, "" if bare else f"{alias}.", source)
        draft.add(sql, "int", value)


def aggregate(c: Choices, prefix: str, source: Rel) -> tuple[str, Value]:
    """An aggregate, and its dependences."""
    one, other = c.two_of(source)
    left, right = f"{prefix}{one.sql}", f"{prefix}{other.sql}"
    mixed = both(used(one.value, CONDITIONAL), used(other.value, AGGREGATION))
    return c.r.choice(
        [
            ("count(*)", NOTHING),
            (f"count(distinct {left})", used(one.value, AGGREGATION)),
            (f"sum({left} * {right})", used(both(one.value, other.value), AGGREGATION)),
            (f"sum(case when {left} > 2 then {right} else 0 end)", mixed),
            (f"max({left}) - min({right})", used(both(one.value, other.value), AGGREGATION)),
            (f"coalesce(avg({left}), 0)", used(one.value, AGGREGATION)),
            (f"{c.r.choice(['sum', 'min', 'max', 'count'])}({left})", used(one.value, AGGREGATION)),
        ]
    )
