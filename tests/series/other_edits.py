"""Edits of macros, of `dbt_project.yml`, of packages; broken pushes."""

from __future__ import annotations

import re
from random import Random

from tests.series.project import HOUSE, TOOLS, Project

BUILT_IN = {
    "generate_schema_name": "{% macro generate_schema_name(custom_schema_name, node=none) %}"
    "{{ target.schema }}{% if custom_schema_name %}_{{ custom_schema_name }}{% endif %}ASK{# 0 #}{% endmacro %}",
    "generate_alias_name": "{% macro generate_alias_name(custom_alias_name=none, node=none) %}"
    "{{ custom_alias_name or node.name }}{{ named('_x') }}ASK{# 0 #}{% endmacro %}",
    "generate_database_name": "{% macro generate_database_name(custom_database_name=none, node=none) %}"
    "{{ target.database }}ASK{# 0 #}{% endmacro %}",
    "ref": "{% macro ref() %}{{ return(builtins.ref(*varargs, **kwargs)) }}{# 0 #}{% endmacro %}",
    "source": "{% macro source(a, b) %}{{ return(builtins.source(a, b)) }}{# 0 #}{% endmacro %}",
    "default__test_unique": "{% macro default__test_unique(model, column_name) %}select 0 from {{ model }}{# 0 #}{% endmacro %}",
    "test_unique": "{% test unique(model, column_name) %}select 0 from {{ model }} -- 0\n{% endtest %}",
    "default__generate_schema_name": "{% macro default__generate_schema_name(custom_schema_name, node) %}d{# 0 #}{% endmacro %}",
    "is_incremental": "{% macro is_incremental() %}{{ return(false) }}{# 0 #}{% endmacro %}",
}
ASKS = (
    *("", "", "{% if env_var('USER_NAME') %}{% endif %}", "{% if env_var('STAGE', 'dev') == 'dev' %}_dev{% endif %}"),
    *("{% if var('flag') %}_f{% endif %}", "{% if var('missing', none) %}_f{% endif %}", "{{ node.resource_type if node else '' }}"),
    *(
        "{{ node.tags | join('_') if node else '' }}",
        "{{ node.fqn | length if node else '' }}",
        "{{ later('q') if later is defined else '' }}",
    ),
    *("{{ (node.config.meta or {}) | length if node else '' }}", "{{ node.original_file_path.split('/') | first if node else '' }}"),
    *("{{ node.name if node and node.package_name == 'tools' else '' }}", "{{ node.config.get('group') or '' if node else '' }}"),
    *("{{ tools.tool('1') }}", "{{ model.name if model else '' }}", "{{ outer('o') }}", "{{ node.config.materialized if node else '' }}"),
)
"""What a macro of dbt's asks, in the project's own version."""
NEW = (
    "{% macro later(x) %}{{ x }}{# 0 #}{% endmacro %}",
    "{% macro maybe_new(x) %}{{ x }}{# 0 #}{% endmacro %}",
    "{% test later_test(model, column_name) %}select * from {{ model }} -- 0\n{% endtest %}",
    "{% macro shop__glued(x) %}{{ x }} || 's'{# 0 #}{% endmacro %}",
    "{% macro duckdb__glued(x) %}{{ x }} || 'k'{# 0 #}{% endmacro %}",
    "{% macro tool(x) %}{{ x }} + 100{# 0 #}{% endmacro %}",
    "{% macro at_home(x) %}{{ x }} + 200{# 0 #}{% endmacro %}",
    "{% macro inner(x) %}{{ x }} + 300{# 0 #}{% endmacro %}",
    "{% macro default__positive(model, column_name) %}select 1{# 0 #}{% endmacro %}",
    "{% materialization special, default %}{{ return({'relations': []}) }}{# 0 #}{% endmaterialization %}",
)


def _macro_files(project: Project) -> list[str]:
    return sorted(path for path in project.texts if path.startswith(("macros/", "tests/generic/")))


def macro_edit(project: Project, random: Random, number: int) -> str | None:
    """So that what it renders to changes, or does not."""
    path = random.choice(_macro_files(project) or [None])
    if path is None:
        return None
    text = project.texts[path]
    changed = [
        re.sub(r"\{# \d+ #\}|-- \d+", lambda found: f"{{# {number} #}}" if found[0].startswith("{") else f"-- {number}", text),
        re.sub(r"\{\{ x \}\}( \+ \d+)?", f"{{{{ x }}}} + {number}", text, count=1),
        re.sub(r"ref\(.*?\)", random.choice(["ref(x)", "ref('stg_c')", "source('raw', 'other')"]), text, count=1),
        text.replace("x ~ ','", f"'x{number},'"),
        text + "\n",
    ]
    project.texts[path] = random.choice(changed)
    return path


def macro_calls(project: Project, random: Random, _number: int) -> str | None:
    """A macro calls another one, or asks for something."""
    path = random.choice([path for path in _macro_files(project) if "{{ x }}" in project.texts[path]] or [None])
    if path is None:
        return None
    call = random.choice(["{{ unused('0') }}", "{{ tool('0') }}", "{{ env_var('IN_MACRO') }}", "{{ env_var('REGION', 'm') }}",
                          "{{ var('limit') }}",
                          "{{ ref('stg_a') }}", "{{ context['unused']('0') }}", "{{ var('none', 0) }}", "{{ this }}", "{{ model.name }}",
                          "{% if execute %}{{ named('1') }}{% endif %}", "{{ later('1') if later else 0 }}"])  # fmt: skip
    project.texts[path] = re.sub(r"\{\{ x \}\}(\{\{.*?\}\}|\{%.*?%\})*", lambda _: "{{ x }}" + call, project.texts[path], count=1)
    return f"{path}: {call}"


def macro_add(project: Project, random: Random, number: int) -> str | None:
    text = random.choice([*NEW, f"{{% macro m{number}(x) %}}{{{{ x }}}}{{# 0 #}}{{% endmacro %}}"])
    path = random.choice(
        [f"macros/more{random.randrange(4)}.sql", f"macros/new{number}.sql", "macros/unused.sql", "tests/generic/more.sql"]
    )
    project.texts[path] = project.texts.get(path, "") + text
    return f"{path}: {text[:40]}"


def macro_override(project: Project, random: Random, _number: int) -> str | None:
    """One of dbt's own."""
    name = random.choice([*BUILT_IN])
    ask = random.choice(ASKS)
    project.texts[f"macros/built_in/{name}.sql"] = BUILT_IN[name].replace("ASK", ask)
    return f"{name} {ask}"


def macro_delete(project: Project, random: Random, _number: int) -> str | None:
    path = random.choice(
        [path for path in _macro_files(project) if "built_in" in path or "more" in path or "new" in path] or _macro_files(project) or [None]
    )
    if path is not None:
        del project.texts[path]
    return path


def macro_move(project: Project, random: Random, number: int) -> str | None:
    path = random.choice(_macro_files(project) or [None])
    if path is None:
        return None
    text = project.texts.pop(path)
    target = random.choice([f"macros/moved{number}.sql", *[other for other in _macro_files(project) if other != path]])
    project.texts[target] = project.texts.get(target, "") + text
    return f"{path} to {target}"


def project_vars(project: Project, random: Random, number: int) -> str | None:
    values = project.documents["dbt_project.yml"].setdefault("vars", {})
    name, value = random.choice([
        ("limit", number), ("flag", random.choice([True, False])), ("by_name", random.choice(["named", "outer", "unused"])),
        ("tools", {"scoped": number}),
        (f"v{number}", 1), ("none", number), ("shop", {"limit": number}), ("missing", "here"), ("house", {"inside": number}),
    ])  # fmt: skip
    if name in values and random.random() < 0.2 and name not in {"by_name", "limit", "flag"}:
        del values[name]
    else:
        values[name] = value
    return f"{name}: {value}"


def project_config(project: Project, random: Random, number: int) -> str | None:
    """Configuration of nodes by folder."""
    document = project.documents["dbt_project.yml"]
    tests = "data_tests" if project.minor >= 8 else "tests"
    section, value = random.choice([
        ("models", {"shop": {"staging": {"+materialized": random.choice(["view", "table", "ephemeral"])}}}),
        ("models", {"shop": {"+tags": [f"t{number}"], "marts": {"+schema": f"s{number}", "+meta": {"n": number}}}}),
        ("models", {"+meta": {"p": number}, "shop": {"between": {"+enabled": True, "int_b": {"+alias": f"a{number}"}}}}),
        ("models", {"tools": {"+enabled": random.choice([True, True, False])}, "house": {"+schema": "home"}}),
        ("models", {"shop": {"marts": {"+pre-hook": f"select {{{{ named('{number}') }}}}", "+group": "finance"}}}),
        ("models", {"shop": {"marts": {"+database": "{{ env_var('REGION', 'x') }}"}}}),
        ("models", {"shop": {"new": {"+enabled": random.choice([True, False])}}}),
        (tests, {"+severity": random.choice(["warn", "error"]), "shop": {"+tags": [f"t{number}"]}}),
        (tests, {"shop": {"+enabled": random.choice([True, True, False])}}),
        ("seeds", {"shop": {"codes": {"+schema": f"s{number}", "+enabled": True}}}),
        ("snapshots", {"shop": {"+target_schema": f"s{number}", "+tags": ["s"]}}),
        ("sources", {"shop": {"raw": {"other": {"+enabled": random.choice([True, True, False])}}}}),
        ("exposures", {"+enabled": random.choice([True, True, False])}),
        ("metrics", {"shop": {"+meta": {"n": number}}}),
    ])  # fmt: skip
    document[section] = value
    return f"{section}: {value}"


def project_other(project: Project, random: Random, number: int) -> str | None:
    document = project.documents["dbt_project.yml"]
    key, value = random.choice([
        ("version", f"1.{number}"), ("on-run-start", [f"select {{{{ named('{number}') }}}}"]), ("on-run-end", f"select {number}"),
        ("on-run-end", ["{{ asks() }}"]), ("quoting", {"identifier": random.choice([True, False])}), ("flags", {"use_colors": False}),
        ("dispatch", [{"macro_namespace": "shop", "search_order": random.choice([["tools", "shop"], ["shop"], ["shop", "dbt"]])}]),
        ("dispatch", []), ("analysis-paths", random.choice([["analyses"], ["analyses", "tests/deeper"], []])),
        ("model-paths", random.choice([["models"], ["models", "more_models"]])), ("macro-paths", ["macros"]),
        ("clean-targets", [f"t{number}"]),
        ("test-paths", random.choice([["tests"], ["tests"], []])), ("seed-paths", random.choice([["seeds"], ["seeds/codes"]])),
        ("docs-paths", random.choice([["models"], ["models", "analyses"]])), ("packages-install-path", "dbt_packages"),
        ("query-comment", f"c{number}"), ("restrict-access", random.choice([True, False])), ("require-dbt-version", ">=1.0.0"),
    ])  # fmt: skip
    document[key] = value
    return f"{key}: {value}"


def project_flags(project: Project, random: Random, _number: int) -> str | None:
    """Flags that change what dbt makes of a project."""
    flags = project.documents["dbt_project.yml"].setdefault("flags", {})
    name = random.choice(["require_generic_test_arguments_property", "require_unique_project_resource_names", "validate_macro_args",
                          "state_modified_compare_more_unrendered_values",
                          "require_explicit_package_overrides_for_builtin_materializations",
                          "static_parser", "use_experimental_parser", "warn_error",
                          "require_yaml_configuration_for_mf_time_spines"])  # fmt: skip
    flags[name] = not flags.get(name, False)
    return f"{name}: {flags[name]}"


def project_white_space(project: Project, random: Random, number: int) -> str | None:
    document = project.documents["dbt_project.yml"]
    items = [*document.items()]
    random.shuffle(items)
    project.documents["dbt_project.yml"] = dict(items)
    del number
    return "its keys in another order"


def package_edit(project: Project, random: Random, number: int) -> str | None:
    """Without another version, as from a branch."""
    path = random.choice([path for path in sorted(project.package) if path.startswith(TOOLS)])
    project.package[path] = re.sub(r"(-- |\{# |Tools |\) \}\} )\d+", lambda found: f"{found[1]}{number}", project.package[path])
    return path


def package_bump(project: Project, random: Random, number: int) -> str | None:
    """Another version, with some changes."""
    version = f"1.{number}.0"
    project.documents["packages.yml"]["packages"][0]["version"] = version
    project.package["package-lock.yml"] = f"packages:\n- {{package: octo/tools, version: {version}}}\n"
    project.package[f"{TOOLS}/dbt_project.yml"] = f"name: tools\nversion: '{version}'\n" + random.choice(["", "", "vars: {scoped: 5}\n"])
    for _ in range(random.choice([0, 0, 1, 2])):
        random.choice([package_edit, package_change])(project, random, number)
    return version


def package_change(project: Project, random: Random, number: int) -> str | None:
    """A file of the package comes, goes or has another content."""
    path, text = random.choice([
        (f"{TOOLS}/macros/extra.sql", f"{{% macro later(x) %}}{{{{ x }}}}{{# {number} #}}{{% endmacro %}}"),
        (f"{TOOLS}/macros/glued.sql", "{% macro tools__glued(x) %}1{% endmacro %}{% macro default__glued(x) %}2{% endmacro %}"),
        (f"{TOOLS}/macros/generate_schema_name.sql", "{% macro generate_schema_name(custom_schema_name, node) %}tools{% endmacro %}"),
        (f"{TOOLS}/models/extra.sql", "select {{ tool('1') }} as id, '{{ env_var('USER_NAME') }}' as u -- 0"),
        (f"{TOOLS}/models/extra.yml", "models:\n- {name: extra, description: '0', columns: [{name: id, tests: [unique]}]}\n"),
        (f"{TOOLS}/models/more.md", "{% docs later_doc %}From tools{% enddocs %}"),
        (f"{TOOLS}/seeds/given.csv", "id\n1\n"),
    ])  # fmt: skip
    if project.package.get(path) == text or (path in project.package and random.random() < 0.5):
        del project.package[path]
    else:
        project.package[path] = text
    return path


def local_package(project: Project, random: Random, number: int) -> str | None:
    """The package in the repository."""
    document = project.documents[f"{HOUSE}/dbt_project.yml"]
    what = random.choice(["version", "vars", "models", "macro", "model", "add"])
    if what == "macro":
        project.texts[f"{HOUSE}/macros/house.sql"] = f"{{% macro at_home(x) %}}{{{{ x }}}} + {number}{{# 0 #}}{{% endmacro %}}"
    elif what == "model":
        project.texts[f"{HOUSE}/models/housed.sql"] = f"select {{{{ at_home('1') }}}} as id -- {number}"
    elif what == "add":
        project.texts[f"{HOUSE}/models/h{number}.sql"] = "select * from {{ ref('housed') }} -- 0"
    else:
        document[what] = {"version": f"1.{number}", "vars": {"inside": number}, "models": {"house": {"+tags": [f"h{number}"]}}}[what]
    return what


def nothing_read(project: Project, _random: Random, number: int) -> str | None:
    project.texts["README.md"] = f"About {number}"
    return "README.md"


def broken(project: Project, random: Random, number: int) -> str | None:
    """What dbt refuses; also what it does not, although it looks like that."""
    path, text = random.choice([
        ("models/broken.sql", "select {{ ref('stg_a' }}"),
        ("models/broken.sql", "select * from {{ ref('nowhere') }}"),
        ("models/broken.sql", "select * from {{ source('raw', 'nowhere') }}"),
        ("models/broken.sql", "{{ no_such_macro() }}"),
        ("models/broken.sql", "{{ exceptions.raise_compiler_error('stop') }}"),
        ("models/broken.sql", "{% if true %}"),
        ("models/broken.sql", "select * from {{ ref('off') }}"),
        ("models/broken.yml", "models: [unclosed\n"),
        ("models/broken.yml", "models:\n- {name: stg_a}\n"),
        ("models/broken.yml", "models:\n- {description: nameless}\n"),
        ("models/broken.yml", "models:\n- {name: x, description: \"{{ doc('nowhere') }}\"}\n"),
        ("models/broken.yml", "sources:\n- {name: raw, tables: [{name: events}]}\n"),
        ("models/broken.yml", "exposures:\n- {name: e, type: dashboard, owner: {email: a@b.c}, depends_on: [ref('nowhere')]}\n"),
        ("models/broken.yml", "models:\n- {name: customers2, columns: [{name: id, tests: [no_such_test]}]}\n"),
        ("models/deep/stg_a.sql", "select 1"),
        ("macros/broken.sql", "{% macro broken() %}"),
        ("macros/broken.sql", "{% macro named(x) %}twice{% endmacro %}"),
        ("models/broken.md", "{% docs about %}twice{% enddocs %}"),
        ("seeds/broken.csv", ""),
        ("snapshots/broken.sql", "select 1"),
        ("snapshots/broken.sql", f"{{% snapshot s{number} %}}select 1{{% endsnapshot %}}"),
        ("tests/stg_a.sql", "select * from {{ ref('stg_a') }}"),
        ("dbt_project.yml", "name: [shop\n"),
        (f"models/circle{number}.sql", f"select * from {{{{ ref('circle{number}') }}}}"),
    ])  # fmt: skip
    project.texts[path] = text
    return f"{path}: {text}"
