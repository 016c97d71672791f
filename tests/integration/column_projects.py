"""A dbt project whose macros ask the warehouse in every way that packages are known for."""

from __future__ import annotations

from tests.integration.runner_projects import PROJECT

TOOLS = """
{% macro star(from) %}{{ return(adapter.dispatch('star', 'tools')(from)) }}{% endmacro %}
{% macro default__star(from) %}
  {%- for column in adapter.get_columns_in_relation(from) %}{{ adapter.quote(column.name) }}{{ ", " if not loop.last }}{% endfor -%}
{% endmacro %}
{% macro union_relations(relations) %}
  {%- for relation in relations %}
    select {% for column in adapter.get_columns_in_relation(relation) %}
      cast({{ column.name }} as {{ column.dtype }}) as {{ column.name }}{{ "," if not loop.last }}
    {% endfor %} from {{ relation }} {{ "union all" if not loop.last }}
  {%- endfor -%}
{% endmacro %}
{% macro get_column_values(table, column) %}
  {%- call statement('get_column_values', fetch_result=true) %}select distinct {{ column }} as value from {{ table }}{% endcall -%}
  {%- set found = load_result('get_column_values') -%}
  {%- if found and found['data'] -%}{{ return(found['data'] | map(attribute=0) | list) }}{%- else -%}{{ return([]) }}{%- endif -%}
{% endmacro %}
"""
"""What a package of macros is made of."""

UTILS = """
{% macro star(from, relation_alias=False, except=[], prefix='', suffix='') %}
  {{ return(adapter.dispatch('star', 'dbt_utils')(from, relation_alias, except, prefix, suffix)) }}
{% endmacro %}
{% macro default__star(from, relation_alias=False, except=[], prefix='', suffix='') %}
  {%- for column in adapter.get_columns_in_relation(from) if column.name not in except %}
    {{- column.name }} as {{ prefix ~ column.name ~ suffix }}{{ ", " if not loop.last }}
  {%- endfor -%}
{% endmacro %}
{% macro tables_like(pattern) %}
  {%- call statement('tables', fetch_result=true) %}
    select table_schema, table_name, case table_type when 'BASE TABLE' then 'table' end as table_type
    from information_schema.tables where table_name ilike '{{ pattern }}' and table_schema = 'web'
  {% endcall -%}
  {%- set found = [] -%}
  {%- for row in load_result('tables')['table'] if execute %}
    {%- do found.append(api.Relation.create(target.database, row.table_schema, row.table_name, type=row.table_type)) -%}
  {%- endfor -%}
  {{ return(found) }}
{% endmacro %}
{% macro get_column_values(table, column) %}
  {%- if not execute %}{{ return([]) }}{% endif -%}
  {%- call statement('get_column_values', fetch_result=true) %}select distinct {{ column }} as value from {{ table }}{% endcall -%}
  {%- set found = load_result('get_column_values') -%}
  {{ return(found['data'] | map(attribute=0) | list if found and found['data'] else none) }}
{% endmacro %}
"""
"""What dbt_utils has under names that Freshet knows."""

MACROS = """
{% macro generate_schema_name(name, node) %}{{ 'custom_' ~ name if name else target.schema }}{% endmacro %}
{% macro first_column(query) %}{% set found = run_query(query) %}{{ return(found.columns[0].values() if execute else []) }}{% endmacro %}
{% macro get_intervals_between() %}
  {%- call statement('n', fetch_result=true) %}select 3{% endcall -%}{% set found = load_result('n') -%}
  {%- if found and found['data'] -%}{{ return(found['data'][0][0]) }}{%- else -%}{{ return(1) }}{%- endif -%}
{% endmacro %}
{% macro unused() %}select{% endmacro %}
{% materialization special, default %}{{ return({'relations': []}) }}{% endmaterialization %}
"""

FEATURES = {
    "dbt_project.yml": PROJECT + "vars: {wanted: id}\n",
    "packages.yml": "packages: [{local: packages/tools}, {local: packages/dbt_utils}]\n",
    "dbt_packages/dbt_utils/dbt_project.yml": "name: dbt_utils\nversion: '1.0'\n",
    "dbt_packages/dbt_utils/macros/utils.sql": UTILS,
    "dbt_packages/tools/dbt_project.yml": "name: tools\nversion: '1.0'\n",
    "dbt_packages/tools/macros/tools.sql": TOOLS,
    "macros/own.sql": MACROS,
    "seeds/countries.csv": "\ufeffcode,name\nde,Germany\n",
    "models/sources.yml": "sources: [{name: raw, tables: [{name: orders, columns: [{name: id, data_type: bigint}]}, {name: events}]}]\n",
    "models/visits.yml": (
        "sources: [{name: web, tables: [{name: visits, columns: [{name: id}]}, {name: visit_archive, columns: [{name: id}]}]}]\n"
    ),
    # What later models ask of a source goes through stars.
    "models/stg_orders.sql": "select * from {{ source('raw', 'orders') }}",
    "models/orders.sql": "select id, upper(status) as status from {{ ref('stg_orders') }} where country = 'de'",
    "models/small.sql": "{{ config(materialized='ephemeral') }} select id, status from {{ ref('orders') }}",
    "models/smaller.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('small') }}",
    "models/reads_ephemeral.sql": "select a.id, b.status from {{ ref('smaller') }} as a join {{ ref('small') }} as b using (id)",
    "models/starred.sql": "select {{ tools.star(ref('orders')) }} from {{ ref('orders') }}",
    "models/star_of_source.sql": "select {{ tools.star(source('raw', 'orders')) }} from {{ source('raw', 'orders') }}",
    "models/whole_source.sql": """
        select 1 as one, {{ dbt_utils.star(source('web', 'visits'), relation_alias='v', except=['secret']) }}
        from {{ source('web', 'visits') }} as v""",
    "models/reads_whole_source.sql": "select id, page from {{ ref('whole_source') }}",
    "models/renamed_source.sql": "select {{ dbt_utils.star(source('web', 'visits'), prefix='v_') }} from {{ source('web', 'visits') }}",
    "models/whole_model.sql": "select {{ dbt_utils.star(ref('orders')) }} from {{ ref('orders') }}",
    "models/valued.sql": """
        select id {% for value in dbt_utils.get_column_values(ref('orders'), 'status') %}, '{{ value }}' as {{ value }}{% endfor %}
        from {{ ref('orders') }}""",
    "models/all_visits.sql": (
        "{% for table in dbt_utils.tables_like('VISIT%') %}select id from {{ table }}{{ ' union all ' if not loop.last }}{% endfor %}"
    ),
    "models/by_type.sql": """
        select id {% for column in adapter.get_columns_in_relation(ref('orders')) if column.is_string() %}
        , trim({{ column.name }}) as {{ column.name }} {% endfor %} from {{ ref('orders') }}""",
    "models/by_variable.sql": "select id {{ ', status' if var('absent') == 'there' }} from {{ ref('orders') }}",
    "models/writes_variable.sql": "select id, '{{ var('written') }}' as written from {{ ref('orders') }}",
    "models/first_row.sql": "select id {% if execute %}{{ run_query('select 1')[0].values()[0] }}{% endif %} from {{ ref('orders') }}",
    "models/commanded.sql": "select id {{ ', ' ~ flags.WHICH }} from (select 1 as id, 2 as run, 3 as parse)",
    "models/refused.sql": """
        {% if flags.WHICH == 'run' %}{{ exceptions.raise_compiler_error('no columns to unite') }}{% endif %}
        select id {{ ', status' if execute }} from {{ ref('orders') }}""",
    "models/direct.sql": """
        select {% for column in get_columns_in_relation(ref('orders')) %}{{ column.name }}, {% endfor %} 1 as one
        from {{ ref('orders') }}""",
    "models/united.sql": "{{ tools.union_relations([ref('orders'), ref('countries_copy')]) }}",
    "models/countries_copy.sql": "select code as id, cast(name as varchar) as status from {{ ref('countries') }}",
    "models/pivoted.sql": """
        select id
        {% for value in tools.get_column_values(ref('orders'), 'status') %}, max(status = '{{ value }}') as {{ value }}{% endfor %}
        from {{ ref('orders') }} group by 1""",
    "models/after_pivot.sql": "select id, paid from {{ ref('pivoted') }}",
    "models/queried.sql": """
        select {{ first_column('select distinct status from ' ~ ref('orders')) | join(', ') or 'id' }} from {{ ref('orders') }}""",
    "models/breaks.sql": """
        select id from (
        {% for v in first_column('select 1') %}select {{ v }} as id {% endfor %}{% if not execute %}select 1 as id{% endif %})""",
    "models/spine.sql": "select id from {{ ref('orders') }} limit {{ get_intervals_between() }}",
    "models/does.sql": "{% do run_query('vacuum') %} select id from {{ ref('orders') }}",
    "models/grows.sql": """
        {{ config(materialized='incremental', pre_hook="{{ exceptions.raise_compiler_error('no hook runs') if execute }}") }}
        select id from {{ ref('orders') }} {% if is_incremental() %} where id > (select max(other) from {{ this }}) {% endif %}""",
    "models/own.sql": "select id {{ ', more' if adapter.get_columns_in_relation(this) }} from {{ ref('orders') }}",
    "models/looks.sql": """
        {% set found = adapter.get_relation(this.database, this.schema, ref('orders').identifier) %}
        select {{ 'id' if found else 'no_id' }}, '{{ adapter.check_schema_exists(this.database, this.schema) }}' as there
        from {{ ref('orders') }}""",
    "models/guesses.sql": """
        {% set found = adapter.get_relation(database='elsewhere', schema='s', identifier='t') %}
        select id {{ ', more' if found }} from {{ ref('orders') }}""",
    "models/raises.sql": """
        {% if execute %}{{ exceptions.raise_compiler_error('no such month') }}{% endif %} select id from {{ ref('orders') }}""",
    "models/graphic.sql": """
        {% set names = [] %}{% for node in graph.nodes.values() if node.name == 'countries' %}{% do names.append(node.name) %}{% endfor %}
        {{ log('seen by nobody', info=true) }} select id {{ ', status' if names }} from {{ ref('orders') }}""",
    "models/hard.sql": "select a.id, b.x from {{ ref('orders') }} a join legacy.crm.accounts b on a.id = b.id",
    "models/special.sql": """
        {{ config(materialized='special', schema='other', alias='named') }} select {{ var('wanted') }} from {{ ref('orders') }}""",
    "models/reads_special.sql": "select id from {{ ref('special') }}",
    "models/promised.sql": "select * from {{ source('raw', 'events') }}",
    "models/off.sql": "{{ config(enabled=false) }} select 1 as a",
    "models/versioned_v1.sql": "select id from {{ ref('orders') }}",
    "models/versioned_v2.sql": "select id, status from {{ ref('orders') }}",
    "models/reads_version.sql": "select * from {{ ref('versioned', v=1) }}",
    "models/snake.py": "def model(dbt, session):\n    return dbt.ref('orders')\n",
    "models/reads_snake.sql": "select id, score from {{ ref('snake') }}",
    "models/broken.sql": "select from where {{ ref('orders') }}",
    "models/reads_broken.sql": "select id, other from {{ ref('broken') }}",
    "models/all_of_broken.sql": "select * from {{ ref('broken') }}",
    "models/nothing.sql": "-- {{ ref('orders') }}",
    "models/circle_a.sql": "select id from {{ this }}",
    "models/models.yml": """
models:
  - {name: versioned, latest_version: 2, versions: [{v: 1}, {v: 2}]}
  - {name: snake, columns: [{name: score}]}
  - name: promised
    config: {contract: {enforced: true}}
    columns: [{name: id, data_type: bigint}, {name: note, data_type: varchar}]
""",
    "snapshots/old.sql": """
{% snapshot old_orders %}{{ config(target_schema='snapshots', unique_key='id', strategy='timestamp', updated_at='changed_at') }}
select id, changed_at from {{ source('raw', 'orders') }}
{% endsnapshot %}""",
}


def features(**changed: str) -> dict[str, str]:
    """The files of `FEATURES` with changes; `models__orders` stands for `models/orders.sql`."""
    return {**FEATURES, **{f"{name.replace('__', '/')}.sql": text for name, text in changed.items()}}
