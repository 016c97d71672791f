from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import project
from app.errors import NoProjectError, TreeTooBigError
from app.project import Entry, Layout


def tree(files: dict[str, str], links: dict[str, str] | None = None) -> tuple[list[Entry], dict[str, bytes]]:
    entries = [Entry(path, "100644", f"{abs(hash(text)):040x}", len(text.encode())) for path, text in files.items()]
    entries += [Entry(path, "120000", f"{abs(hash(to)):040x}", len(to)) for path, to in (links or {}).items()]
    texts = {path: text.encode() for path, text in (files | (links or {})).items()}
    return entries, texts


def lay_out(files: dict[str, str], project_dir: str = "", links: dict[str, str] | None = None) -> Layout:
    entries, texts = tree(files, links)
    wanted = {entry.path for entry in project.config_entries(entries)}
    return project.lay_out(entries, {path: text for path, text in texts.items() if path in wanted}, project_dir, "octo/shop at 1a2b3c4")


def paths(layout: Layout) -> set[str]:
    return {member.path for member in layout.members}


def test_projects_are_found_where_they_are_not_packages_fixtures_or_copies() -> None:
    found = project.find(
        [
            "warehouse/transform/dbt_project.yml",
            "transform/dbt_project.yml",
            "transform/dbt_packages/dbt_utils/dbt_project.yml",
            "transform/integration_tests/dbt_project.yml",
            ".venv/lib/python3.11/site-packages/dbt/include/starter_project/dbt_project.yml",
            "examples/shop/dbt_project.yml",
            "docs/dbt_project.yml.md",
        ]
    )
    assert found == ["transform", "warehouse/transform"]


def test_the_root_comes_first() -> None:
    assert project.choose(["a/dbt_project.yml", "dbt_project.yml"], {}, None, "x") == ""


def test_a_local_package_of_another_project_is_not_the_project() -> None:
    files = {
        "common/dbt_project.yml": "name: c",
        "sales/dbt_project.yml": "name: s",
        "sales/packages.yml": "packages: [{local: ../common}]",
    }
    texts = {path: text.encode() for path, text in files.items()}
    assert project.choose(list(files), texts, None, "x") == "sales"
    assert lay_out(files, "sales").others == ()
    assert lay_out({**files, "other/dbt_project.yml": "name: o"}, "sales").others == ("other",)


@pytest.mark.parametrize(("files", "words"), [([], "empty"), (["README.md"], "none of its 1 files")])
def test_no_project_says_what_was_looked_for(files: list[str], words: str) -> None:
    with pytest.raises(NoProjectError, match=words) as caught:
        project.choose(files, {}, None, "octo/shop at 1a2b3c4")
    assert "dbt_project.yml" in caught.value.user_text


def test_a_wanted_directory_without_a_project_is_named() -> None:
    with pytest.raises(NoProjectError, match="`transform`"):
        project.choose(["dbt_project.yml"], {}, "transform", "octo/shop at 1a2b3c4")


def test_only_what_dbt_reads_goes_in() -> None:
    layout = lay_out(
        {
            "dbt_project.yml": "name: shop\nprofile: shop\n",
            "models/a.sql": "select 1",
            "models/docs.md": "{% docs a %}{% enddocs %}",
            "models/picture.png": "...",
            "seeds/raw.csv": "id\n1\n",
            "src/service.py": "print()",
            "README.md": "hello",
            ".dbtignore": "*.tmp",
        }
    )
    assert paths(layout) == {"dbt_project.yml", "models/a.sql", "models/docs.md", "seeds/raw.csv", ".dbtignore"}
    assert (layout.project_name, layout.profile, layout.packages) == ("shop", "shop", "none")


def test_paths_that_leave_the_project_directory_come_along() -> None:
    files = {
        "teams/sales/dbt_project.yml": 'name: sales\nmodel-paths: ["models", "../../shared/models"]\n',
        "teams/sales/models/a.sql": "select 1",
        "shared/models/b.sql": "select 2",
        "shared/other/c.sql": "select 3",
    }
    assert paths(lay_out(files, "teams/sales")) == {"teams/sales/dbt_project.yml", "teams/sales/models/a.sql", "shared/models/b.sql"}


def test_local_packages_come_along_with_theirs() -> None:
    files = {
        "sales/dbt_project.yml": "name: sales",
        "sales/packages.yml": "packages:\n  - local: ../common\n",
        "common/dbt_project.yml": "name: common\nmacro-paths: [makros]",
        "common/packages.yml": "packages: [{local: ../base}]",
        "common/makros/m.sql": "...",
        "common/macros/no.sql": "...",
        "base/dbt_project.yml": "name: base",
        "base/models/b.sql": "...",
    }
    layout = lay_out(files, "sales")
    assert layout.packages == "local"
    assert {"common/makros/m.sql", "base/models/b.sql", "common/packages.yml"} <= paths(layout)
    assert "common/macros/no.sql" not in paths(layout)


@pytest.mark.parametrize(
    ("packages", "kind"),
    [
        ("packages: []", "none"),
        ("", "none"),
        ("packages: [{package: dbt-labs/dbt_utils, version: 1.3.0}]", "network"),
        ("packages: [{local: ../common}, {git: 'https://example.com/x.git'}]", "network"),
        ("packages: {{ var('x') }}: [", "network"),
    ],
)
def test_packages_ask_for_a_network_only_when_they_need_one(packages: str, kind: str) -> None:
    assert lay_out({"dbt_project.yml": "name: a", "packages.yml": packages}).packages == kind


def test_committed_packages_are_used_as_they_are() -> None:
    files = {
        "dbt_project.yml": "name: a",
        "packages.yml": "packages: [{package: x/y, version: 1.0.0}]",
        "dbt_packages/y/dbt_project.yml": "name: y",
        "dbt_packages/y/macros/m.sql": "...",
    }
    layout = lay_out(files)
    assert layout.packages == "none"
    assert "dbt_packages/y/macros/m.sql" in paths(layout)


def test_unreadable_yaml_is_left_for_dbt_to_complain_about() -> None:
    layout = lay_out({"dbt_project.yml": "name: [unclosed", "models/a.sql": "select 1", "anywhere/b.sql": "select 1"})
    assert paths(layout) == {"dbt_project.yml", "models/a.sql", "anywhere/b.sql"}


def test_a_long_seed_is_cut_and_a_huge_tree_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = lay_out({"dbt_project.yml": "name: a", "seeds/big.csv": "id\n" + "1\n" * 100_000})
    assert next(member.size for member in layout.members if member.path == "seeds/big.csv") == project.MAX_SEED_BYTES
    monkeypatch.setattr(project, "MAX_FILES", 2)
    with pytest.raises(TreeTooBigError, match="more than 2 files"):
        lay_out({"dbt_project.yml": "name: a", "models/a.sql": "", "models/b.sql": ""})


def test_links_inside_the_repository_are_followed_and_others_are_not() -> None:
    files = {"p/dbt_project.yml": "name: a", "shared/m/a.sql": "select 1", "one.sql": "select 2"}
    links = {
        "p/models": "../shared/m",
        "p/macros/one.sql": "../../one.sql",
        "p/seeds": "/etc",
        "p/tests": "../../../etc",
        "p/analyses": "..",
    }
    assert paths(lay_out(files, "p", links)) == {"p/dbt_project.yml", "p/models/a.sql", "p/macros/one.sql"}


def test_the_profile_beside_the_project_tells_the_warehouse() -> None:
    files = {
        "t/dbt_project.yml": "name: a\nprofile: shop",
        "t/profiles.yml": "shop: {target: prod, outputs: {dev: {type: duckdb}, prod: {type: postgres, password: secret}}}",
        "profiles.yml": "shop: {target: dev, outputs: {dev: {type: snowflake}}}",
    }
    warehouse = lay_out(files, "t").warehouse
    assert (warehouse.adapter_type, warehouse.target) == ("postgres", "prod")
    assert "t/profiles.yml" in warehouse.evidence


def test_without_a_profile_the_default_is_stated() -> None:
    warehouse = lay_out({"dbt_project.yml": "name: a\nprofile: shop"}).warehouse
    assert (warehouse.adapter_type, warehouse.target) == ("duckdb", "dev")
    assert "default" in warehouse.evidence


@given(st.text(max_size=40))
def test_a_clean_path_stays_where_it_is(path: str) -> None:
    if project.is_clean(path):
        assert posixpath.normpath(posixpath.join("/work/src", path)) == f"/work/src/{path}"


@given(st.dictionaries(st.sampled_from(["dbt_project.yml", "packages.yml", "dependencies.yml", "profiles.yml"]), st.text(max_size=60)))
def test_no_text_crashes_the_layout(files: dict[str, str]) -> None:
    assert isinstance(lay_out({"models/a.sql": "select 1", **files}), Layout)
