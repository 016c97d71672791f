from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.project import dbt_version
from app.project.repository_settings import ProjectSettings
from app.project.runner_images import RequestedVersion


def requested_version(files: dict[str, str], project_dir: str = "", project_settings: ProjectSettings | None = None) -> RequestedVersion:
    return dbt_version.requested_version(
        project_dir, {path: text.encode() for path, text in files.items()}, project_settings or ProjectSettings()
    )


@pytest.mark.parametrize(
    ("written", "ranges"),
    [
        ('[">=1.6.0", "<2.0.0"]', (">=1.6.0", "<2.0.0")),
        ('">=1.6.0,<2.0.0"', (">=1.6.0", "<2.0.0")),
        ('">=0.17.0"', (">=0.17.0",)),
        ('"=1.7.0"', ("=1.7.0",)),
        ('"==1.7.0"', ("=1.7.0",)),
        ("1.7.0", ("1.7.0",)),
        ("1.7", ("1.7",)),
        ('" >= 1.10.0rc1 "', (">=1.10.0rc1",)),
        ("\"{{ env_var('V') }}\"", ()),
        ("[[], {a: b}, true, null]", ()),
        ("", ()),
    ],
)
def test_require_dbt_version_is_read_in_all_its_forms(written: str, ranges: tuple[str, ...]) -> None:
    found = requested_version({"t/dbt_project.yml": f"name: a\nrequire-dbt-version: {written}\n"}, "t")
    assert found.required == ranges
    assert found.evidence == ("`require-dbt-version` in `t/dbt_project.yml`" if ranges else "")


@pytest.mark.parametrize(
    ("path", "text", "version"),
    [
        ("requirements.txt", "dbt-core==1.7.4\ndbt-snowflake==1.7.2\n", "1.7.4"),
        ("requirements.txt", "dbt-core~=1.7.0", "1.7.0"),
        ("requirements.txt", "dbt-core>=1.7.2,<1.8", "1.7.2"),
        ("requirements.txt", "dbt_core == 1.7.4 ; python_version > '3.8'", "1.7.4"),
        ("requirements.txt", "dbt-core==1.7.4 \\\n    --hash=sha256:aa", "1.7.4"),
        ("requirements/dbt.in", "dbt-snowflake[extra]==1.6.1", "1.6.1"),
        ("uv.lock", '[[package]]\nname = "dbt-core"\nversion = "1.10.15"\nsource = {}\n', "1.10.15"),
        ("poetry.lock", '[[package]]\nname = "dbt-core"\nversion = "1.8.0rc1"\n', "1.8.0rc1"),
        ("Pipfile.lock", '{"default": {"dbt-core": {"hashes": ["sha256:a"], "index": "pypi", "version": "==1.5.2"}}}', "1.5.2"),
        ("Pipfile", '[packages]\ndbt-core = "==1.6.3"\n', "1.6.3"),
        ("pyproject.toml", '[tool.poetry.dependencies]\ndbt-core = {version = "1.9.1", extras = []}\n', "1.9.1"),
        ("pyproject.toml", 'dependencies = [\n  "dbt-core==1.9.1",\n]\n', "1.9.1"),
        ("environment.yml", "dependencies:\n  - dbt-core=1.4.6\n", "1.4.6"),
        ("Dockerfile", "FROM ghcr.io/dbt-labs/dbt-bigquery:1.7.2\n", "1.7.2"),
        (".github/workflows/ci.yml", "run: pip install dbt-core==1.8.9\n", "1.8.9"),
        ("requirements.txt", "# dbt-core==1.7.4\nx  # dbt-core==1.7.4\n", None),
        ("requirements.txt", "dbt-core>=1.5\ndbt-core>=1.5,<2.0\ndbt-core\ndbt-core~=1.5\n", None),
        ("requirements.txt", "dbt-utils==1.1.1\ndbt-coverage==0.3.9\nmy-dbt-core==1.0.0", None),
        ("notes.txt", "dbt-core==1.7.4", None),
    ],
)
def test_pinned_versions_are_found_in_files_of_all_tools(path: str, text: str, version: str | None) -> None:
    found = requested_version({"dbt_project.yml": "name: a", path: text})
    assert found.locked == version
    assert f"`{path}`" in found.evidence if version else not found.evidence


def test_the_nearest_pin_counts_and_core_before_adapters() -> None:
    files = {
        "requirements.txt": "dbt-core==1.5.0",
        "t/requirements.txt": "dbt-core==1.7.0",
        "t/uv.lock": 'name = "dbt-core"\nversion = "1.7.9"\n',
        "t/tests/requirements.txt": "dbt-core==1.2.0",
        ".github/workflows/ci.yml": "pip install dbt-core==1.3.0",
    }
    assert requested_version(files, "t").locked == "1.7.9"
    assert requested_version({**files, "other/requirements.txt": "dbt-core==1.9.0"}, "").locked == "1.5.0"
    assert requested_version({"requirements.txt": "dbt-core==1.5.0", "t/requirements.txt": "dbt-duckdb==1.9.1"}, "t").locked == "1.5.0"


def test_the_settings_file_overrides_everything_else() -> None:
    files = {"dbt_project.yml": 'require-dbt-version: "<1.8"', "requirements.txt": "dbt-core==1.7.4"}
    found = requested_version(files, project_settings=ProjectSettings(dbt_version="1.10"))
    assert (found.required, found.locked) == (("1.10",), None)
    assert ".github/freshet.yml" in found.evidence


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["dbt_project.yml", "uv.lock", "Pipfile.lock", "requirements.txt", "Makefile"]), st.binary(max_size=80))
)
def test_reading_versions_never_crashes(files: dict[str, bytes]) -> None:
    assert isinstance(dbt_version.requested_version("", files, ProjectSettings()), RequestedVersion)
