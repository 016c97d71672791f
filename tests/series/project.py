"""A dbt project with everything that dbt reads: files as texts, and YAML files as entries that edits can move."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import yaml

Texts = dict[str, str]
Document = dict[str, Any]

TOOLS = "dbt_packages/tools"
"""A package from elsewhere: it is no part of the repository."""
HOUSE = "lib/house"
"""A package in the repository."""
TEXTS: Texts = {
    "models/staging/stg_a.sql": "{{ config(tags=['s']) }} select id, {{ named('id') }} as x from {{ source('raw', 'events') }} -- 0",
    "models/staging/stg_b.sql": "select id, {{ tool('id') }} as x from {{ source('raw', 'other') }} -- 0",
    "models/staging/stg_c.sql": "select 1 as id, '{{ env_var('REGION', 'eu') }}' as region, '{{ env_var('USER_NAME') }}' as u -- 0",
    "models/between/int_a.sql": "select * from {{ ref('stg_a') }} join {{ ref('shop', 'stg_b') }} using (id) where {{ outer('id') }} -- 0",
    "models/between/int_b.sql": "select {{ context['named']('id') }} as id from {{ ref('stg_b') }} -- 0",
    "models/between/int_c.sql": "select {{ context[var('by_name')]('id') }} as id from {{ ref('stg_c') }}, {{ ref('shared') }} -- 0",
    "models/between/int_d.sql": "select {{ glued('id') }} as id, {{ at_home('id') }} as y from {{ ref('numbers') }} -- 0",
    "models/marts/orders.sql": "{{ config(materialized='table', meta={'v': var('flag')}) }} select * from {{ ref('int_a') }} -- 0",
    "models/marts/customers.sql": "select id, id as name from {{ ref('int_b') }}, {{ ref('int_c') }} -- 0",
    "models/marts/dim_v1.sql": "select 1 as id from {{ ref('int_d') }} -- 0",
    "models/marts/dim_v2.sql": "select 2 as id from {{ ref('int_d') }} -- 0",
    "models/marts/facts.sql": "{{ config(materialized='incremental', unique_key='id', pre_hook=\"{{ named('1') }}\") }}\n"
    "select * from {{ ref('dim') }}, {{ ref('dim', v=1) }}, {{ ref('orders') }}\n"
    "{% if is_incremental() %} where id > (select max(id) from {{ this }}){% endif %} -- 0",
    "models/marts/off.sql": "{{ config(enabled=false) }} select * from {{ ref('orders') }} -- 0",
    "models/marts/computed.py": "def model(dbt, session):\n    dbt.config(materialized='table')\n    return dbt.ref('stg_a')  # 0\n",
    "models/metricflow_time_spine.sql": "{{ config(materialized='table') }} select cast('2020-01-01' as date) as date_day -- 0",
    "models/about.md": "{% docs about %}About 0{% enddocs %}\n{% docs more %}More 0{% enddocs %}\n",
    "models/marts/other.md": "{% docs other %}Other 0{% enddocs %}\n",
    "seeds/numbers.csv": "id\n1\n",
    "seeds/codes/countries.csv": "id,name\n1,one\n",
    "snapshots/snap.sql": "{% snapshot snap %}{{ config(unique_key='id', strategy='check', check_cols='all', target_schema='s') }}"
    "select * from {{ ref('stg_a') }} -- 0\n{% endsnapshot %}",
    "analyses/look.sql": "select * from {{ ref('orders') }} where {{ named('id') }} -- 0",
    "tests/single.sql": "select * from {{ ref('orders') }} where id < 0 -- 0",
    "tests/asleep.sql": "{{ config(enabled=false) }} select * from {{ ref('orders') }} -- 0",
    "tests/generic/odd.sql": "{% test odd(model, column_name, by=2) %}"
    "select * from {{ model }} where {{ column_name }} % {{ by }} = 1 -- 0\n"
    "{% endtest %}",
    "macros/named.sql": "{% macro named(x) %}{{ x }}{# 0 #}{% endmacro %}\n{% macro asks() %}{{ env_var('IN_MACRO') }}{% endmacro %}",
    "macros/outer.sql": "{% macro outer(x) %}{{ inner(x) }}{# 0 #}{% endmacro %}\n{% macro inner(x) %}{{ named(x) }}{% endmacro %}",
    "macros/glued.sql": "{% macro glued(x) %}{{ return(adapter.dispatch('glued')(x)) }}{% endmacro %}\n"
    "{% macro default__glued(x) %}{{ x }} || 'd'{# 0 #}{% endmacro %}",
    "macros/unused.sql": "{% macro unused(x) %}{{ x }}{# 0 #}{% endmacro %}",
    "macros/refers.sql": "{% macro refers(x) %}{# 0 #}{{ ref(x) }}{% endmacro %}\n"
    "{% macro tags_of(x) %}{{ return(x ~ ',' ~ var('limit')) }}{# 0 #}{% endmacro %}",
    "README.md": "About 0",
    f"{HOUSE}/macros/house.sql": "{% macro at_home(x) %}{{ x }}{# 0 #}{% endmacro %}",
    f"{HOUSE}/models/housed.sql": "select {{ at_home('1') }} as id -- 0",
}
DOCUMENTS: dict[str, Document] = {
    "dbt_project.yml": {
        "name": "shop",
        "version": "1.0",
        "config-version": 2,
        "profile": "shop",
        "vars": {"flag": True, "by_name": "named", "limit": 10, "tools": {"scoped": 1}},
        "models": {"+meta": {"p": 0}, "shop": {"+tags": ["t0"], "staging": {"+materialized": "view"}, "marts": {"+schema": "marts"}}},
        "seeds": {"shop": {"+quote_columns": False}},
        "dispatch": [{"macro_namespace": "tools", "search_order": ["shop", "tools"]}],
        "on-run-start": ["select {{ named('1') }}"],
    },
    "models/staging/_staging.yml": {
        "models": [
            {
                "name": "stg_a",
                "description": "{{ doc('about') }} 0",
                "columns": [
                    {"name": "id", "description": "0", "TESTS": ["unique", {"odd": {"by": 3}}]},
                    {"name": "x", "TESTS": ["positive"]},
                ],
            },
            {"name": "stg_b", "description": "0", "columns": [{"name": "id", "TESTS": ["not_null"]}]},
            {"name": "stg_c", "config": {"meta": {"v": 0}}, "description": "{{ doc('shop', 'more') }}"},
        ]
    },
    "models/marts/_marts.yml": {
        "models": [
            {
                "name": "orders",
                "description": "0",
                "config": {"group": "finance"},
                "access": "public",
                "columns": [{"name": "id", "TESTS": [{"relationships": {"to": "ref('stg_b')", "field": "id"}}]}],
                "TESTS": [{"odd": {"column_name": "id", "config": {"severity": "warn"}}}],
            },
            {
                "name": "customers",
                "config": {"contract": {"enforced": True}},
                "columns": [{"name": "id", "data_type": "integer"}, {"name": "name", "data_type": "integer"}],
            },
            {"name": "dim", "latest_version": 2, "description": "0", "versions": [{"v": 1}, {"v": 2, "description": "0"}]},
        ]
    },
    "models/sources.yml": {
        "sources": [
            {
                "name": "raw",
                "schema": "{{ env_var('RAW') }}",
                "description": "0",
                "tables": [
                    {"name": "events", "description": "{{ doc('other') }}", "columns": [{"name": "id", "TESTS": ["not_null"]}]},
                    {"name": "other", "loaded_at_field": "at", "freshness": {"warn_after": {"count": 1, "period": "day"}}},
                ],
            }
        ]
    },
    "models/exposures.yml": {
        "exposures": [
            {"name": "shown", "type": "dashboard", "owner": {"email": "a@b.c"}, "depends_on": ["ref('orders')"], "description": "0"},
            {"name": "told", "type": "ml", "owner": {"name": "A"}, "depends_on": ["ref('customers')", "source('raw', 'other')"]},
        ]
    },
    "models/groups.yml": {"groups": [{"name": "finance", "owner": {"email": "a@b.c"}}, {"name": "sales", "owner": {"name": "0"}}]},
    "models/metrics.yml": {
        "semantic_models": [
            {
                "name": "ordered",
                "model": "ref('orders')",
                "description": "0",
                "defaults": {"agg_time_dimension": "at"},
                "entities": [{"name": "order", "type": "primary", "expr": "id"}],
                "dimensions": [{"name": "at", "type": "time", "type_params": {"time_granularity": "day"}}],
                "measures": [{"name": "total", "agg": "sum", "expr": "id"}, {"name": "most", "agg": "max", "expr": "id"}],
            }
        ],
        "metrics": [
            {"name": "total", "label": "0", "description": "0", "type": "simple", "type_params": {"measure": "total"}},
            {"name": "share", "label": "s", "type": "ratio", "type_params": {"numerator": "total", "denominator": "most_of"}},
            {"name": "most_of", "label": "m", "type": "simple", "type_params": {"measure": "most"}},
        ],
        "saved_queries": [{"name": "asked", "description": "0", "query_params": {"metrics": ["total"], "group_by": []}}],
    },
    "seeds/seeds.yml": {"seeds": [{"name": "numbers", "description": "0", "columns": [{"name": "id", "TESTS": ["unique"]}]}]},
    "snapshots/snapshots.yml": {"snapshots": [{"name": "snap", "description": "0"}]},
    "analyses/analyses.yml": {"analyses": [{"name": "look", "description": "0"}]},
    "macros/macros.yml": {
        "macros": [{"name": "named", "description": "0", "arguments": [{"name": "x", "type": "string", "description": "0"}]}]
    },
    f"{HOUSE}/dbt_project.yml": {"name": "house", "version": "1.0", "vars": {"inside": 0}, "models": {"house": {"+tags": ["h0"]}}},
    "packages.yml": {"packages": [{"package": "octo/tools", "version": "1.0.0"}, {"local": HOUSE}]},
}
SINCE_1_8: dict[str, Document] = {
    "models/unit_tests.yml": {
        "unit_tests": [
            {
                "name": "checks",
                "description": "0",
                "model": "int_b",
                "given": [{"input": "ref('stg_b')", "rows": [{"id": 1}]}],
                "expect": {"rows": [{"id": 1}]},
            }
        ]
    }
}
SINCE_1_9: dict[str, Document] = {
    "snapshots/new.yml": {
        "snapshots": [
            {
                "name": "in_yaml",
                "relation": "ref('stg_b')",
                "description": "0",
                "config": {"unique_key": "id", "strategy": "check", "check_cols": "all"},
            }
        ]
    }
}
PACKAGE: Texts = {
    f"{TOOLS}/macros/tool.sql": "{% macro tool(x) %}{{ x }} + {{ var('scoped', 0) }}{# 0 #}{% endmacro %}",
    f"{TOOLS}/macros/positive.sql": "{% test positive(model, column_name) %}"
    "select 1 from {{ model }} where {{ column_name }} < 0 -- 0\n{% endtest %}",
    f"{TOOLS}/models/shared.sql": "select {{ tool('0') }} as id -- 0",
    f"{TOOLS}/models/tools.md": "{% docs tools %}Tools 0{% enddocs %}",
    f"{TOOLS}/models/tools.yml": "models:\n- {name: shared, description: \"{{ doc('tools') }} 0\", columns: [{name: id}]}\n",
    f"{TOOLS}/dbt_project.yml": "name: tools\nversion: '1.0.0'\nrequire-dbt-version: '>=1.0.0'\n",
    "dbt_packages/house": f"-> ../{HOUSE}",
    "package-lock.yml": "packages:\n- {package: octo/tools, version: 1.0.0}\n",
}


@dataclass
class Project:
    """The files of a commit, and those of its packages. `minor`: dbt's minor version, such as 11."""

    minor: int
    texts: Texts = field(default_factory=lambda: dict(TEXTS))
    documents: dict[str, Document] = field(default_factory=lambda: copy.deepcopy(DOCUMENTS))
    package: Texts = field(default_factory=lambda: dict(PACKAGE))

    @classmethod
    def new(cls, minor: int) -> Project:
        """The project before all edits."""
        found = cls(minor)
        for since, documents in ((8, SINCE_1_8), (9, SINCE_1_9)):
            if minor >= since:
                found.documents |= copy.deepcopy(documents)
        return found

    def copied(self) -> Project:
        """The same, apart from later edits."""
        return Project(self.minor, dict(self.texts), copy.deepcopy(self.documents), dict(self.package))

    def files(self) -> Texts:
        """The files of the repository by path, as a commit has them. A text takes the place of entries."""
        return dict(sorted({**{path: self._yaml(document) for path, document in self.documents.items()}, **self.texts}.items()))

    def models(self) -> list[str]:
        """The paths of the project's models."""
        return sorted(path for path in self.texts if path.startswith("models/") and path.endswith((".sql", ".py")))

    def names(self) -> list[str]:
        """The names of the project's models."""
        return [name_of(path) for path in self.models()]

    def has_tests(self) -> bool:
        """Whether the two singular tests are still there."""
        return {"tests/single.sql", "tests/asleep.sql"} <= self.texts.keys()

    def replace(self, old: str, new: str) -> None:
        """Replace a text everywhere in the repository."""
        self.texts = {path: text.replace(old, new) for path, text in self.texts.items()}
        self.documents = {path: _replaced(document, old, new) for path, document in self.documents.items()}

    def entries(self, section: str) -> list[tuple[str, int]]:
        """The entries of a section of YAML: paths and positions."""
        found = [(path, document[section]) for path, document in sorted(self.documents.items()) if isinstance(document.get(section), list)]
        return [(path, number) for path, entries in found for number in range(len(entries))]

    def entry(self, section: str, place: tuple[str, int]) -> Document:
        """One of `entries`."""
        found: Document = self.documents[place[0]][section][place[1]]
        return found

    def _yaml(self, document: Document) -> str:
        text: str = yaml.safe_dump(_named(document, "data_tests" if self.minor >= 8 else "tests"), sort_keys=False, width=120)
        return text


def name_of(path: str) -> str:
    """The name of the node of a file."""
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, old, new) for inner in value]
    return value.replace(old, new) if isinstance(value, str) else value


def _named(value: Any, tests: str) -> Any:
    """With the word for tests that a version of dbt has."""
    if isinstance(value, dict):
        return {tests if key == "TESTS" else key: _named(inner, tests) for key, inner in value.items()}
    return [_named(inner, tests) for inner in value] if isinstance(value, list) else value
