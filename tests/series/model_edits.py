"""Edits of models."""

from __future__ import annotations

import re
from random import Random

from tests.series.project import Project, name_of

FOLDERS = ("models/staging", "models/between", "models/marts", "models/new")
CONFIGS = (
    *("materialized='table'", "materialized='ephemeral'", "tags=['y']", "alias='other{n}'", "schema='more'", "database='elsewhere'"),
    *("access='public'", "access='private', group='sales'", "group='finance'", "meta={{'a': env_var('META')}}", "meta={{'n': {n}}}"),
    *("meta={{'a': env_var('META', 'x')}}", "meta={{'a': var('flag')}}", "meta={{'a': env_var('ME' ~ 'TA')}}", "docs={{'show': false}}"),
    *("persist_docs={{'relation': true}}", "post_hook=[named('{n}')]", "pre_hook=\"select {{{{ outer('{n}') }}}}\"", "enabled=var('flag')"),
    *("contract={{'enforced': false}}", "grants={{'select': ['r{n}']}}", "deprecation_date='2030-01-01'", "group='missing'"),
)
ASKED = (
    *("{{ env_var('REGION') }}", "{{ env_var('REGION', 'us') }}", "{{ env_var('USER_NAME') }}", "{{ env_var('NEW') }}", "{{ asks() }}"),
    *("{{ var('none') }}", "{{ var('none', 1) }}", "{{ var('limit') }}", "{{ env_var('A' ~ 'B') }}", "{{ var('by' ~ '_name') }}"),
    *("{{ env_var('RAW') }}", "{{ target.schema }}", "{{ project_name }}", "{{ model.name }}", "{{ this }}", "{{ doc('about') }}"),
)
CALLED = (
    *("{{ named('1') }}", "{{ shop.named('1') }}", "{{ outer('1') }}", "{{ glued('1') }}", "{{ tool('1') }}", "{{ tools.tool('1') }}"),
    *("{{ at_home('1') }}", "{{ house.at_home('1') }}", "{{ context['outer']('1') }}", "{{ context['na' ~ 'med']('1') }}"),
    *("{{ context[var('by_name')]('1') }}", "{{ unused('1') }}", "{% set f = named %}{{ f('1') }}", "{{ generate_schema_name('x') }}"),
    *(
        "{{ tojson(graph.nodes | default({})) }}",
        "{% if execute %}{{ inner('1') }}{% endif %}",
        "{{ maybe_new('1') if maybe_new else '' }}",
    ),
    *(
        "{{ adapter.dispatch('glued', 'tools')('1') }}",
        "{{ dbt.concat(['1', '2']) }}",
        "{% do log('x') %}",
        "{{ later('1') if later else 0 }}",
    ),
)

DEPENDING = (
    *(
        "{{ config(alias=named('al')) }}",
        "{{ config(alias=outer('al')) }}",
        "{{ config(tags=[glued('t')]) }}",
        "{{ config(alias=tool('a')) }}",
    ),
    *("{{ config(meta={'m': at_home('1')}) }}", "{{ config(alias=context['na' ~ 'med']('z')) }}", "{{ config(alias=model.name ~ '_x') }}"),
    *("{{ config(meta={'m': context[var('by_name')]('z')}) }}", "{{ config(tags=[var('limit') | string]) }}", "{{ ref(named('stg_a')) }}"),
    *(
        "{{ config(meta={'p': model.path, 't': model.tags}) }}",
        "{{ config(meta={'c': config.get('materialized'), 'm': config.get('meta')}) }}",
    ),
    *("{{ config(meta={'h': 'unused' in context, 'l': later is defined}) }}", "{{ config(meta={'v': var.has_var('none')}) }}"),
    *("{{ config(schema=env_var('STAGE', 's')) }}", "{{ config(meta={'e': env_var('USER_NAME')}) }}", "{{ refers('stg_b') }}"),
    *("{{ config(meta={'g': graph.nodes | default({}) | length}) }}", "{{ config(meta={'i': this.identifier, 's': this.schema}) }}"),
    *("{{ config(meta={'s': target.schema, 'p': project_name}) }}", "{% for m in ['stg_a', 'int_d'] %}{{ ref(m) }}{% endfor %}"),
    *("{% if var('flag') %}{{ ref('stg_a') }}{% else %}{{ ref('stg_b') }}{% endif %}", "{{ config(meta={'r': ref('stg_a') | string}) }}"),
    *("{% if later is defined %}{{ ref('stg_c') }}{% endif %}", "{% if env_var('STAGE', 'dev') == 'dev' %}{{ ref('stg_b') }}{% endif %}"),
    *("{{ config(meta={'f': model.fqn, 'a': adapter.type()}) }}", "{{ config(alias=modules.re.sub('a', 'b', model.name)) }}"),
    *("{{ config(meta={'k': (model.config.meta or {}) | length}) }}", "{{ config(tags=tags_of('x').split(',')) }}"),
    *("{% set x = namespace(n=0) %}{% for i in range(var('limit', 3)) %}{% set x.n = i %}{% endfor %}{{ config(meta={'n': x.n}) }}",),
    *("{{ config(meta={'b': builtins.var('limit', 1), 'd': dbt_version}) }}", "{% call refers('stg_a') %}{% endcall %}"),
    *(
        "{{ config(meta={'s': shop.named('1'), 't': tools.tool('1')}) }}",
        "{% set f = context.get('later', named) %}{{ config(alias=f('q')) }}",
    ),
    *(
        "{{ config(meta={'u': model.unique_id, 'o': model.original_file_path}) }}",
        "{{ config(meta={'k': context.keys() | list | length}) }}",
    ),
)
"""What makes the configuration or the references of a model depend on something else."""


def pick(random: Random, project: Project, start: str, end: str = ".sql") -> str | None:
    return random.choice(sorted(path for path in project.texts if path.startswith(start) and path.endswith(end)) or [None])


def _next(text: str, number: int) -> str:
    """Another revision: the texts of the project end in one."""
    return re.sub(r"(-- |# |\{# |About |More |Other )(\d+)", lambda found: f"{found[1]}{number}", text)


def changed(project: Project, path: str | None, number: int) -> str | None:
    if path is None:
        return None
    project.texts[path] = _next(project.texts[path], number)
    return path


def model_edit(project: Project, random: Random, number: int) -> str | None:
    return changed(project, random.choice(project.models() or [None]), number)


def model_white_space(project: Project, random: Random, _number: int) -> str | None:
    if path := pick(random, project, "models/"):
        project.texts[path] += random.choice([" ", "\n", "\r\n"])
    return path


def model_add(project: Project, random: Random, number: int) -> str | None:
    path = f"{random.choice(FOLDERS)}/m{number}.sql"
    project.texts[path] = f"select {number} as id from {{{{ ref('{random.choice(project.names() or ['shared'])}') }}}} -- 0"
    return path


def model_add_named(project: Project, random: Random, number: int) -> str | None:
    """A model of a name that something may mention already, or that a package has."""
    names = ["shared", "housed", "missing", "later", "stg_a", "dim", "numbers", *(f"m{n}" for n in range(max(0, number - 9), number))]
    name = random.choice([name for name in names if name not in project.names()] or ["rare"])
    path = f"{random.choice(FOLDERS)}/{name}.sql"
    project.texts[path] = f"select {number} as id -- 0"
    return path


def model_delete(project: Project, random: Random, _number: int) -> str | None:
    """Mostly one that nobody mentions."""
    everything = "\n".join(project.files().values())
    alone = [path for path in project.models() if f"'{name_of(path)}'" not in everything and f"name: {name_of(path)}\n" not in everything]
    path = random.choice((alone if random.random() < 0.8 else project.models()) or [None])
    if path is not None:
        del project.texts[path]
    return path


def model_rename(project: Project, random: Random, number: int) -> str | None:
    """With all that mention it, or without."""
    path = pick(random, project, "models/")
    if path is None:
        return None
    old, new = name_of(path), f"n{number}"
    project.texts[f"{path.rsplit('/', 1)[0]}/{new}.sql"] = project.texts.pop(path)
    if random.random() < 0.85:
        project.replace(f"'{old}'", f"'{new}'")
        for section in ("models", "unit_tests"):
            for place in project.entries(section):
                entry = project.entry(section, place)
                entry.update({key: new for key in ("name", "model") if entry.get(key) == old})
    return f"{path} to {new}"


def model_move(project: Project, random: Random, _number: int) -> str | None:
    path = pick(random, project, "models/")
    if path is None:
        return None
    target = f"{random.choice(FOLDERS)}/{path.rsplit('/', 1)[-1]}"
    project.texts[target] = project.texts.pop(path)
    return f"{path} to {target}"


def model_switch(project: Project, random: Random, _number: int) -> str | None:
    """Disable or enable one."""
    path = pick(random, project, "models/")
    if path is None:
        return None
    text = project.texts[path]
    off = "{{ config(enabled=false) }} "
    project.texts[path] = text.replace(off, "") if off in text else off + text
    return path


def model_config(project: Project, random: Random, number: int) -> str | None:
    path = pick(random, project, "models/")
    if path is None:
        return None
    option = random.choice(CONFIGS).format(n=number)
    project.texts[path] = f"{{{{ config({option}) }}}} " + re.sub(r"^\{\{ config\([^\n]*?\) \}\} ", "", project.texts[path])
    return f"{path}: {option}"


def model_ref(project: Project, random: Random, _number: int) -> str | None:
    path = pick(random, project, "models/")
    if path is None:
        return None
    name = random.choice([*project.names(), "shared", "housed", "numbers", "snap", "later"])
    form = random.choice(
        ["ref('{}')", "ref('{}')", "ref('shop', '{}')", "ref('dim', v=1)", "ref('dim', version=2)", "source('raw', 'events')"]
    )
    more = random.choice(["", "", "{% if false %}", "{# "])
    end = {"": "", "{% if false %}": "{% endif %}", "{# ": " #}"}[more]
    mention = f"{more}{{{{ {form.format(name)} }}}}{end}"
    project.texts[path] = f"{_without_mentions(project.texts[path])} /* {mention} */"
    return f"{path}: {mention}"


def _without_mentions(text: str) -> str:
    return text.partition(" /* ")[0]


def model_ask(project: Project, random: Random, _number: int) -> str | None:
    """For a value."""
    return _mention(project, random, random.choice(ASKED))


def model_call(project: Project, random: Random, _number: int) -> str | None:
    """A macro."""
    return _mention(project, random, random.choice(CALLED))


def model_depend(project: Project, random: Random, _number: int) -> str | None:
    """On macros, variables, or anything else that is known while it is rendered."""
    return _mention(project, random, random.choice(DEPENDING))


def _mention(project: Project, random: Random, text: str) -> str | None:
    path = pick(random, project, random.choice(["models/", "models/", "models/", "analyses/", "tests/", "snapshots/"]))
    if path is None:
        return None
    before = project.texts[path]
    end = "{% endsnapshot %}" if "{% endsnapshot %}" in before else "{% endtest %}" if "{% endtest %}" in before else ""
    project.texts[path] = f"{_without_mentions(before.replace(end, '') if end else before)} /* {text} */{end}"
    return f"{path}: {text}"


def model_forget(project: Project, random: Random, _number: int) -> str | None:
    """What was added by the edits before."""
    path = random.choice([path for path in project.models() if " /* " in project.texts[path]] or [None])
    if path is not None:
        project.texts[path] = _without_mentions(project.texts[path])
    return path
