"""The table of adapters is consistent, and other files that list adapters agree with it. CONTRIBUTING.md says how to add a row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.project.adapter_evidence import known_type
from app.project.adapters import ADAPTERS, BY_TYPE, DEFAULT, IN_IMAGES, LAST_RESORT, TYPES, in_images_for
from app.project.repository_settings import json_schema
from app.project.runner_images import BUILDABLE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "dbt"
MINORS = [f"{major}.{minor}" for major, minor in BUILDABLE]


def releases(minor: str) -> frozenset[str]:
    major, _, number = minor.partition(".")
    return in_images_for((int(major), int(number)))


def listed(path: Path) -> set[str]:
    """The adapters whose packages are listed in a file, one per line."""
    packages = set(re.findall(r"^(dbt-[a-z-]+)\s*(?:[=<>].*)?$", path.read_text(), re.MULTILINE))
    return {name for name in BY_TYPE if {*BY_TYPE[name].packages} & packages}


# -- the table


def test_a_name_stands_for_one_adapter() -> None:
    names = [name for adapter in ADAPTERS for name in (adapter.type, *adapter.aliases, *adapter.abbreviations)]
    assert len(names) == len({*names}) == len(TYPES)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)


def test_rows_refer_to_existing_rows() -> None:
    assert {adapter.built_on for adapter in ADAPTERS} - {None} <= {*BY_TYPE}
    assert {name for adapter in ADAPTERS for name in adapter.similar} <= IN_IMAGES
    assert {DEFAULT, *LAST_RESORT} <= IN_IMAGES


def test_a_developers_own_database_comes_last() -> None:
    assert [adapter.type for adapter in ADAPTERS][-3:] == ["postgres", "duckdb", "sqlite"]


def test_signs_are_in_lower_case_like_the_text_that_is_searched() -> None:
    for sign in (sign for adapter in ADAPTERS for sign in adapter.signs):
        assert sign.literal == sign.literal.lower()
        assert 1 <= sign.weight <= 3
        re.compile(sign.pattern or "")


def test_a_stub_has_no_type_of_its_own() -> None:
    assert all("type" not in adapter.stub for adapter in ADAPTERS if adapter.stub)


def test_an_adapter_that_only_profiles_name_is_no_evidence_elsewhere() -> None:
    assert [known_type(adapter.type) for adapter in ADAPTERS if adapter.by_type_only] == [None, None]
    assert all(known_type(name) == adapter for name, adapter in TYPES.items() if not BY_TYPE[adapter].by_type_only)


def test_the_examples_of_the_settings_are_adapters() -> None:
    assert {*json_schema()["properties"]["adapter"]["examples"]} <= IN_IMAGES


# -- files that cannot import the table


def test_the_dockerfile_builds_in_the_adapters_of_the_table() -> None:
    defaults = re.findall(r'^ARG DBT_ADAPTERS="(.*)"$', (ROOT / "Dockerfile.dbt").read_text(), re.MULTILINE)
    assert defaults == [" ".join(sorted(IN_IMAGES))] * 2


def test_the_lists_to_lock_have_the_adapters_of_the_table() -> None:
    assert listed(DEPLOY / "adapters.in") == IN_IMAGES
    own = [path for path in DEPLOY.glob("*.*.in") if path.stem in MINORS]
    assert own
    for path in own:
        assert listed(path) == releases(path.stem), path.name


@pytest.mark.parametrize("minor", MINORS)
def test_the_locks_have_the_adapters_of_the_table(minor: str) -> None:
    assert listed(DEPLOY / f"{minor}.txt") == releases(minor)


def test_setup_builds_small_images_with_adapters_of_the_table() -> None:
    found = re.search(r'small_adapters="(.*)"', (ROOT / "deploy/setup.sh").read_text())
    assert found
    assert {*found[1].split()} <= IN_IMAGES


def test_the_page_on_images_names_the_adapters_of_the_table() -> None:
    page = (ROOT / "docs/images.md").read_text()
    found = re.search(r"^All: ([^.]*)\.", page, re.MULTILINE)
    assert found
    assert {name.lower().replace(" ", "") for name in re.split(r",\s+", found[1])} == IN_IMAGES
    for minor in MINORS:
        row = re.search(rf"^\| {re.escape(minor)}(?: \(default\))? \| ([^|]*) \|", page, re.MULTILINE)
        assert row
        missing = {name for name in IN_IMAGES if name in row[1].lower().replace(" ", "")}
        assert missing == IN_IMAGES - releases(minor), minor
