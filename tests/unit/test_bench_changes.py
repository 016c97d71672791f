"""The benchmark's changes of a generated project: each changes what it says, again and again."""

from __future__ import annotations

import pytest

from tests.bench import generate
from tests.bench.changes import change, merge, with_their_own
from tests.bench.tables import CASES

KINDS = [case for case in CASES if case not in {"first", "ten"}]


def test_each_case_changes_something_in_turn() -> None:
    files = generate.generate(120)
    for _ in range(2):
        for kind in KINDS:
            changed = change(files, kind)
            assert any(files.get(path) != text for path, text in changed.items()), kind
            files = merge(files, changed)


@pytest.mark.parametrize(
    ("kind", "paths"),
    [
        ("added", ["models/marts/added.sql"]),
        ("doc", ["models/docs.md"]),
        ("rare", ["macros/rarely.sql"]),
        ("vars", ["dbt_project.yml"]),
        ("config", ["dbt_project.yml"]),
        ("package", ["packages/house_rules/dbt_project.yml", "packages/house_rules/macros/nothing.sql"]),
        ("nothing", ["README.md"]),
    ],
)
def test_a_case_changes_these_files(kind: str, paths: list[str]) -> None:
    assert sorted(change(generate.generate(120), kind)) == paths


def test_a_rename_leaves_no_mention_of_the_old_name() -> None:
    files = generate.generate(120)
    changed = change(files, "renamed")
    [old] = [path.rsplit("/", 1)[1].removesuffix(".sql") for path, text in changed.items() if text is None]
    after = merge(files, changed)
    assert not any(f"'{old}'" in text or f"name: {old}\n" in text for text in after.values())


def test_few_models_use_what_is_rare() -> None:
    files = generate.generate(1000)
    assert 3 <= sum("rarely(" in text for path, text in files.items() if path.startswith("models/")) <= 30


def test_what_a_case_needs_comes_before_it() -> None:
    assert with_their_own(["entry"]) == {"added", "entry"}
    assert with_their_own(["sql"]) == {"sql"}
