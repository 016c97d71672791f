"""Which runner image a project is parsed in, and what is said when none fits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.errors import NoImageError
from app.images import ADAPTERS, BUILDABLE, NOT_FOR, RunnerImage, Wish, build_command, choose, newest_first

ROOT = Path(__file__).parents[2]
LOCKS = {path.stem: path.read_text() for path in (ROOT / "deploy" / "dbt").glob("1.*.txt")}


def image(version: str, *adapters: str, name: str = "") -> RunnerImage:
    return RunnerImage(name or f"dbt-runner:{version}", f"sha256:{name}{version}", version, frozenset(adapters))


DEFAULT = image("1.11.16", *ADAPTERS, name="dbt-runner:latest")
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
def test_all_that_is_required_holds(required: tuple[str, ...], chosen: RunnerImage) -> None:
    assert choose(ALL, Wish(required), "postgres", "octo/shop").image is chosen


@pytest.mark.parametrize(
    ("locked", "chosen"),
    [
        (None, DEFAULT),
        ("1.7.4", SEVEN),
        ("1.10.0", TEN),
        ("1.8.3", TEN),  # the nearest that is not older
        ("1.11.2", DEFAULT),
        ("1.12.0", DEFAULT),
        ("1.3.0", SEVEN),
        ("unreadable", DEFAULT),
    ],
)
def test_a_locked_version_gets_its_minor_or_the_nearest_newer_one(locked: str | None, chosen: RunnerImage) -> None:
    assert choose(ALL, Wish(locked=locked), "duckdb", "octo/shop").image is chosen


def test_the_adapter_itself_counts_more_than_the_locked_version() -> None:
    choice = choose(ALL, Wish(locked="1.7.0"), "snowflake", "octo/shop")
    assert (choice.image, choice.adapter_type, choice.remarks) == (DEFAULT, "snowflake", ())


def test_the_default_image_is_taken_before_a_newer_one_and_that_before_an_older_one() -> None:
    newer = image("1.12.5", "duckdb")
    assert choose([DEFAULT, newer, TEN], Wish(), "duckdb", "octo/shop").image is DEFAULT
    assert choose([SEVEN_SNOWFLAKE, TEN, newer], Wish(), "duckdb", "octo/shop").image is newer


def test_an_image_without_adapters_is_never_taken() -> None:
    assert choose([image("1.11.16"), TEN], Wish(), "duckdb", "octo/shop").image is TEN


@pytest.mark.parametrize(
    ("adapter", "held", "other"),
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
def test_a_relative_stands_in_for_an_adapter_that_no_image_holds(adapter: str, held: tuple[str, ...], other: str) -> None:
    choice = choose([image("1.11.16", *held)], Wish(), adapter, "octo/shop")
    assert choice.adapter_type == other
    (remark,) = choice.remarks
    assert remark.level == "warning"
    assert remark.title == f"Parsed for {other} instead of {adapter}"


@pytest.mark.parametrize(
    ("adapter", "wish", "command"),
    [
        ("snowflake", Wish(("1.7",)), "python -m app images build --dbt 1.7 --adapters snowflake"),
        ("snowflake", Wish((">=1.6.0", "<1.8.0"), "1.6.2"), "python -m app images build --dbt 1.6 --adapters snowflake"),
        ("synapse", Wish(("1.7",)), None),
        ("sqlserver", Wish(("<1.8.0",), "1.6.0"), None),
    ],
)
def test_who_has_another_adapter_standing_in_hears_how_to_get_the_own_one(adapter: str, wish: Wish, command: str | None) -> None:
    (remark,) = choose(ALL, wish, adapter, "octo/shop").remarks
    assert (command or "There is no runner image for") in remark.message


@pytest.mark.parametrize(
    ("wish", "command"),
    [
        (Wish((">=1.6.0", "<1.7.0")), "--dbt 1.6 --adapters snowflake"),
        (Wish((">=1.8.3", "<1.10.0")), "--dbt 1.9 --adapters snowflake"),
        (Wish((">=1.8.3", "<1.10.0"), locked="1.8.7"), "--dbt 1.8 --adapters snowflake"),
        (Wish((">=1.8.3", "<1.10.0"), locked="1.4.0"), "--dbt 1.9 --adapters snowflake"),
        (Wish(("=1.7.0",)), "--dbt 1.7.0 --adapters snowflake"),
        (Wish((">=1.8.3", "<1.8.6")), "--dbt 1.8.5 --adapters snowflake"),
        (Wish((">1.8.3", "<=1.8.4")), "--dbt 1.8.4 --adapters snowflake"),
    ],
)
def test_without_a_fitting_image_the_command_that_builds_one_is_named(wish: Wish, command: str) -> None:
    with pytest.raises(NoImageError) as caught:
        choose(ALL, wish, "snowflake", "octo/shop")
    assert f"`python -m app images build {command}`" in caught.value.next_step


@pytest.mark.parametrize("required", [("<1.5.0",), (">=2.0.0",), (">=1.8.0", "<1.7.0")])
def test_of_a_version_that_nobody_can_build_the_owner_hears_what_to_change(required: tuple[str, ...]) -> None:
    with pytest.raises(NoImageError) as caught:
        choose(ALL, Wish(required), "duckdb", "octo/shop")
    assert "images build" not in caught.value.next_step
    assert "dbt 1.5 to 1.12" in caught.value.next_step


def test_the_reason_says_what_is_wanted_where_that_stands_and_what_there_is() -> None:
    evidence = "`require-dbt-version` in `dbt_project.yml`"
    with pytest.raises(NoImageError) as caught:
        choose(ALL, Wish((">=1.6.0", "<1.7.0"), None, evidence), "duckdb", "octo/shop at 1a2b3c4")
    assert caught.value.reason.startswith(evidence)
    for fact in ("`>=1.6.0`, `<1.7.0`", "1.11.16, 1.10.23, 1.7.20"):
        assert fact in caught.value.reason
    assert "octo/shop at 1a2b3c4" in caught.value.doing


def test_the_newest_dbt_comes_first() -> None:
    assert sorted([SEVEN, DEFAULT, TEN, SEVEN_SNOWFLAKE], key=newest_first) == [DEFAULT, TEN, SEVEN, SEVEN_SNOWFLAKE]


def test_the_locks_hold_what_the_commands_offer() -> None:
    assert {".".join(map(str, minor)) for minor in BUILDABLE} == {*LOCKS}
    for major, minor in BUILDABLE:
        lock = LOCKS[f"{major}.{minor}"]
        assert re.search(rf"^dbt-core=={major}\.{minor}\.\d+$", lock, re.MULTILINE)
        held = {adapter for adapter in ADAPTERS if re.search(rf"^dbt-{adapter}(-community)?==", lock, re.MULTILINE)}
        assert held == {adapter for adapter in ADAPTERS if (major, minor) not in NOT_FOR.get(adapter, ())}


def test_an_adapter_without_a_release_for_a_version_gets_a_relative_in_the_command() -> None:
    assert build_command("1.6", "sqlserver").endswith("--dbt 1.6 --adapters fabric")
    assert build_command("1.8", "oracle").endswith("--adapters duckdb")
