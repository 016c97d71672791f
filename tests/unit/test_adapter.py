from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.project import adapter_choice as adapter_module
from app.project import layout
from app.project.adapter_choice import AdapterChoice
from app.project.checkout import Entry, check_out
from app.project.repository_settings import ProjectSettings, RepositorySettings

PROJECT = {"t/dbt_project.yml": "name: a\nprofile: shop\n"}


def infer(
    files: dict[str, str], project_settings: ProjectSettings | None = None, profile: str | None = "shop", project_dir: str = "t"
) -> AdapterChoice:
    texts = {path: text.encode() for path, text in (PROJECT | files).items()}
    return adapter_module.infer(project_dir, profile, texts, project_settings or ProjectSettings())


def profiles(name: str = "shop", target: str | None = None, **outputs: str) -> str:
    lines = [f"{name}:", *([f"  target: {target}"] if target else []), "  outputs:"]
    return "\n".join([*lines, *(f"    {key}: {{type: {adapter}, password: secret}}" for key, adapter in outputs.items())])


def test_the_profile_beside_the_project_comes_first() -> None:
    found = infer(
        {
            "t/profiles.yml": profiles(target="prod", dev="duckdb", prod="postgres"),
            "profiles.yml": profiles(target="dev", dev="snowflake"),
            "requirements.txt": "dbt-bigquery",
        }
    )
    assert found == AdapterChoice("postgres", "prod", "the profile `shop` in `t/profiles.yml`")


@pytest.mark.parametrize(
    "path",
    [
        *("profiles.yml", "t/profiles.yml.example", "profiles.example.yml", "sample.profiles.yml", "ci/profiles.yml", ".dbt/profiles.yml"),
        *("profiles/dev/profiles.yml", "t/profile/profiles.yml", "t/profiles.yml.j2", "tests/profiles.yml", "t/profiles_template.yaml"),
    ],
)
def test_the_named_profile_is_found_in_any_directory(path: str) -> None:
    found = infer({path: profiles(dev="trino"), "a/profiles.yml": profiles(name="other", dev="mysql"), "requirements.txt": "dbt-bigquery"})
    assert (found.adapter_type, found.target) == ("trino", "dev")
    assert f"`{path}`" in found.evidence


@pytest.mark.parametrize(
    ("text", "adapter", "target"),
    [
        (profiles(target="ci", dev="duckdb", ci="postgres"), "postgres", "ci"),
        (profiles(target="gone", dev="duckdb", ci="postgres"), "duckdb", "dev"),
        (profiles(ci="postgres", default="redshift"), "redshift", "default"),
        (profiles(ci="postgres"), "postgres", "ci"),
        (profiles(target="\"{{ env_var('DBT_TARGET', 'ci') }}\"", dev="duckdb", ci="postgres"), "postgres", "ci"),
        (profiles(target='"{{ env_var("DBT_TARGET") }}"', dev="duckdb", ci="postgres"), "duckdb", "dev"),
        (profiles(dev="\"{{ env_var('ADAPTER', 'bigquery') }}\""), "bigquery", "dev"),
        ("shop:\n  target: {{ env_var('T', 'ci') }}\n  outputs:\n    ci:\n      type: {{ env_var('A', 'trino') }}\n", "trino", "ci"),
        (
            "{% set x = 1 %}\nshop:\n  target: dev\n  outputs:\n    dev:\n      type: clickhouse\n      schema: {{ name }}\n",
            "clickhouse",
            "dev",
        ),
        ("shop: {outputs: {dev: &d {type: PostgreSQL}, prod: {<<: *d}}, target: prod}", "postgres", "prod"),
        ("shop: {outputs: {dev: {type: databricks-sql}}}", "databricks", "dev"),
        ("shop: {outputs: {dev: {type: brand_new_warehouse}}}", "brand_new_warehouse", "dev"),
    ],
)
def test_the_adapter_is_that_of_the_targets_output(text: str, adapter: str, target: str) -> None:
    found = infer({"t/profiles.yml": text})
    assert (found.adapter_type, found.target) == (adapter, target)


@pytest.mark.parametrize(
    ("text", "guessed"),
    [
        (profiles(target="\"{{ env_var('DBT_TARGET') }}\"", ci="postgres", prod="postgres"), True),
        (profiles(target="\"{{ env_var('DBT_TARGET') }}\"", ci="postgres", default="postgres"), True),
        (profiles(target="gone", ci="postgres", prod="postgres"), True),
        (profiles(ci="postgres", prod="postgres"), True),
        (profiles(ci="postgres", default="postgres"), False),
        (profiles(target="\"{{ env_var('DBT_TARGET') }}\"", ci="postgres"), False),
        (profiles(target="\"{{ env_var('DBT_TARGET', 'prod') }}\"", ci="postgres", prod="postgres"), False),
        (profiles(target="prod", ci="postgres", prod="postgres"), False),
    ],
)
def test_a_target_that_is_a_guess_is_said_to_be_one(text: str, guessed: bool) -> None:  # noqa: FBT001 - a parameter
    assert ("is a guess (`target:` in `.github/freshet.yml` sets it)" in infer({"profiles.yml": text}).evidence) == guessed
    assert "a guess" not in infer({"profiles.yml": text}, ProjectSettings(target="ci")).evidence


def test_a_target_that_its_profile_does_not_have_is_said_to_be_missing() -> None:
    text = "shop:\n  target: dev\n  outputs:\n    prod: {type: postgres}\n"
    assert "but the target `dev` is no output of the profile" in infer({"profiles.yml": text}).evidence


def test_a_profile_file_with_one_adapter_counts_under_any_profile_name() -> None:
    found = infer({"profiles.yml": profiles(name="x", target="qa", qa="redshift"), "requirements.txt": "dbt-snowflake"})
    assert (found.adapter_type, found.target) == ("redshift", "qa")
    several = infer({"profiles.yml": profiles(name="x", dev="redshift", ci="snowflake"), "requirements.txt": "dbt-snowflake"})
    assert several.evidence == "`dbt-snowflake` in `requirements.txt`"
    elsewhere = infer({"docker/profiles.yml": profiles(name="x", dev="redshift"), "requirements.txt": "dbt-snowflake"})
    assert elsewhere.adapter_type == "snowflake"


@pytest.mark.parametrize(
    ("path", "text", "adapter"),
    [
        ("requirements.txt", "dbt-core==1.7\ndbt-snowflake==1.7.1\ndbt-utils\ndbt-metricflow", "snowflake"),
        ("requirements-dev.txt", "dbt-athena-community", "athena"),
        ("requirements/base.in", "dbt-spark[PyHive]>=1.5", "spark"),
        ("pyproject.toml", 'dependencies = ["dbt-bigquery>=1.7"]', "bigquery"),
        ("Pipfile", 'dbt-postgres = "*"', "postgres"),
        ("uv.lock", 'name = "dbt-redshift"\nname = "dbt-postgres"\nname = "dbt-extractor"\nname = "dbt-common"', "redshift"),
        ("poetry.lock", 'name = "dbt-databricks"\nname = "dbt-spark"', "databricks"),
        ("setup.py", "install_requires=['dbt-sqlserver']", "sqlserver"),
        ("environment.yml", "  - dbt-trino=1.7", "trino"),
        ("docker/Dockerfile", "RUN pip install dbt-clickhouse", "clickhouse"),
        ("Dockerfile.dbt", "FROM ghcr.io/dbt-labs/dbt-redshift:1.7", "redshift"),
        (".github/workflows/ci.yml", "run: pip install dbt-fabric", "fabric"),
        (
            ".github/workflows/ci.yml",
            "run: |\n  cat > profiles.yml <<E\n  x:\n    outputs:\n      dev:\n        type: bigquery\n",
            "bigquery",
        ),
        (".gitlab-ci.yml", "image: ghcr.io/dbt-labs/dbt-snowflake:1.7", "snowflake"),
        (".circleci/config.yml", "- run: pip install dbt-postgres", "postgres"),
        ("azure-pipelines.yml", "pip install dbt-synapse", "synapse"),
        ("bitbucket-pipelines.yml", "pip install dbt-trino", "trino"),
        ("Makefile", "setup:\n\tpip install dbt-athena", "athena"),
        ("docker-compose.yml", "image: ghcr.io/dbt-labs/dbt-bigquery:1.7", "bigquery"),
        (".sqlfluff", "[sqlfluff]\ndialect = tsql\ntemplater = dbt", "sqlserver"),
    ],
)
def test_lists_of_python_packages_decide_the_adapter(path: str, text: str, adapter: str) -> None:
    found = infer({path: text})
    assert (found.adapter_type, found.target) == (adapter, "dev")
    assert f"`{path}`" in found.evidence


def test_comments_and_other_distributions_are_no_evidence() -> None:
    found = infer({"requirements.txt": "# dbt-snowflake\ndbt-core\ndbt-utils\ndbt-coverage\nmy-dbt-bigquery\ndbt-checkpoint\n"})
    assert (found.adapter_type, found.target) == ("duckdb", "dev")
    assert "default" in found.evidence
    assert "`shop`" in found.evidence


def test_the_nearest_file_counts_and_tests_come_last() -> None:
    files = {"requirements.txt": "dbt-bigquery", "t/requirements.txt": "dbt-snowflake", "t/tests/requirements.txt": "dbt-duckdb"}
    assert infer(files).adapter_type == "snowflake"
    assert infer({key: text for key, text in files.items() if "/" not in key or "tests" in key}).adapter_type == "bigquery"
    monorepo = {"a/dbt_project.yml": "name: a", "a/requirements.txt": "dbt-trino", "b/requirements.txt": "dbt-athena"}
    assert infer(monorepo, project_dir="a").adapter_type == "trino"
    assert infer(monorepo, project_dir="b").adapter_type == "athena"


def test_further_evidence_narrows_several_adapters_down_and_then_the_preference() -> None:
    several = {"requirements.txt": "dbt-duckdb\ndbt-snowflake\ndbt-bigquery"}
    found = infer({**several, ".github/workflows/ci.yml": "pip install dbt-bigquery"})
    assert found.adapter_type == "bigquery"
    assert found.evidence == "`dbt-bigquery` in `requirements.txt` and `bigquery` in `.github/workflows/ci.yml`"
    found = infer({**several, "t/models/a.sql": "select x::variant from a, lateral flatten (input => x)"})
    assert found.adapter_type == "snowflake"
    assert infer({**several, ".github/workflows/ci.yml": "pip install dbt-trino"}).adapter_type == "snowflake"
    found = infer(several)
    assert found.adapter_type == "snowflake"
    assert "also bigquery, duckdb" in found.evidence


@pytest.mark.parametrize(
    ("text", "adapter"),
    [
        ("models: {a: {+snowflake_warehouse: big}}", "snowflake"),
        ("models:\n  a:\n    +transient: false", "snowflake"),
        ("models:\n  a:\n    +dist: even\n", "redshift"),
        ("models:\n  a:\n    +sort: id\n", "redshift"),
        ("models:\n  a:\n    +file_format: delta\n", "databricks"),
        ("models:\n  a:\n    +partition_by:\n      field: day\n", "bigquery"),
        ("models:\n  a:\n    +engine: MergeTree()\n", "clickhouse"),
        ("models:\n  a:\n    +s3_data_naming: schema_table\n", "athena"),
        ("models:\n  a:\n    +as_columnstore: false\n", "sqlserver"),
        ("query-comment: {job-label: true, append: x}\nmodels: {+hours_to_expiration: 4}", "bigquery"),
        ("dispatch:\n- macro_namespace: dbt_utils\n  search_order: [trino_utils, dbt_utils]", "trino"),
        ("models: {a: {+materialized: table, +cluster_by: [a]}}", "duckdb"),
    ],
)
def test_configs_of_the_project_decide_the_adapter(text: str, adapter: str) -> None:
    found = infer({"t/dbt_project.yml": f"name: a\n{text}\n"})
    assert found.adapter_type == adapter


@pytest.mark.parametrize(
    ("name", "adapter"),
    [("get-select/dbt_snowflake_query_tags", "snowflake"), ("dbt-msft/tsql_utils", "sqlserver"), ("dbt-labs/spark_utils", "duckdb")],
)
def test_names_of_packages_decide_the_adapter(name: str, adapter: str) -> None:
    assert infer({"t/packages.yml": f"packages: [{{package: {name}, version: 1.0.0}}]"}).adapter_type == adapter


@pytest.mark.parametrize(
    ("sql", "adapter"),
    [
        ("{{ config(partition_by={'field': 'day', 'data_type': 'date'}) }} select 1", "bigquery"),
        ("select * from `my-project.raw.orders`", "bigquery"),
        ("select a:b::variant, f.value from t, lateral flatten(input => a) f", "snowflake"),
        ("{{ config(dist='id', sort=['day']) }} select 1", "redshift"),
        ("{{ config(engine='ReplacingMergeTree()', order_by='id') }} select toStartOfDay(x)", "clickhouse"),
        ("{{ config(table_type='iceberg', s3_data_naming='unique') }} select 1", "athena"),
        ("select * from read_csv_auto('a.csv')", "duckdb"),
        ("select payload::jsonb ->> 'a' from x", "postgres"),
        ("select top 10 cast(x as nvarchar(10)) from [dbo].[orders]", "sqlserver"),
        ("select a, b from {{ ref('x') }} where created > current_date", "duckdb"),
    ],
)
def test_the_sql_dialect_of_the_models_decides_the_adapter(sql: str, adapter: str) -> None:
    found = infer({"t/models/a.sql": sql})
    assert found.adapter_type == adapter


def test_dialects_without_a_clear_winner_are_no_evidence() -> None:
    found = infer(
        {
            "t/models/a.sql": "select a::variant from t, lateral flatten(input => a)",
            "t/models/b.sql": "select * from `p.d.t` where _table_suffix = 1",
        }
    )
    assert (found.adapter_type, "default" in found.evidence) == ("duckdb", True)


def test_the_settings_file_comes_first() -> None:
    files = {"t/profiles.yml": profiles(target="prod", dev="duckdb", prod="postgres")}
    assert infer(files, ProjectSettings(adapter="Snowflake")) == AdapterChoice("snowflake", "prod", "`adapter` in `.github/freshet.yml`")
    choice = infer(files, ProjectSettings(target="dev"))
    assert (choice.adapter_type, choice.target) == ("duckdb", "dev")
    assert "the target from `.github/freshet.yml`" in choice.evidence
    assert infer(files, ProjectSettings(target="ci")).target == "ci"
    assert infer({}, ProjectSettings(target="ci")).target == "ci"


def test_a_target_from_a_profile_among_tests_is_not_used() -> None:
    found = infer({"t/integration_tests/profiles.yml": profiles(target="ci", ci="postgres")})
    assert (found.adapter_type, found.target) == ("postgres", "dev")


def test_sql_is_read_only_if_nothing_else_decides() -> None:
    files = (
        PROJECT | {f"t/models/m{number:04}.sql": "select 1" for number in range(1000)} | {"t/macros/m.sql": "x", "other/models/a.sql": "x"}
    )
    entries = check_out([Entry(path, "100644", "0" * 40, len(text)) for path, text in files.items()], {})
    texts = {path: text.encode() for path, text in PROJECT.items()}
    code = layout.code_entries(entries, texts, "t", RepositorySettings())
    assert 200 < len(code) <= layout.MAX_CODE_FILES
    assert {entry.path.split("/m")[0] for entry in code} == {"t"}
    assert layout.code_entries(entries, {**texts, "requirements.txt": b"dbt-trino"}, "t", RepositorySettings()) == []
    assert layout.code_entries(entries, texts, "t", RepositorySettings(everywhere=ProjectSettings(adapter="trino"))) == []


FILES = ["t/profiles.yml", "profiles.yml.example", "requirements.txt", "Makefile", "t/packages.yml", "t/dbt_project.yml", "t/models/a.sql"]
TEXTS = st.one_of(
    st.binary(max_size=60),
    st.text(alphabet="abc:{}[]%'\"|*&\n -<", max_size=60).map(str.encode),
    st.sampled_from(
        [b"shop: {outputs: {1: {type: 3}, null: {type: x}}}", b"shop: {target: [a], outputs: {a: {type: duckdb}}}", b"shop: {outputs: []}"]
    ),
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(FILES), TEXTS), st.sampled_from([None, "shop", ""]))
def test_inference_never_crashes(files: dict[str, bytes], profile: str | None) -> None:
    found = adapter_module.infer("t", profile, files, ProjectSettings())
    assert found.adapter_type
    assert found.target
    assert found.evidence


def test_macros_for_one_adapter_decide_if_nothing_else_does() -> None:
    found = infer({"t/macros/days.sql": "{% macro bigquery__days(n) %}{% endmacro %}{% macro default__days(n) %}{% endmacro %}"})
    assert (found.adapter_type, "the macro `bigquery__days` in `t/macros/days.sql`" in found.evidence) == ("bigquery", True)
