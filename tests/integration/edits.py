"""A small dbt project and random edits of it: usual ones, and those that partial parsing is known to handle badly."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

Files = dict[str, str]

START: Files = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodels:\n  shop:\n    +tags: [t0]\n    +meta: {v: 0}\n"
    "vars:\n  flag: true\n",
    "dbt_packages/tools/dbt_project.yml": "name: tools\nversion: '1.0'\n",
    "dbt_packages/tools/macros/tool.sql": "{% macro tool() %}1{% endmacro %}",
    "dbt_packages/tools/models/shared.sql": "select 0 as id",
    "macros/named.sql": "{% macro named(x) %}{{ x }}{% endmacro %}\n{% macro asks() %}{{ env_var('IN_MACRO') }}{% endmacro %}",
    "macros/positive.sql": "{% test positive(model, column_name) %}select 1 from {{ model }} where {{ column_name }} < 0{% endtest %}",
    "models/a.sql": "select 1 as id from {{ source('raw', 'events') }}",
    "models/b.sql": "select id, {{ named('id') }} from {{ ref('a') }}",
    "models/c.sql": "select id from {{ ref('b') }} join {{ ref('shared') }} using (id)",
    "models/d.sql": "{{ config(materialized='table', tags=['x']) }} select id from {{ ref('c') }}, {{ ref('numbers') }}",
    "models/a.yml": "models:\n- name: a\n  description: \"{{ doc('about') }} 0\"\n  columns:\n  - {name: id, description: '0', "
    "data_tests: [unique, positive]}\n- name: b\n  description: '0'\n  columns:\n  - name: id\n    data_tests:\n"
    "    - relationships: {arguments: {to: ref('a'), field: id}}\n",
    "models/c.yml": "models:\n- name: c\n  config: {meta: {v: 0}}\n  description: '0'\nexposures:\n- {name: shown, type: dashboard, "
    "owner: {email: a@b.c}, depends_on: [ref('c')], description: '0'}\n",
    "models/sources.yml": "sources:\n- name: raw\n  schema: \"{{ env_var('RAW') }}\"\n  description: '0'\n"
    "  tables:\n  - {name: events, description: '0', columns: [{name: id, data_tests: [not_null]}]}\n  - {name: other}\n",
    "models/text.md": "{% docs about %}About 0{% enddocs %}",
    "seeds/numbers.csv": "id\n1\n",
    "seeds/seeds.yml": "seeds:\n- {name: numbers, description: '0', columns: [{name: id, data_tests: [unique]}]}\n",
    "snapshots/s.sql": "{% snapshot s %}{{ config(unique_key='id', strategy='check', check_cols='all', target_schema='s') }}"
    "select * from {{ ref('a') }} -- 0\n{% endsnapshot %}",
    "tests/single.sql": "select * from {{ ref('b') }} where id < 0",
    "analyses/look.sql": "select * from {{ ref('d') }}",
}

OPTIONS = [
    *("materialized='table'", "tags=['y']", "alias='other{}'", "enabled=false", "enabled=true", "access='public'", "group='g'"),
    *("meta={{'a': env_var('META')}}", "meta={{'a': var('flag')}}", "meta={{'a': env_var('ME' ~ 'TA')}}", "schema='other'"),
]


class Series:
    """A series of edits; `files` is the current project."""

    def __init__(self, seed: int) -> None:
        self.files = dict(START)
        self._before = dict(START)
        self._random = Random(seed)  # noqa: S311 - reproducible, not secret
        self._number = 0

    def edit(self) -> str:
        """Edit the project, and return a description."""
        self._number += 1
        self._before = dict(self.files)
        edits = [self._random.choice(EDITS) for _ in range(self._random.choice((1, 1, 1, 2, 3)))]
        for edit in edits:
            edit(self.files, self._random, self._number)
        return ", ".join(edit.__name__.strip("_") for edit in edits)

    def undo(self) -> None:
        """Undo the last edit."""
        self.files = self._before


def _pick(files: Files, random: Random, start: str, end: str) -> str | None:
    return random.choice(sorted(path for path in files if path.startswith(start) and path.endswith(end)) or [None])


def _change_sql(files: Files, random: Random, number: int) -> None:
    folder = random.choice(["models/", "models/", "models/", "snapshots/", "tests/", "analyses/", "dbt_packages/tools/models/"])
    if path := _pick(files, random, folder, ".sql"):
        text = files[path].replace("{% endsnapshot %}", "")
        files[path] = f"{text}\n-- {number}" + ("{% endsnapshot %}" if folder == "snapshots/" else "")


def _change_config(files: Files, random: Random, number: int) -> None:
    option = random.choice(OPTIONS).format(number)
    if path := _pick(files, random, "models/", ".sql"):
        # Replace an earlier one.
        files[path] = f"{{{{ config({option}) }}}} " + re.sub(r"^{{ config\(.*?\) }} ", "", files[path])


def _change_reference(files: Files, random: Random, _number: int) -> None:
    names = sorted(path[7:-4] for path in files if path.startswith("models/") and path.endswith(".sql"))
    if path := _pick(files, random, "models/", ".sql"):
        # Mostly refer to earlier names, so that there are few cycles.
        earlier = [name for name in names if name < path[7:-4]] or ["shared"]
        files[path] = f"select id from {{{{ ref('{random.choice(earlier)}') }}}}"  # noqa: S608


def _ask_for_value(files: Files, random: Random, _number: int) -> None:
    ask = random.choice(
        [
            "{{ env_var('REGION') }}",
            "{{ env_var('MORE') }}",
            "{{ asks() }}",
            "{{ var('none') }}",
            "{{ env_var('A' ~ 'B') }}",
            "{{ tool() }}",
        ]
    )
    if path := _pick(files, random, "models/", ".sql"):
        files[path] = f"{files[path]} -- {ask}"


def _stop_asking(files: Files, random: Random, _number: int) -> None:
    if path := _pick(files, random, "models/", ".sql"):
        files[path] = files[path].partition(" --")[0]


def _add_model(files: Files, random: Random, number: int) -> None:
    name = random.choice([f"m{number}", "shared", "a", "b", "c"])
    files[f"models/{name}.sql"] = f"select {number} as id from {{{{ ref('numbers') }}}}"  # noqa: S608
    if random.random() < 0.5:
        files[f"models/{name}_more.yml"] = (
            f"models:\n- name: m{number}\n  description: '0'\n  columns: [{{name: id, data_tests: [unique]}}]\n"
        )


def _delete_file(files: Files, random: Random, _number: int) -> None:
    if path := _pick(
        files, random, random.choice(["models/", "models/", "analyses/", "tests/", "seeds/", "macros/"]), random.choice([".sql", ".yml"])
    ):
        del files[path]


def _rename_model(files: Files, random: Random, number: int) -> None:
    if path := _pick(files, random, "models/", ".sql"):
        old, new = path[7:-4], f"n{number}"
        text = files.pop(path)
        files[f"models/{new}.sql"] = text
        for other in files:
            files[other] = files[other].replace(f"ref('{old}')", f"ref('{new}')").replace(f"- name: {old}\n", f"- name: {new}\n")


def _change_yaml(files: Files, random: Random, number: int) -> None:
    if path := _pick(files, random, random.choice(["models/", "models/", "seeds/"]), ".yml"):
        changes = [
            (f"description: '{random.choice(range(3))}'", f"description: '{number % 3}'"),
            ("data_tests: [unique]", "data_tests: [unique, not_null]"),
            ("data_tests: [unique, positive]", "data_tests: [unique]"),
            ("data_tests: [not_null]", "data_tests: [not_null, unique]"),
            ("description: '0'", "description: \"{{ doc('about') }} {{ env_var('TEXT') }}\""),
            ("meta: {v: 0}", f"meta: {{v: {number}}}"),
            ("config: {", "config: {enabled: false, "),
            ("enabled: false, ", ""),
            ("config: {", "access: public\n  config: {"),
            ("ref('c')]", "ref('b')]"),
            ("ref('b')]", "ref('c')]"),
            ("to: ref('a')", "to: ref('c')"),
            ("{name: other}", "{name: another}"),
            ("- name: b\n", "- name: zz\n"),
            ("- name: zz\n", "- name: b\n"),
        ]
        fitting = [change for change in changes if change[0] in files[path]]
        if fitting:
            files[path] = files[path].replace(*random.choice(fitting), 1)


def _add_yaml(files: Files, random: Random, number: int) -> None:
    texts = [
        "models:\n- {name: d, description: new}\n",
        f"exposures:\n- {{name: e{number}, type: dashboard, owner: {{email: a@b.c}}, depends_on: [ref('a')]}}\n",
        "groups:\n- {name: g, owner: {email: a@b.c}}\n",
        f"sources:\n- {{name: s{number}, tables: [{{name: t}}]}}\n",
        "unit_tests:\n- {name: u, model: b, given: [{input: ref('a'), rows: [{id: 1}]}], expect: {rows: [{id: 1}]}}\n",
        "macros:\n- {name: named, description: Names}\n",
    ]
    files[f"models/more{random.randrange(3)}.yml"] = random.choice(texts)


def _change_macro(files: Files, random: Random, number: int) -> None:
    path = _pick(files, random, random.choice(["macros/", "dbt_packages/tools/macros/"]), ".sql")
    if path:
        files[path] = files[path].replace("{{ x }}", f"{{{{ x }}}}{{# {number} #}}").replace("%}1{%", f"%}}1 + {number}{{%")


def _add_macro(files: Files, random: Random, number: int) -> None:
    name = random.choice(["generate_schema_name(custom, node=none)", "tool()", "default__test_unique(model, column_name)"])
    files["macros/extra.sql"] = f"{{% macro {name} %}}select {number}{{% endmacro %}}"


def _change_project(files: Files, random: Random, number: int) -> None:
    path = random.choice(["dbt_project.yml", "dbt_packages/tools/dbt_project.yml"])
    files[path] = files[path].replace("tags: [t", f"tags: [t{number}, t") + f"# {number}\n"


def _change_text(files: Files, _random: Random, number: int) -> None:
    files["models/text.md"] = f"{{% docs about %}}About {number}{{% enddocs %}}"


def _change_seed(files: Files, random: Random, number: int) -> None:
    if path := _pick(files, random, "seeds/", ".csv"):
        files[path] += f"{number}\n"


EDITS: list[Callable[[Files, Random, int], None]] = [
    *[_change_sql, _change_yaml] * 4,
    *[_change_config, _change_reference, _ask_for_value, _change_seed] * 2,
    *[_stop_asking, _add_model, _delete_file, _rename_model, _add_yaml, _change_macro, _add_macro, _change_project, _change_text],
]
