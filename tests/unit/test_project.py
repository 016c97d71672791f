from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import TreeTooBigError
from app.inference import discovery, project
from app.inference.project import Entry, Layout
from app.settings import PATH, PackageRule, ProjectSettings, Settings


def tree(files: dict[str, str], links: dict[str, str] | None = None) -> tuple[list[Entry], dict[str, bytes]]:
    entries = [Entry(path, "100644", f"{abs(hash(text)):040x}", len(text.encode())) for path, text in files.items()]
    entries += [Entry(path, "120000", f"{abs(hash(to)):040x}", len(to)) for path, to in (links or {}).items()]
    texts = {path: text.encode() for path, text in (files | (links or {})).items()}
    return entries, texts


def lay_out(files: dict[str, str], project_dir: str = "", links: dict[str, str] | None = None, told: Settings | None = None) -> Layout:
    told = told or Settings()
    entries, texts = tree(files, links)
    read = {entry.path: texts[entry.path] for entry in project.config_entries(entries)}
    found = discovery.projects([entry.path for entry in entries], read, told)
    code = {entry.path: texts[entry.path] for entry in project.code_entries(entries, read, project_dir, told)}
    return project.lay_out(entries, {**read, **code}, project_dir, "octo/shop at 1a2b3c4", told, found)


def paths(layout: Layout) -> set[str]:
    return {member.path for member in layout.members}


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
    assert (layout.project_name, layout.profile, layout.packages, layout.found.projects) == ("shop", "shop", False, ("",))


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
    assert layout.packages
    assert {*layout.package_texts} == {path for path in files if path.endswith(".yml")}
    assert {"common/makros/m.sql", "base/models/b.sql", "common/packages.yml"} <= paths(layout)
    assert "common/macros/no.sql" not in paths(layout)


@pytest.mark.parametrize(
    ("packages", "any_to_install"),
    [
        ("packages: []", False),
        ("", False),
        ("projects: [{name: other}]", False),
        ("packages: [{package: dbt-labs/dbt_utils, version: 1.3.0}]", True),
        ("packages: [{local: ../common}, {git: 'https://example.com/x.git'}]", True),
        ("packages: [{local: ../common}]", True),
        ("packages: [{package: \"{{ env_var('P') }}\"}]", True),
        ("packages: {{ var('x') }}: [", True),
        ("{% if x %}\npackages: []\n{% endif %}", True),
    ],
)
@pytest.mark.parametrize("name", ["packages.yml", "dependencies.yml"])
def test_packages_are_installed_when_there_are_any(packages: str, name: str, *, any_to_install: bool) -> None:
    layout = lay_out({"t/dbt_project.yml": "name: a", f"t/{name}": packages}, "t")
    assert (layout.packages, layout.install_dir) == (any_to_install, "t/dbt_packages")


def test_a_local_package_that_only_the_lock_names_comes_along() -> None:
    files = {
        "it/dbt_project.yml": "name: it",
        "it/packages.yml": "packages: [{package: dbt-labs/dbt_utils, version: 1.3.0}]",
        "it/package-lock.yml": "packages: [{package: dbt-labs/dbt_utils, version: 1.3.0}, {local: ../}]",
        "dbt_project.yml": "name: shop",
        "models/a.sql": "select 1",
    }
    layout = lay_out(files, "it")
    assert "models/a.sql" in [member.path for member in layout.members]
    assert "dbt_project.yml" in layout.package_texts


def test_packages_of_local_packages_are_installed_too() -> None:
    files = {
        "dbt_project.yml": "name: a",
        "packages.yml": "packages: [{local: common}]",
        "package-lock.yml": "sha1_hash: x",
        "common/dbt_project.yml": "name: c",
        "common/packages.yml": "packages: [{package: x/y, version: 1.0.0}]",
        "other/packages.yml": "packages: [{package: x/z, version: 1.0.0}]",
    }
    assert {*lay_out(files).package_texts} == {path for path in files if not path.startswith("other/")}


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        (None, "t/dbt_packages"),
        ("dbt_modules", "t/dbt_modules"),
        ("../shared/libs", "shared/libs"),
        ("\"{{ env_var('DBT_PACKAGES_FOLDER', 'libs') }}\"", "t/libs"),
        ("\"{{ env_var('DBT_PACKAGES_FOLDER') }}\"", "t/dbt_packages"),
        ("/opt/libs", "t/dbt_packages"),
        ("../../libs", "t/dbt_packages"),
        (".", "t/dbt_packages"),
        ("..", "t/dbt_packages"),
        ("[a]", "t/dbt_packages"),
    ],
)
def test_packages_go_where_the_project_says_but_stay_in_the_repository(setting: str | None, place: str) -> None:
    config = "name: a\n" + (f"packages-install-path: {setting}\n" if setting else "")
    assert lay_out({"t/dbt_project.yml": config}, "t").install_dir == place


COMMITTED = {
    "dbt_project.yml": "name: a",
    "packages.yml": "packages: [{package: x/y, version: 1.0.0}, {package: x/z, version: 1.0.0}]",
    "dbt_packages/y/dbt_project.yml": "name: y",
    "dbt_packages/y/macros/m.sql": "...",
}


def test_committed_packages_are_used_as_they_are() -> None:
    layout = lay_out({**COMMITTED, "dbt_packages/z/dbt_project.yml": "name: z"})
    assert not layout.packages
    assert {"dbt_packages/y/macros/m.sql", "dbt_packages/z/dbt_project.yml"} <= paths(layout)
    assert layout.found == discovery.Found(("",), (), 5, ("dbt_packages/y", "dbt_packages/z"))


@pytest.mark.parametrize("packages", ["", "packages: {{"])
def test_committed_packages_count_also_where_none_can_be_read_off(packages: str) -> None:
    layout = lay_out({**COMMITTED, "packages.yml": packages})
    assert not layout.packages
    assert "dbt_packages/y/macros/m.sql" in paths(layout)


def test_packages_that_are_committed_in_part_are_installed_anew() -> None:
    layout = lay_out(COMMITTED)
    assert layout.packages
    assert not any(path.startswith("dbt_packages/") for path in paths(layout))


def test_a_directory_for_packages_without_any_is_none() -> None:
    assert lay_out({**COMMITTED, "dbt_packages/y/dbt_project.yml": ""} | {"dbt_packages/.gitkeep": ""}).packages
    assert lay_out(
        {"dbt_project.yml": "name: a", "packages.yml": COMMITTED["packages.yml"], "dbt_modules/y/dbt_project.yml": "name: y"}
    ).packages


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


def test_the_layout_says_what_for_with_which_dbt_and_by_which_settings() -> None:
    told = Settings(projects={"t": ProjectSettings(target="ci", variables={"a": 1})})
    files = {
        "t/dbt_project.yml": "name: a\nprofile: \"{{ env_var('PROFILE', 'shop') }}\"\nrequire-dbt-version: '>=1.6'",
        "t/profiles.yml": "shop: {target: prod, outputs: {ci: {type: postgres, password: secret}, prod: {type: snowflake}}}",
        "uv.lock": 'name = "dbt-core"\nversion = "1.7.9"',
        "tests/p/dbt_project.yml": "name: p",
        PATH: "",
    }
    layout = lay_out(files, "t", told=told)
    assert (layout.profile, layout.warehouse.adapter_type, layout.warehouse.target) == ("shop", "postgres", "ci")
    assert (layout.dbt.required, layout.dbt.locked) == ((">=1.6",), "1.7.9")
    assert layout.settings is told
    assert [out.directory for out in layout.found.left_out] == ["tests/p"]


def test_a_project_without_a_profile_gets_one_of_ours() -> None:
    layout = lay_out({"dbt_project.yml": "name: a", "models/a.sql": "select 1"})
    assert (layout.profile, layout.warehouse.adapter_type, layout.warehouse.target) == ("freshet", "duckdb", "dev")


def test_sql_tells_the_warehouse_when_nothing_else_does() -> None:
    layout = lay_out({"dbt_project.yml": "name: a", "models/a.sql": "select * from `p.d.orders`"})
    assert layout.warehouse.adapter_type == "bigquery"
    assert "`models/a.sql`" in layout.warehouse.evidence


def test_whatever_the_lineage_follows_from_changes_the_input() -> None:
    files = {
        "dbt_project.yml": "name: a",
        "packages.yml": "packages: [{package: x/y, version: 1.0.0}]",
        "models/a.sql": "select 1",
        "README.md": "a",
    }
    told = [
        Settings(),
        Settings(everywhere=ProjectSettings(variables={"a": 1})),
        Settings(everywhere=ProjectSettings(environment={"A": "1"})),
        Settings(everywhere=ProjectSettings(target="prod")),
        Settings(everywhere=ProjectSettings(adapter="trino")),
        Settings(everywhere=ProjectSettings(dbt_version="1.7")),
        Settings(packages=(PackageRule("x/y", skip=True),)),
    ]
    base = project.input_hash(lay_out(files), "duckdb", "image")
    others = [
        *(project.input_hash(lay_out(files, told=one), "duckdb", "image") for one in told[1:]),
        project.input_hash(lay_out({**files, "models/a.sql": "select 2"}), "duckdb", "image"),
        project.input_hash(lay_out({**files, "models/b.sql": "select 1"}), "duckdb", "image"),
        project.input_hash(lay_out({**files, "package-lock.yml": "packages: []"}), "duckdb", "image"),
        project.input_hash(lay_out(files), "postgres", "image"),
        project.input_hash(lay_out(files), "duckdb", "another image"),
    ]
    assert len({base, *others}) == 1 + len(others)
    same = [lay_out({**files, "README.md": "b"}), lay_out(files, told=Settings(projects={"other": ProjectSettings(target="x")}))]
    assert {project.input_hash(layout, "duckdb", "image") for layout in same} == {base}


def test_what_is_read_first_is_nearest_to_the_root_and_bounded() -> None:
    entries = [Entry(f"a/b/{number}/dbt_project.yml", "100644", "0" * 40, 100) for number in range(2000)]
    entries += [Entry(path, "100644", "0" * 40, 2 << 20) for path in ("uv.lock", "profiles.yml", "a/uv.lock")]
    entries += [Entry(path, "100644", "0" * 40, 10) for path in ("dbt_project.yml", PATH, "models/a.sql", "dbt_packages/x/packages.yml")]
    chosen = [entry.path for entry in project.config_entries(entries)]
    assert chosen[:2] == ["dbt_project.yml", PATH]
    assert chosen[-2:] == ["uv.lock", "a/uv.lock"]
    assert len(chosen) == project.MAX_CONFIG_FILES
    assert not {"profiles.yml", "models/a.sql", "dbt_packages/x/packages.yml"} & {*chosen}


def test_absurd_names_and_many_files_are_decided() -> None:
    names = ["x" * 2000, "/".join(["d"] * 400) + "/a.sql", "models/\u202e.sql", "models/a\nb.sql", "models/../a.sql", "models//a.sql"]
    files = {"dbt_project.yml": "name: a", "models/a.sql": "select 1"} | dict.fromkeys(names, "select 1")
    files |= {f"src/{number % 100}/{number}.sql": "" for number in range(20_000)}
    assert paths(lay_out(files)) == {"dbt_project.yml", "models/a.sql"}


@given(st.text(max_size=40))
def test_a_clean_path_stays_where_it_is(path: str) -> None:
    if project.is_clean(path):
        assert posixpath.normpath(posixpath.join("/work/src", path)) == f"/work/src/{path}"


@given(
    st.dictionaries(
        st.sampled_from(["dbt_project.yml", "packages.yml", "dependencies.yml", "profiles.yml", "uv.lock"]), st.text(max_size=60)
    )
)
def test_no_text_crashes_the_layout(files: dict[str, str]) -> None:
    assert isinstance(lay_out({"models/a.sql": "select 1", **files}), Layout)
