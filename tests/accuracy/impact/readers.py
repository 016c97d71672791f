"""Models that read another one in ways in which a change of its columns is easily misjudged. None: the columns do not lend themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.accuracy.building import Choices, Col, Rel
from tests.accuracy.world import SCHEMA, TABLES


def by_name(c: Choices, x: Rel) -> str | None:
    """Columns by their names alone."""
    cols = c.some(x.cols, 1, 4)
    return f"select {_list(cols)} from {x.sql}"


def star(c: Choices, x: Rel) -> str | None:
    """All columns."""
    return c.r.choice(["select * from {}", "select s.* from {} as s", "from {}"]).format(x.sql)


def star_through_ctes(c: Choices, x: Rel) -> str | None:
    """The usual form of dbt: a star at the start and at the end."""
    col = c.int_of(x).sql
    return f"with source as (select * from {x.sql}), kept as (select * from source where {col} is not null) select * from kept"


def star_and_more(c: Choices, x: Rel) -> str | None:
    """All columns and one that is made of them."""
    one, other = c.two_of(x)
    return f"select *, {one.sql} + {other.sql} as made_here from {x.sql}"


def star_without(c: Choices, x: Rel) -> str | None:
    """All columns but one that is named."""
    return f"select * exclude ({c.int_of(x).sql}) from {x.sql}" if len(x.cols) > 1 else None


def through_ctes(c: Choices, x: Rel) -> str | None:
    """Columns by name out of a star in a CTE."""
    one, other = c.two_of(x)
    return (
        f"with source as (select * from {x.sql}), renamed as (select {one.sql} as first_one, {other.sql} + 1 as second_one from source) "
        "select first_one, second_one from renamed"
    )


def only_in_predicate(c: Choices, x: Rel) -> str | None:
    """A column that only decides about rows."""
    one, other = c.two_of(x)
    return f"select {one.sql} as kept from {x.sql} where {other.sql} > {c.number() - 1}"


def only_in_order(c: Choices, x: Rel) -> str | None:
    """A column that decides which rows come first."""
    one, other = c.two_of(x)
    return f"select {one.sql} as kept from {x.sql} order by {other.sql}, {one.sql} limit 3"


def only_sorted(c: Choices, x: Rel) -> str | None:
    """A column that only decides about an order which nobody sees: without it, there is nothing."""
    one, other = c.two_of(x)
    return f"select {one.sql} as kept from {x.sql} order by {other.sql}"


def counted(c: Choices, x: Rel) -> str | None:
    """No column at all."""
    return f"select count(*) as rows_of_it from {x.sql}"


def grouped(c: Choices, x: Rel) -> str | None:
    """A key by name, by place, or all."""
    one, other = c.two_of(x)
    if one == other:
        return None
    by = c.r.choice([one.sql, "1", "all"])
    return f"select {one.sql} as the_key, sum({other.sql}) as the_sum from {x.sql} group by {by}"


def star_grouped(c: Choices, x: Rel) -> str | None:
    """Rows that are told apart by all columns."""
    return c.r.choice(["select distinct * from {}", "select count(*) as different from (select distinct * from {}) as d"]).format(x.sql)


def correlated_without_qualifier(c: Choices, x: Rel) -> str | None:
    """A subquery names a column of X that the table around it has too: if X loses it, the name means that of the table."""
    return _with_shared(c, x, "select o.{0} as outer_one from {1} as o where o.{0} in (select {0} from {2})")


def exists_without_qualifier(c: Choices, x: Rel) -> str | None:
    """The same in EXISTS."""
    return _with_shared(c, x, "select count(*) as met from {1} as o where exists (select 1 from {2} where {0} > 3)")


def join_without_qualifier(c: Choices, x: Rel) -> str | None:
    """A column that only one of two relations has, without saying whose it is."""
    table = c.table()
    names = {col.name for col in table.cols}
    own = [col for col in x.ints() if col.name.lower() not in names]
    if not own:
        return None
    met = c.int_of(table)
    one = c.r.choice(own)
    return f"select {one.sql} as the_one, w.{met.sql} as the_other from {x.sql} as s join {table.sql} as w on s.{one.sql} = w.{met.sql}"


def join_using(c: Choices, x: Rel) -> str | None:
    """A name that both sides need."""
    text = c.r.choice(["select {0} from {2} join {1} using ({0})", "select * from {2} left join {1} using ({0})"])
    return _with_shared(c, x, text)


def natural_join(c: Choices, x: Rel) -> str | None:
    """All names that both sides have."""
    return _with_shared(c, x, "select {0} from {2} natural join {1}")


def union_by_place(c: Choices, x: Rel) -> str | None:
    """A star beside as many columns by name: a new column, or another order, matters."""
    if any(col.kind == "bool" for col in x.cols):
        return None
    values = ", ".join("1" if col.kind == "int" else "'ab'" for col in x.cols)
    return f"select * from {x.sql} union all select {values}"


def union_by_name(c: Choices, x: Rel) -> str | None:
    """Columns of one name are one column."""
    table = c.table()
    return f"select {_list(c.some(x.cols, 1, 3))} from {x.sql} union all by name select {c.int_of(table).sql} from {table.sql}"


def alias_of_the_same_name(c: Choices, x: Rel) -> str | None:
    """A column made here has the name of one of X, and is used beside it."""
    one, other = c.two_of(x)
    return None if one == other else f"select {other.sql} as {one.sql}, {one.sql} + 1 as next_one from {x.sql}"


def alias_used_later(c: Choices, x: Rel) -> str | None:
    """A name that is new here: if X has a column of that name, it wins."""
    one = c.int_of(x)
    name = c.name({col.name.lower() for col in x.cols})
    return f"select {one.sql} + 1 as {name}, {name} * 2 as twice from {x.sql}"


def window(c: Choices, x: Rel) -> str | None:
    """Partition and order."""
    one, other = c.two_of(x)
    return f"select {one.sql} as kept, sum({one.sql}) over (partition by {other.sql}) as within from {x.sql}"


def qualified_rows(c: Choices, x: Rel) -> str | None:
    """The first row of each group."""
    one, other = c.two_of(x)
    return f"select * from {x.sql} qualify row_number() over (partition by {one.sql} order by {other.sql}, {_list(x.cols)}) = 1"


def case_of_text(c: Choices, x: Rel) -> str | None:
    """A condition within an expression."""
    one, other = c.two_of(x)
    return f"select case when {one.sql} > 3 then {other.sql} else 0 end as chosen from {x.sql}"


def named_columns(c: Choices, x: Rel) -> str | None:
    """Columns that the alias of a relation names: by place."""
    names = ", ".join(f"n{number}" for number in range(len(x.cols)))
    return f"select n0 from {x.sql} as s({names})"


def scalar(c: Choices, x: Rel) -> str | None:
    """One value of X in each row of a table."""
    table = c.table()
    return f"select o.{table.cols[0].sql} as outer_one, (select max({c.int_of(x).sql}) from {x.sql}) as most from {table.sql} as o"


def all_columns_by_pattern(c: Choices, x: Rel) -> str | None:
    """DuckDB's COLUMNS."""
    return f"select max(columns(*)) from {x.sql}"


READERS: dict[str, Callable[[Choices, Rel], str | None]] = {
    made.__name__.replace("_", " "): made
    for made in (
        *(by_name, star, star_through_ctes, star_and_more, star_without, through_ctes, only_in_predicate, only_in_order, counted, grouped),
        *(star_grouped, correlated_without_qualifier, exists_without_qualifier, join_without_qualifier, join_using, natural_join),
        *(union_by_place, union_by_name, alias_of_the_same_name, alias_used_later, window, qualified_rows, case_of_text, named_columns),
        *(scalar, all_columns_by_pattern, only_sorted),
    )
}


def _list(cols: Sequence[Col]) -> str:
    return ", ".join(col.sql for col in cols)


def _with_shared(c: Choices, x: Rel, text: str) -> str | None:
    """A text with a column that X and a table have, the table, and X."""
    pairs = [(col.sql, f"{SCHEMA}.{table}") for col in x.cols for table, columns in TABLES.items() if col.name in columns]
    return text.format(*c.r.choice(pairs), x.sql) if pairs else None
