"""Generates dbt projects of any size for the benchmarks: the same arguments give the same bytes.

Proportions are those of typical public projects:

| what | how many |
|---|---|
| staging, intermediate, marts | 30 %, 40 %, 30 % of the models; at least one staging model |
| source tables | one per staging model, 20 per source |
| upstreams of a model | intermediate 1 to 3, marts 1 to 4, always of earlier models |
| columns | 6, and 0 to 6 more; each described in YAML |
| data tests | unique and not_null on every model, accepted_values on a third, relationships on a quarter |
| models that call a macro | half; three macros, one of which calls a macro of a package; one of 100 calls a fourth, and uses a doc block |
| packages | one, in the repository: `dbt deps` has something to do, without a network |
| seeds, exposures | one for each 50, one for each 25 models, at least one |
| schema files | one per folder, 20 models per folder |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal

Files = dict[str, str]
EditKind = Literal["sql", "yaml", "macro", "project", "nothing"]

FOLDER_MODELS = 20
_COLUMNS = ("id", "parent_id", "name", "status", "amount", "created_at")
_UPSTREAMS = {"staging": 0, "intermediate": 3, "marts": 4}
_MATERIALIZED = {"staging": "view", "intermediate": "view", "marts": "table"}
_PREFIX = {"staging": "stg", "intermediate": "int", "marts": "mart"}
_MACROS = {
    "rounded": "round(cast({{ value }} as numeric), 2)",
    "cleaned": "nullif(trim(lower({{ value }})), '')",
    "defaulted": "coalesce({{ value }}, {{ house_rules.nothing() }})",
}
_PACKAGE = {
    "packages.yml": "packages:\n  - local: packages/house_rules\n",
    "packages/house_rules/dbt_project.yml": 'name: house_rules\nversion: "1.0.0"\n',
    "packages/house_rules/macros/nothing.sql": "{% macro nothing() %}0{# revision 0 #}{% endmacro %}\n",
}
_RARE = {
    "macros/rarely.sql": "{% macro rarely(value) %}\n    {# revision 0 #}\n    {{ value }}\n{% endmacro %}\n",
    "models/docs.md": "{% docs key %}\nThe key, revision 0.\n{% enddocs %}\n",
}
"""What few models use: a macro, and a doc block."""
_PROJECT_YML = """\
name: generated
version: "1.0.0"
profile: generated
model-paths: ["models"]
seed-paths: ["seeds"]
macro-paths: ["macros"]
vars:
  revision: 0
models:
  generated:
    +meta: {revision: 0}
"""


@dataclass(frozen=True)
class Model:
    """One model to be written; `upstreams` are names of earlier models, none for staging."""

    name: str
    layer: str
    number: int
    upstreams: tuple[str, ...]
    measures: int
    calls_macro: bool
    seed: str | None
    tested: frozenset[str] = field(default_factory=frozenset)

    @property
    def group(self) -> int:
        return self.number // FOLDER_MODELS

    @property
    def is_special(self) -> bool:
        """Whether it is one of the few that use what few models use."""
        return self.number % 100 == 1

    @property
    def folder(self) -> str:
        return f"models/{self.layer}/group_{self.group:02d}"

    @property
    def columns(self) -> list[str]:
        return [*_COLUMNS, *(f"measure_{index}" for index in range(self.measures))]


def generate(models: int, seed: int = 0) -> Files:
    """A project of `models` models, path -> content, that dbt parses without a warning.

    It names no adapter; DuckDB's and PostgreSQL's both do.
    """
    if models < 1:
        raise ValueError("a project has at least one model")
    plan = list(_plan(models, Random(seed)))  # noqa: S311 - reproducible, not secret
    files = {"README.md": "revision 0\n", "dbt_project.yml": _PROJECT_YML + _materializations_yml(plan), **_PACKAGE, **_RARE}
    for name, body in _MACROS.items():
        files[f"macros/{name}.sql"] = f"{{% macro {name}(value) %}}\n    {{# revision 0 #}}\n    {body}\n{{% endmacro %}}\n"
    for number in range(_seed_count(models)):
        files[f"seeds/{_seed_name(number)}.csv"] = "id,label\n1,first\n2,second\n3,third\n"
    for model in plan:
        files[f"{model.folder}/{model.name}.sql"] = _model_sql(model)
    files |= _schema_files(plan)
    files["models/exposures.yml"] = _exposures_yml(plan)
    return files


def edit(files: Files, kind: EditKind, n: int = 1) -> Files:
    """The next revision of `n` files of one kind, only the changed ones: merge them to edit again.

    `sql` changes models, `yaml` schema files, `macro` macros (and with them the models that call these),
    `project` the one `dbt_project.yml`, `nothing` what dbt does not read. Fewer than `n` come back when there are no more of that kind.
    """
    belongs = {
        "sql": re.compile(r"models/.*\.sql"),
        "yaml": re.compile(r"models/.*/_models\.yml"),
        "macro": re.compile(r"macros/.*\.sql"),
        "project": re.compile(r"dbt_project\.yml"),
        "nothing": re.compile(r"README\.md"),
    }[kind]
    paths = sorted(path for path in files if belongs.fullmatch(path))
    # Spread over the project: neighbours would share a folder and a layer.
    chosen = [paths[index * len(paths) // n] for index in range(n)] if n < len(paths) else paths
    return {path: next_revision(files[path]) for path in chosen}


def next_revision(text: str) -> str:
    """A text with the next number of its revision."""
    return re.sub(r"\b(revision:? )(\d+)", lambda found: f"{found[1]}{int(found[2]) + 1}", text, count=1)


def _plan(models: int, random: Random) -> Iterator[Model]:
    marts = models * 3 // 10
    intermediate = models * 4 // 10
    layers = {"staging": models - marts - intermediate, "intermediate": intermediate, "marts": marts}
    seeds = _seed_count(models)
    earlier: list[str] = []
    for layer, count in layers.items():
        for number in range(count):
            upstreams = random.sample(earlier, min(len(earlier), random.randint(1, _UPSTREAMS[layer] or 1)))
            model = Model(
                name=f"{_PREFIX[layer]}_{number:04d}",
                layer=layer,
                number=number,
                upstreams=tuple(upstreams) if layer != "staging" else (),
                measures=random.randint(0, 6),
                calls_macro=random.random() < 0.5,
                seed=_seed_name(random.randrange(seeds)) if layer == "marts" and number % 10 == 0 else None,
                tested=frozenset(_extra_tests(random)),
            )
            yield model
            earlier.append(model.name)


def _extra_tests(random: Random) -> Iterator[str]:
    if random.random() < 1 / 3:
        yield "status"
    if random.random() < 1 / 4:
        yield "parent_id"


def _materializations_yml(plan: list[Model]) -> str:
    # Only for the layers that there are: dbt warns of a configuration that applies to nothing.
    layers = dict.fromkeys(model.layer for model in plan)
    return "".join(f"    {layer}:\n      +materialized: {_MATERIALIZED[layer]}\n" for layer in layers)


def _seed_count(models: int) -> int:
    return max(1, models // 50)


def _seed_name(number: int) -> str:
    return f"seed_{number:02d}"


def _model_sql(model: Model) -> str:
    """A base relation, one left join for each further upstream, and every column by name."""
    first, *others = model.upstreams or (None,)
    base = f"ref('{first}')" if first else f"source('app_{model.group:02d}', 'table_{model.number:04d}')"
    joined = [*others, *([model.seed] if model.seed else [])]
    lines = ["-- revision 0", "with base as (", f"    select * from {{{{ {base} }}}}", ")", "", "select"]  # noqa: S608
    lines.append(",\n".join(f"    {_expression(model, column)} as {column}" for column in model.columns))
    if model.is_special:
        lines[-1] += ",\n    {{ rarely('base.id') }} as rare"
    lines.append("from base")
    for index, name in enumerate(joined):
        lines.append(f"left join {{{{ ref('{name}') }}}} as other_{index} on other_{index}.id = base.id")
    return "\n".join(lines) + "\n"


def _expression(model: Model, column: str) -> str:
    if column.startswith("measure_"):
        return f"base.amount * {column.removeprefix('measure_')}"
    macro = {"amount": "rounded", "name": "cleaned", "parent_id": "defaulted"}.get(column)
    if macro and model.calls_macro:
        return f"{{{{ {macro}('base.{column}') }}}}"
    return f"base.{column}"


def _schema_files(plan: list[Model]) -> Files:
    folders: dict[str, list[Model]] = {}
    for model in plan:
        folders.setdefault(model.folder, []).append(model)
    files = {f"{folder}/_models.yml": _models_yml(members) for folder, members in folders.items()}
    for folder, members in folders.items():
        if members[0].layer == "staging":
            files[f"{folder}/_sources.yml"] = _sources_yml(members)
    return files


def _models_yml(models: list[Model]) -> str:
    lines = ["version: 2", "", "models:"]
    for model in models:
        lines += [f"  - name: {model.name}", f"    description: Model {model.name}, revision 0", "    columns:"]
        for column in model.columns:
            text = "\"{{ doc('key') }}\"" if column == "id" and model.is_special else f"The {column} of {model.name}"
            lines += [f"      - name: {column}", f"        description: {text}"]
            lines += _tests_yml(model, column)
    return "\n".join(lines) + "\n"


def _tests_yml(model: Model, column: str) -> list[str]:
    if column == "id":
        return ["        data_tests: [unique, not_null]"]
    if column not in model.tested:
        return []
    if column == "status":
        arguments = ["values: [open, closed, cancelled]"]
        test = "accepted_values"
    else:
        arguments = [f"to: ref('{(model.upstreams or ('seed_00',))[0]}')", "field: id"]
        test = "relationships"
    return [
        "        data_tests:",
        f"          - {test}:",
        "              arguments:",
        *(f"                {argument}" for argument in arguments),
    ]


def _sources_yml(models: list[Model]) -> str:
    group = models[0].group
    lines = ["version: 2", "", "sources:", f"  - name: app_{group:02d}", "    schema: app", "    tables:"]
    for model in models:
        lines += [f"      - name: table_{model.number:04d}", f"        description: What {model.name} reads"]
    return "\n".join(lines) + "\n"


def _exposures_yml(plan: list[Model]) -> str:
    lines = ["version: 2", "", "exposures:"]
    for number in range(max(1, len(plan) // 25)):
        lines += [
            f"  - name: report_{number:02d}",
            "    type: dashboard",
            "    owner:",
            "      name: Reports",
            "      email: reports@generated.example",
            "    depends_on:",
            # From the end: marts first, and staging models only where there is nothing else.
            *(f"      - ref('{plan[-1 - (number * 3 + step) % len(plan)].name}')" for step in range(2)),
        ]
    return "\n".join(lines) + "\n"
