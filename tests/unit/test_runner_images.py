"""Which runner image is chosen for a project, and the error if none fits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.core.errors import NoImageError, UnsupportedVersionError
from app.project.adapters import IN_IMAGES
from app.project.runner_images import BUILDABLE, RequestedVersion, RunnerImage, build_command, choose_image, newest_first

ROOT = Path(__file__).parents[2]
LOCKS = {path.stem: path.read_text() for path in (ROOT / "deploy" / "dbt").glob("1.*.txt")}


def image(version: str, *adapters: str, name: str = "") -> RunnerImage:
    return RunnerImage(name or f"dbt-runner:{version}", f"sha256:{name}{version}", version, frozenset(adapters))


DEFAULT = image("1.11.16", *IN_IMAGES, name="dbt-runner:latest")
TEN = image("1.10.23", "duckdb", "postgres")
SEVEN = image("1.7.20", "duckdb", "postgres")
SEVEN_SNOWFLAKE = image("1.7.20", "snowflake", name="seven-snowflake")
ALL = (DEFAULT, TEN, SEVEN)


@pytest.mark.parametrize(
    ("required", "chosen"),
    [
        ((), DEFAULT),
        ((">=1.6.0", "<2.0.0"), DEFAULT),
        ((">=1.6.0,<2.0.0",), DEFAULT),
        (('[">=1.6.0", "<1.11.0"]',), TEN),
        (("1.10",), TEN),
        (("1.7",), SEVEN),
        (("=1.7.20",), SEVEN),
        (("1.7.20",), SEVEN),
        ((">=1.7.3", "<1.8.0"), SEVEN),
        ((">1.7.0", "<=1.10.99"), TEN),
        (("!=1.11.16",), TEN),
        (("<1.11.0-rc1",), TEN),
        (("<=1.7",), SEVEN),
        ((">=1.5.0", "newest please"), DEFAULT),
        ((">=1.0.0", ">=1.2.0", "<1.10.0", "<1.9.0"), SEVEN),
    ],
)
def test_required_ranges_are_met(required: tuple[str, ...], chosen: RunnerImage) -> None:
    assert choose_image(ALL, RequestedVersion(required), "postgres", "octo/shop").image is chosen


@pytest.mark.parametrize(
    ("locked", "chosen"),
    [
        (None, DEFAULT),
        ("1.7.4", SEVEN),
        ("1.10.0", TEN),
        ("1.8.3", TEN),  # the nearest newer one
        ("1.11.2", DEFAULT),
        ("1.12.0", DEFAULT),
        ("1.3.0", SEVEN),
        ("unreadable", DEFAULT),
    ],
)
def test_a_locked_version_prefers_its_minor_or_the_nearest_newer_one(locked: str | None, chosen: RunnerImage) -> None:
    assert choose_image(ALL, RequestedVersion(locked=locked), "duckdb", "octo/shop").image is chosen


def test_the_adapter_counts_more_than_the_locked_version() -> None:
    choice = choose_image(ALL, RequestedVersion(locked="1.7.0"), "snowflake", "octo/shop")
    assert (choice.image, choice.adapter_type, choice.remarks) == (DEFAULT, "snowflake", ())


def test_the_default_image_comes_before_the_newest_one() -> None:
    newer = image("1.12.5", "duckdb")
    assert choose_image([DEFAULT, newer, TEN], RequestedVersion(), "duckdb", "octo/shop").image is DEFAULT
    assert choose_image([SEVEN_SNOWFLAKE, TEN, newer], RequestedVersion(), "duckdb", "octo/shop").image is newer


def test_an_image_without_adapters_is_never_chosen() -> None:
    assert choose_image([image("1.11.16"), TEN], RequestedVersion(), "duckdb", "octo/shop").image is TEN


@pytest.mark.parametrize(
    ("adapter", "available", "other"),
    [
        ("redshift", ("duckdb", "postgres"), "postgres"),
        ("materialize", ("duckdb", "postgres"), "postgres"),
        ("cratedb", ("duckdb", "redshift"), "redshift"),
        ("databricks", ("duckdb", "spark"), "spark"),
        ("glue", ("spark", "databricks"), "databricks"),
        ("fabricspark", ("duckdb", "spark"), "spark"),
        ("synapse", ("duckdb", "fabric", "sqlserver"), "sqlserver"),
        ("fabric", ("duckdb", "sqlserver"), "sqlserver"),
        ("athena", ("duckdb", "trino"), "trino"),
        ("oracle", ("duckdb", "postgres", "snowflake"), "duckdb"),
        ("oracle", ("postgres", "snowflake"), "postgres"),
        ("oracle", ("trino", "snowflake"), "snowflake"),
    ],
)
def test_a_similar_adapter_stands_in_for_one_that_no_image_has(adapter: str, available: tuple[str, ...], other: str) -> None:
    choice = choose_image([image("1.11.16", *available)], RequestedVersion(), adapter, "octo/shop")
    assert choice.adapter_type == other
    (remark,) = choice.remarks
    assert remark.level == "warning"
    assert remark.title == f"Parsed for {other} instead of {adapter}"


@pytest.mark.parametrize(
    ("adapter", "requested", "command"),
    [
        ("snowflake", RequestedVersion(("1.7",)), "python -m app images build --dbt 1.7 --adapters snowflake"),
        ("snowflake", RequestedVersion((">=1.6.0", "<1.8.0"), "1.6.2"), "python -m app images build --dbt 1.6 --adapters snowflake"),
        ("synapse", RequestedVersion(("1.7",)), None),
        ("sqlserver", RequestedVersion(("<1.8.0",), "1.6.0"), None),
    ],
)
def test_a_stand_in_is_reported_with_the_command_that_builds_the_image(
    adapter: str, requested: RequestedVersion, command: str | None
) -> None:
    (remark,) = choose_image(ALL, requested, adapter, "octo/shop").remarks
    assert (command or "Runner images cannot have") in remark.message


@pytest.mark.parametrize(
    ("requested", "command"),
    [
        (RequestedVersion((">=1.6.0", "<1.7.0")), "--dbt 1.6 --adapters snowflake"),
        (RequestedVersion((">=1.8.3", "<1.10.0")), "--dbt 1.9 --adapters snowflake"),
        (RequestedVersion((">=1.8.3", "<1.10.0"), locked="1.8.7"), "--dbt 1.8 --adapters snowflake"),
        (RequestedVersion((">=1.8.3", "<1.10.0"), locked="1.4.0"), "--dbt 1.9 --adapters snowflake"),
        (RequestedVersion(("=1.7.0",)), "--dbt 1.7.0 --adapters snowflake"),
        (RequestedVersion((">=1.8.3", "<1.8.6")), "--dbt 1.8.5 --adapters snowflake"),
        (RequestedVersion((">1.8.3", "<=1.8.4")), "--dbt 1.8.4 --adapters snowflake"),
    ],
)
def test_without_a_fitting_image_the_error_has_the_command_that_builds_one(requested: RequestedVersion, command: str) -> None:
    with pytest.raises(NoImageError) as caught:
        choose_image(ALL, requested, "snowflake", "octo/shop")
    assert f"`python -m app images build {command}`" in caught.value.next_step


@pytest.mark.parametrize("required", [("<1.5.0",), (">=2.0.0",), (">=1.8.0", "<1.7.0")])
def test_for_a_version_that_cannot_be_built_the_error_says_what_to_change(required: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        choose_image(ALL, RequestedVersion(required), "duckdb", "octo/shop")
    assert caught.value.next_step == (
        'Freshet supports dbt 1.5 to 1.12. Allow one of them there, or set `dbt_version: "1.11"` in `.github/freshet.yml` to parse with '
        "that all the same."
    )


def test_a_version_in_the_settings_is_not_told_to_be_set_there() -> None:
    for required in ("1.4", "3.0"):
        requested = RequestedVersion((required,), None, "`dbt_version` in `.github/freshet.yml`")
        with pytest.raises(UnsupportedVersionError) as caught:
            choose_image(ALL, requested, "duckdb", "octo/shop")
        assert caught.value.next_step == (
            'Freshet supports dbt 1.5 to 1.12. Set another version there, such as `dbt_version: "1.11"`, or remove the setting.'
        )


def test_the_error_names_the_ranges_their_source_and_the_available_versions() -> None:
    evidence = "`require-dbt-version` in `dbt_project.yml`"
    with pytest.raises(NoImageError) as caught:
        choose_image(ALL, RequestedVersion((">=1.6.0", "<1.7.0"), None, evidence), "duckdb", "octo/shop at 1a2b3c4")
    assert caught.value.reason.startswith(evidence)
    for fact in ("`>=1.6.0`, `<1.7.0`", "1.11.16, 1.10.23, 1.7.20"):
        assert fact in caught.value.reason
    assert "octo/shop at 1a2b3c4" in caught.value.doing


def test_the_newest_dbt_comes_first() -> None:
    assert sorted([SEVEN, DEFAULT, TEN, SEVEN_SNOWFLAKE], key=newest_first) == [DEFAULT, TEN, SEVEN, SEVEN_SNOWFLAKE]


def test_every_buildable_version_has_a_lock_file() -> None:
    assert {".".join(map(str, minor)) for minor in BUILDABLE} == {*LOCKS}
    for major, minor in BUILDABLE:
        lock = LOCKS[f"{major}.{minor}"]
        assert re.search(rf"^dbt-core=={major}\.{minor}\.\d+ ", lock, re.MULTILINE)


def test_the_command_names_a_stand_in_for_an_adapter_without_a_release() -> None:
    assert build_command("1.6", "sqlserver").endswith("--dbt 1.6 --adapters fabric")
    assert build_command("1.8", "oracle").endswith("--adapters duckdb")


def test_every_file_that_is_installed_into_an_image_has_a_hash() -> None:
    others = {name: (ROOT / "deploy" / "dbt" / f"{name}.txt").read_text() for name in ("uv", "columns")}
    for name, lock in {**LOCKS, **others}.items():
        packages = re.split(r"\n(?=\w)", "\n".join(line for line in lock.splitlines() if not line.startswith("#")))
        without = [package for package in packages if not re.fullmatch(r"[\w.-]+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n?", package)]
        assert not without, name
    dockerfile = (ROOT / "Dockerfile.dbt").read_text()
    assert dockerfile.count("--require-hashes") == 3, "of uv, of what uv installs, and of the engine for columns"
