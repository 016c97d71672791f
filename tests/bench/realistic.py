"""A generated project whose SQL is like that of public projects, for column lineage: CTEs, joins, windows, stars, unions, macros.

A third each are staging models (import and rename, casts, CASE), intermediate ones (imports by star, joins, windows, aggregates) and marts
(joins of stars, unions, DISTINCT, subqueries). Only half of the sources have columns in YAML. `generate.edit` changes these projects too.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.bench.generate import Files

PROJECT = 'name: realistic\nversion: "1.0.0"\nprofile: realistic\nmodel-paths: ["models"]\nmacro-paths: ["macros"]\n'
MACROS = {
    "cents": "cast({{ value }} as numeric) / 100",
    "cleaned": "nullif(trim(lower({{ value }})), '')",
    "day_of": "cast(date_trunc('day', {{ value }}) as date)",
}
TYPES = ("integer", "varchar", "timestamp", "numeric", "boolean", "date")
KEYS = ("id", "account_id", "created_at", "updated_at", "status", "amount")
SQL = "-- revision 0\n"


def realistic(models: int, seed: int = 0) -> Files:
    """A project of `models` models, path → content."""
    chance = Random(seed)  # noqa: S311 - reproducible, not secret
    third = models // 3
    staging = [f"stg_app__{number:04}" for number in range(models - 2 * third)]
    middle = [f"int_app__{number:04}" for number in range(third)]
    files = {"dbt_project.yml": PROJECT, "README.md": "revision 0\n"}
    files |= {
        f"macros/{name}.sql": f"{{% macro {name}(value) %}}\n{{# revision 0 #}}{body}{{% endmacro %}}\n" for name, body in MACROS.items()
    }
    files["models/staging/_sources.yml"] = _sources(len(staging))
    for number, name in enumerate(staging):
        files[f"models/staging/{name}.sql"] = SQL + _staging(number, chance)
    for number, name in enumerate(middle):
        files[f"models/intermediate/{name}.sql"] = SQL + _middle(chance.sample(staging + middle[:number], min(3, len(staging))), chance)
    for number in range(third):
        files[f"models/marts/fct_{number:04}.sql"] = SQL + _mart(chance.sample(staging + middle, min(4, len(staging + middle))), chance)
    return files


def _sources(count: int) -> str:
    lines = ["version: 2", "sources:", "  - name: app", "    schema: app", "    tables:"]
    for number in range(count):
        lines.append(f"      - name: table_{number:04}")
        if number % 2:
            lines.append("        columns:")
            lines += [f"          - {{name: {column}}}" for column in (*KEYS, *_attributes(number))]
    return "\n".join(lines) + "\n"


def _attributes(number: int) -> list[str]:
    return [f"attribute_{place}" for place in range(4 + number % 12)]


def _staging(number: int, chance: Random) -> str:
    renamed = [f"        cast({name} as {chance.choice(TYPES)}) as {name}_value" for name in _attributes(number)]
    attributes = ",\n".join(renamed)
    return f"""with source as (

    select * from {{{{ source('app', 'table_{number:04}') }}}}

),

renamed as (

    select
        id,
        account_id,
        created_at,
        {{{{ day_of('updated_at') }}}} as updated_at,
        {{{{ cleaned('status') }}}} as status,
        {{{{ cents('amount') }}}} as amount,
        case when status in ('closed', 'cancelled') then false else true end as is_open,
        coalesce(updated_at, created_at) as changed_at,
{attributes}

    from source
    where not coalesce(is_deleted, false)

)

select * from renamed
"""


def _imports(upstreams: Sequence[str]) -> str:
    return ",\n\n".join(f"t{place} as (\n\n    select * from {{{{ ref('{name}') }}}}\n\n)" for place, name in enumerate(upstreams))


def _joins(upstreams: Sequence[str]) -> str:
    return "\n".join(f"    left join t{place} on t0.account_id = t{place}.account_id" for place in range(1, len(upstreams)))


def _middle(upstreams: Sequence[str], chance: Random) -> str:
    sums = ",\n".join(
        f"        sum(case when t{place}.status = 'open' then t{place}.amount else 0 end) as open_amount_{place}"
        for place in range(len(upstreams))
    )
    latest = chance.choice(("created_at", "updated_at"))
    return f"""with {_imports(upstreams)},

latest as (

    select
        *,
        row_number() over (partition by account_id order by {latest} desc) as row_rank,
        lag(amount) over (partition by account_id order by {latest}) as amount_before
    from t0

),

totals as (

    select
        t0.account_id,
        count(distinct t0.id) as orders,
        min(t0.created_at) as first_created_at,
        max(t0.updated_at) as last_updated_at,
{sums}
    from t0
{_joins(upstreams)}
    group by 1
    having count(*) > 1

)

select
    latest.id,
    latest.account_id,
    latest.created_at,
    latest.updated_at,
    latest.status,
    latest.amount - coalesce(latest.amount_before, 0) as amount,
    totals.orders,
    totals.first_created_at,
    totals.last_updated_at,
    {", ".join(f"totals.open_amount_{place}" for place in range(len(upstreams)))},
    {{{{ cents('totals.open_amount_0') }}}} / nullif(totals.orders, 0) as amount_per_order
from latest
inner join totals on latest.account_id = totals.account_id
where latest.row_rank = 1
"""


def _mart(upstreams: Sequence[str], chance: Random) -> str:
    threshold = chance.randint(1, 99)
    others = ", ".join(f"t{place}.status as status_{place}, t{place}.amount as amount_{place}" for place in range(1, len(upstreams)))
    return f"""with {_imports(upstreams)},

joined as (

    select
        t0.*,
        {others}
    from t0
{_joins(upstreams)}

),

large as (

    select id, account_id, created_at, status, amount, 'large' as size from joined where amount > {threshold}

),

small as (

    select id, account_id, created_at, status, amount, 'small' as size from joined where amount <= {threshold}

),

unioned as (

    select * from large
    union all
    select * from small

),

per_day as (

    select
        {{{{ day_of('created_at') }}}} as created_on,
        account_id,
        size,
        count(*) as orders,
        sum(amount) as amount,
        sum(sum(amount)) over (partition by account_id order by {{{{ day_of('created_at') }}}}) as amount_so_far
    from unioned
    group by 1, 2, 3

)

select distinct
    per_day.*,
    accounts.status as account_status,
    round(per_day.amount / nullif(per_day.orders, 0), 2) as amount_per_order,
    exists (select 1 from t1 where t1.account_id = per_day.account_id and t1.amount > per_day.amount) as has_larger
from per_day
left join (
    select account_id, max(status) as status from joined group by account_id
) as accounts on accounts.account_id = per_day.account_id
"""
