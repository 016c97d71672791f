from __future__ import annotations

import hashlib
import posixpath
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import TreeTooBigError
from app.lineage.nodes import Lineage
from app.project import discovery, read_files
from app.project import layout as project
from app.project.checkout import Checkout, Entry, check_out, is_clean, links_of
from app.project.layout import ProjectLayout
from app.project.repository_settings import PATH, PackageRule, ProjectSettings, RepositorySettings
from app.reports.notes import notes

NO_NODES = Lineage("shop", "1.11", "duckdb", "v12", ())


def oid(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def view(files: dict[str, str], links: dict[str, str] | None = None, submodules: Iterable[str] = ()) -> tuple[Checkout, dict[str, bytes]]:
    """A checkout of these files, and their contents by object id."""
    every = [("100644", path, text) for path, text in files.items()] + [("120000", path, to) for path, to in (links or {}).items()]
    entries = [Entry(path, mode, oid(text), len(text.encode())) for mode, path, text in every]
    entries += [Entry(path, "160000", "c" * 40, 0) for path in submodules]
    texts = {oid(text): text.encode() for _, _, text in every}
    return check_out(entries, {link.path: texts[link.oid] for link in links_of(entries)}), texts


def lay_out(
    files: dict[str, str],
    project_dir: str = "",
    links: dict[str, str] | None = None,
    settings_file: RepositorySettings | None = None,
    submodules: Iterable[str] = (),
) -> ProjectLayout:
    settings_file = settings_file or RepositorySettings()
    checkout, texts = view(files, links, submodules)
    read = {entry.path: texts[entry.oid] for entry in project.config_entries(checkout.files)}
    found = discovery.find_projects([entry.path for entry in checkout.files], read, settings_file, [*checkout.submodules])
    code = {entry.path: texts[entry.oid] for entry in project.code_entries(checkout, read, project_dir, settings_file)}
    return project.lay_out(checkout, {**read, **code}, project_dir, "octo/shop at 1a2b3c4", settings_file, found)


def paths(layout: ProjectLayout) -> set[str]:
    return {member.path for member in layout.members}


def test_only_files_that_dbt_reads_are_included() -> None:
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
    assert (layout.project_name, layout.profile, layout.needs_packages, layout.discovered.projects) == ("shop", "shop", False, ("",))


def test_paths_outside_the_project_directory_are_included() -> None:
    files = {
        "teams/sales/dbt_project.yml": 'name: sales\nmodel-paths: ["models", "../../shared/models"]\n',
        "teams/sales/models/a.sql": "select 1",
        "shared/models/b.sql": "select 2",
        "shared/other/c.sql": "select 3",
    }
    assert paths(lay_out(files, "teams/sales")) == {"teams/sales/dbt_project.yml", "teams/sales/models/a.sql", "shared/models/b.sql"}


def test_local_packages_are_included_recursively() -> None:
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
    assert layout.needs_packages
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
def test_packages_are_installed_if_the_project_asks_for_any(packages: str, name: str, *, any_to_install: bool) -> None:
    layout = lay_out({"t/dbt_project.yml": "name: a", f"t/{name}": packages}, "t")
    assert (layout.needs_packages, layout.install_dir) == (any_to_install, "t/dbt_packages")


def test_a_local_package_that_only_the_lock_file_names_is_included() -> None:
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
def test_the_install_path_is_the_projects_own_if_it_is_in_the_repository(setting: str | None, place: str) -> None:
    config = "name: a\n" + (f"packages-install-path: {setting}\n" if setting else "")
    assert lay_out({"t/dbt_project.yml": config}, "t").install_dir == place


COMMITTED = {
    "dbt_project.yml": "name: a",
    "packages.yml": "packages: [{package: x/y, version: 1.0.0}, {package: x/z, version: 1.0.0}]",
    "dbt_packages/y/dbt_project.yml": "name: y",
    "dbt_packages/y/macros/m.sql": "...",
}


def test_committed_packages_are_not_installed_again() -> None:
    layout = lay_out({**COMMITTED, "dbt_packages/z/dbt_project.yml": "name: z"})
    assert not layout.needs_packages
    assert {"dbt_packages/y/macros/m.sql", "dbt_packages/z/dbt_project.yml"} <= paths(layout)
    assert layout.discovered == discovery.DiscoveredProjects(("",), (), 5, unreported=("dbt_packages/y", "dbt_packages/z"))


@pytest.mark.parametrize("packages", ["", "packages: {{"])
def test_committed_packages_count_even_if_the_package_file_is_invalid(packages: str) -> None:
    layout = lay_out({**COMMITTED, "packages.yml": packages})
    assert not layout.needs_packages
    assert "dbt_packages/y/macros/m.sql" in paths(layout)


def test_only_what_is_missing_is_fetched() -> None:
    layout = lay_out(COMMITTED)
    assert (layout.needs_packages, layout.committed) == (True, {"x/y": "dbt_packages/y"})
    assert "dbt_packages/y/macros/m.sql" in paths(layout)


UNRELATED = {
    "t/a/dbt_project.yml": "name: a",
    "shared/dbt_project.yml": "name: shared",
    "shared/macros/m.sql": "...",
    "t/a/dbt_packages/dbt_utils/dbt_project.yml": "name: dbt_utils\nversion: 1.0.0",
    "t/a/dbt_packages/dbt_utils/macros/u.sql": "...",
}


@pytest.mark.parametrize(
    ("packages", "lock", "committed"),
    [
        ("[{local: ../../shared}]", None, {}),
        ("[{git: 'https://github.com/octo/other.git', revision: 1.0.0}, {package: dbt-labs/dbt_utils, version: 1.0.0}]", None, "utils"),
        ("[{package: calogica/dbt_expectations, version: 0.10.0}]", None, {}),
        ("[{tarball: 'https://example.com/x.tgz', name: other}]", None, {}),
        ("[{package: dbt-labs/dbt_utils, version: ['>=1.1.0', '<2.0.0']}]", None, {}),
        ("[{package: dbt-labs/dbt_utils, version: 1.3.0}]", "[{package: dbt-labs/dbt_utils, version: 1.2.0, name: dbt_utils}]", {}),
    ],
)
def test_a_committed_package_that_nobody_asks_for_is_no_installation(packages: str, lock: str | None, committed: object) -> None:
    files = {**UNRELATED, "t/a/packages.yml": f"packages: {packages}"} | ({"t/a/package-lock.yml": f"packages: {lock}"} if lock else {})
    layout = lay_out(files, "t/a")
    used = {"dbt-labs/dbt_utils": "t/a/dbt_packages/dbt_utils"} if committed == "utils" else {}
    assert (layout.needs_packages, layout.committed) == (True, used)
    assert ("t/a/dbt_packages/dbt_utils/macros/u.sql" in paths(layout)) is bool(used)


@pytest.mark.parametrize(
    ("packages", "lock"),
    [
        ("[{package: dbt-labs/dbt_utils, version: '1.0.0'}]", None),
        ("[{package: dbt-labs/dbt_utils, version: ['>=0.9.0', '<2.0.0']}]", None),
        ("[{package: dbt-labs/dbt_utils, version: 1.3.0}]", "[{package: dbt-labs/dbt_utils, version: 1.3.0, name: dbt_utils}]"),
        ("[{git: 'https://github.com/dbt-labs/dbt-utils.git', revision: 1.3.0}]", None),
        ("[{git: 'https://github.com/octo/our-things', revision: main}]", None),
        ("[{private: octo/dbt_utils, revision: main}]", None),
        ("[{tarball: 'https://example.com/x.tgz', name: dbt_utils}]", None),
        ("[{package: \"{{ env_var('P') }}\", version: 1.0.0}]", None),
    ],
)
def test_a_committed_package_is_recognized_by_name_and_version(packages: str, lock: str | None) -> None:
    files = {**UNRELATED, "t/a/packages.yml": f"packages: {packages}"} | ({"t/a/package-lock.yml": f"packages: {lock}"} if lock else {})
    layout = lay_out(files, "t/a")
    assert not layout.needs_packages
    assert "t/a/dbt_packages/dbt_utils/macros/u.sql" in paths(layout)


def test_the_packages_of_committed_packages_count_too() -> None:
    asks = {"dbt_packages/y/packages.yml": "packages: [{package: x/w, version: 1.0.0}]", "dbt_packages/z/dbt_project.yml": "name: z"}
    assert lay_out({**COMMITTED, **asks}).committed == {"x/y": "dbt_packages/y", "x/z": "dbt_packages/z"}
    assert not lay_out({**COMMITTED, **asks, "dbt_packages/w/dbt_project.yml": "name: w"}).needs_packages


def test_a_local_package_may_be_committed_as_the_link_that_dbt_makes() -> None:
    files = {
        "a/dbt_project.yml": "name: a",
        "a/packages.yml": "packages: [{local: ../b}]",
        "b/dbt_project.yml": "name: b",
        "b/macros/m.sql": "",
    }
    layout = lay_out(files, "a", {"a/dbt_packages/b": "../../b"})
    assert not layout.needs_packages
    assert {"a/dbt_packages/b", "b/dbt_project.yml", "b/macros/m.sql"} <= paths(layout)


def test_an_empty_package_directory_does_not_count() -> None:
    assert lay_out({**COMMITTED, "dbt_packages/y/dbt_project.yml": ""} | {"dbt_packages/.gitkeep": ""}).needs_packages
    assert lay_out(
        {"dbt_project.yml": "name: a", "packages.yml": COMMITTED["packages.yml"], "dbt_modules/y/dbt_project.yml": "name: y"}
    ).needs_packages


def test_invalid_yaml_is_left_for_dbt_to_report() -> None:
    layout = lay_out({"dbt_project.yml": "name: [unclosed", "models/a.sql": "select 1", "anywhere/b.sql": "select 1"})
    assert paths(layout) == {"dbt_project.yml", "models/a.sql", "anywhere/b.sql"}


@pytest.mark.parametrize(
    ("flags", "kept"),
    [("", (1 << 20) + 1), ("{maximum_seed_size_mib: 3}", (3 << 20) + 1), ("{maximum_seed_size_mib: 0}", 5 << 20), ("[x]", (1 << 20) + 1)],
)
def test_dbt_gets_as_much_of_a_seed_as_it_compares(flags: str, kept: int) -> None:
    files = {"dbt_project.yml": f"name: a\nflags: {flags}", "seeds/small.csv": "1\n" * 300_000, "seeds/big.CSV": "1\n" * (5 << 19)}
    layout = lay_out({**files, "tests/fixtures/expected.csv": "1\n" * (5 << 19)})
    sizes = {member.path: member.size for member in layout.members}
    assert (sizes["seeds/small.csv"], sizes["seeds/big.CSV"], sizes["tests/fixtures/expected.csv"]) == (600_000, kept, 5 << 20)
    assert layout.long_seeds == (("seeds/big.CSV",) if kept < 5 << 20 else ())


def test_a_huge_tree_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_files, "MAX_FILES", 2)
    with pytest.raises(TreeTooBigError, match="more than 2 files"):
        lay_out({"dbt_project.yml": "name: a", "models/a.sql": "", "models/b.sql": ""})


def test_files_at_the_root_and_only_there() -> None:
    files = dict.fromkeys(["vars.yml", "selectors.yml", "packages.yml", "dependencies.yml", "package-lock.yml", ".dbtignore"], "")
    more = {"other.yml": "", "profiles.yml": "", "catalogs.yml": "", "x/vars.yml": "", "osi/a/b.json": "{}", "models/x.json": "{}"}
    layout = lay_out({"dbt_project.yml": "name: a", **files, **more, "models/.hidden.sql": "", "models/~a.sql": "", "models/A.SQL": ""})
    assert paths(layout) == {"dbt_project.yml", *files, "osi/a/b.json", "models/A.SQL"}


def test_a_change_of_the_variables_alone_is_a_change() -> None:
    before, after = (lay_out({"dbt_project.yml": "name: a", "vars.yml": f"vars: {{x: {x}}}"}) for x in (1, 2))
    assert project.input_hash(before, "duckdb") != project.input_hash(after, "duckdb")


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("\"{{ env_var('MODELS', 'm') }}\"", {"m/a.sql"}),
        ("\"{{ env_var('SET') }}/sub\"", {"given/sub/b.sql"}),
        ("[\"{{ var('where') }}\", './m/']", {"m/a.sql", "other/c.sql"}),
        ('"{{ target.name }}"', {"m/a.sql", "given/sub/b.sql", "other/c.sql"}),
        ("/m", set()),
        ("../m", set()),
    ],
)
def test_paths_may_be_expressions(setting: str, found: set[str]) -> None:
    settings = RepositorySettings(everywhere=ProjectSettings(environment={"SET": "given"}, variables={"where": "other"}))
    files = {"dbt_project.yml": f"name: a\nmodel-paths: {setting}", "m/a.sql": "", "given/sub/b.sql": "", "other/c.sql": ""}
    assert paths(lay_out(files, settings_file=settings)) == {"dbt_project.yml", *found}


def test_links_are_followed_as_dbt_follows_them() -> None:
    files = {"p/dbt_project.yml": "name: a", "shared/m/a.sql": "select 1", "one.sql": "select 2", "shared/m/sub/b.sql": "select 3"}
    links = {
        "p/models": "../shared/m",
        "p/macros/one.sql": "../../one.sql",
        "p/macros/chain.sql": "../../again.sql",
        "again.sql": "link/a.sql",
        "link": "shared/m/.",
        "p/tests/t.sql": "up/../one.sql",
        "p/tests/up": "../..",
        "p/snapshots/below": "../../shared/m",
        "p/analyses": "../shared",
    }
    layout = lay_out(files, "p", links)
    assert paths(layout) == {*files, "p/macros/one.sql", "p/macros/chain.sql", "p/models", "p/analyses"} - {"one.sql"}
    assert {member.path: member.target for member in layout.members if member.target} == {
        "p/models": "../shared/m",
        "p/analyses": "../shared",
    }
    assert {*layout.omitted} == {"p/tests/t.sql"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "leads to an absolute path"),
        ("../../../etc/passwd", "leads out of the repository"),
        ("nowhere.sql", "leads to `models/nowhere.sql`, which does not exist"),
        ("nowhere/../b.sql", "leads to `models/nowhere`, which does not exist"),
        ("a.sql", "leads back to itself, or to more than 40 other links"),
        ("../libs/x.sql", "leads into the git submodule `libs`"),
        ("./" * 400 + "b.sql", "leads through too many directories"),
    ],
)
def test_a_link_that_leads_nowhere_is_reported(target: str, reason: str) -> None:
    layout = lay_out({"dbt_project.yml": "name: a", "models/b.sql": ""}, "", {"models/a.sql": target}, submodules=["libs"])
    assert layout.omitted["models/a.sql"] == f"is a symbolic link that {reason}"
    (note,) = (note for note in notes(layout, "duckdb", "image", NO_NODES) if note.startswith("Not read"))
    assert f"`models/a.sql` is a symbolic link that {reason}" in note


def test_configuration_files_may_be_links() -> None:
    files = {"conf/base.yml": "name: a\nmodel-paths: [m]", "t/m/a.sql": "", "deps/p.txt": "packages: [{local: ../linked}]"}
    files |= {"real/dbt_project.yml": "name: real", "real/macros/m.sql": ""}
    layout = lay_out(files, "t", {"t/dbt_project.yml": "../conf/base.yml", "t/packages.yml": "../deps/p.txt", "linked": "real"})
    assert (layout.project_name, layout.discovered.projects) == ("a", ("t",))
    assert {"t/dbt_project.yml", "t/packages.yml", "t/m/a.sql", "linked", "real/dbt_project.yml", "real/macros/m.sql"} <= paths(layout)


def test_many_links_are_resolved_in_linear_time() -> None:
    links = {f"models/{number}.sql": f"{number + 1}.sql" for number in range(3000)} | {
        f"x{n}": f"{'a/../' * 500}x{n + 1}" for n in range(500)
    }
    began = time.process_time()
    layout = lay_out({"dbt_project.yml": "name: a", "models/3000.sql": ""}, "", links)
    assert time.process_time() - began < 5
    assert len(layout.omitted) == 3000


def test_what_is_in_a_submodule_is_said_to_be() -> None:
    files = {"dbt_project.yml": "name: a\nmacro-paths: [libs/m/macros]", "packages.yml": "packages: [{local: libs/shared}]"}
    layout = lay_out(files, submodules=["libs/shared", "libs/m", "web/theme"])
    assert layout.omitted == dict.fromkeys(["libs/shared", "libs/m"], "is a git submodule, which Freshet does not fetch")


def test_unusual_names_are_read_or_reported() -> None:
    read = ["models/-x.sql", "models/a b.sql", 'models/it\'s "q".sql', "models/é.sql", "models/e\u0301.sql", "models/\u3000wide.sql"]
    read += ["models/A.sql", "models/a.sql", "models/\u202e.sql", "models/\U0001f469\u200d\U0001f4bb.sql", "models/\\back.sql"]
    read += [f"models/{'x' * 250}.sql", "models/" + "d/" * 500 + "a.sql"]
    lost = {
        "models/a\nb.sql": "has control characters in its name",
        "models/\udce9.sql": "has a name that is not UTF-8",
        f"models/{'x' * 252}.sql": "has a name that is too long",
        "models/" + "é" * 130 + ".sql": "has a name that is too long",
        "models/" + "d/" * 1100 + "a.sql": "has a name that is too long",
    }
    layout = lay_out({"dbt_project.yml": "name: a"} | dict.fromkeys([*read, *lost, "models//a.sql", "models/../a.sql"], ""))
    assert paths(layout) == {"dbt_project.yml", *read}
    assert layout.omitted == lost | dict.fromkeys(["models//a.sql", "models/../a.sql"], "has a name that git does not allow")


def test_the_layout_has_the_adapter_dbt_version_and_settings() -> None:
    settings_file = RepositorySettings(projects={"t": ProjectSettings(target="ci", variables={"a": 1})})
    files = {
        "t/dbt_project.yml": "name: a\nprofile: \"{{ env_var('PROFILE', 'shop') }}\"\nrequire-dbt-version: '>=1.6'",
        "t/profiles.yml": "shop: {target: prod, outputs: {ci: {type: postgres, password: secret}, prod: {type: snowflake}}}",
        "uv.lock": 'name = "dbt-core"\nversion = "1.7.9"',
        "tests/p/dbt_project.yml": "name: p",
        PATH: "",
    }
    layout = lay_out(files, "t", settings_file=settings_file)
    assert (layout.profile, layout.adapter.adapter_type, layout.adapter.target) == ("shop", "postgres", "ci")
    assert (layout.dbt.required, layout.dbt.locked) == ((">=1.6",), "1.7.9")
    assert layout.settings is settings_file
    assert [out.directory for out in layout.discovered.left_out] == ["tests/p"]


def test_a_project_without_a_profile_gets_the_default_one() -> None:
    layout = lay_out({"dbt_project.yml": "name: a", "models/a.sql": "select 1"})
    assert (layout.profile, layout.adapter.adapter_type, layout.adapter.target) == ("freshet", "duckdb", "dev")


def test_sql_decides_the_adapter_if_nothing_else_does() -> None:
    layout = lay_out({"dbt_project.yml": "name: a", "models/a.sql": "select * from `p.d.orders`"})
    assert layout.adapter.adapter_type == "bigquery"
    assert "`models/a.sql`" in layout.adapter.evidence


def test_everything_that_determines_the_lineage_changes_the_input_hash() -> None:
    files = {
        "dbt_project.yml": "name: a",
        "packages.yml": "packages: [{package: x/y, version: 1.0.0}]",
        "models/a.sql": "select 1",
        "README.md": "a",
    }
    variants = [
        RepositorySettings(),
        RepositorySettings(everywhere=ProjectSettings(variables={"a": 1})),
        RepositorySettings(everywhere=ProjectSettings(environment={"A": "1"})),
        RepositorySettings(everywhere=ProjectSettings(target="prod")),
        RepositorySettings(everywhere=ProjectSettings(adapter="trino")),
        RepositorySettings(everywhere=ProjectSettings(dbt_version="1.7")),
        RepositorySettings(packages=(PackageRule("x/y", skip=True),)),
    ]
    base = project.input_hash(lay_out(files), "duckdb", "image")
    others = [
        *(project.input_hash(lay_out(files, settings_file=one), "duckdb", "image") for one in variants[1:]),
        project.input_hash(lay_out({**files, "models/a.sql": "select 2"}), "duckdb", "image"),
        project.input_hash(lay_out({**files, "models/b.sql": "select 1"}), "duckdb", "image"),
        project.input_hash(lay_out({**files, "package-lock.yml": "packages: []"}), "duckdb", "image"),
        project.input_hash(lay_out(files), "postgres", "image"),
        project.input_hash(lay_out(files), "duckdb", "another image"),
        project.input_hash(lay_out({**files, "CODEOWNERS": "* @acme/data"}), "duckdb", "image"),
        project.input_hash(lay_out({**files, "CODEOWNERS": "* @acme/bi"}), "duckdb", "image"),
    ]
    assert len({base, *others}) == 1 + len(others)
    same = [
        lay_out({**files, "README.md": "b"}),
        lay_out({**files, "models/CODEOWNERS": "* @acme/data"}),
        lay_out(files, settings_file=RepositorySettings(projects={"other": ProjectSettings(target="x")})),
    ]
    assert {project.input_hash(layout, "duckdb", "image") for layout in same} == {base}


def test_code_owners_are_read_from_the_first_place_that_github_looks_at() -> None:
    places = {".github/CODEOWNERS": "* @a", "CODEOWNERS": "* @b", "docs/CODEOWNERS": "* @c"}
    found = []
    while places:
        found.append(lay_out({"shop/dbt_project.yml": "name: shop", "shop/CODEOWNERS": "* @d", **places}, "shop").code_owners)
        del places[next(iter(places))]
    assert found == [b"* @a", b"* @b", b"* @c"]
    assert lay_out({"dbt_project.yml": "name: shop"}).code_owners is None


def test_code_owners_that_are_longer_than_github_reads_own_nothing() -> None:
    own = Entry("dbt_project.yml", "100644", "0" * 40, 10)
    for size, is_read in ((3 << 20, True), ((3 << 20) + 1, False)):
        chosen = project.config_entries(
            [own, Entry("CODEOWNERS", "100644", "1" * 40, size), Entry("docs/CODEOWNERS", "100644", "2" * 40, 9)]
        )
        assert ("CODEOWNERS" in [entry.path for entry in chosen], len(chosen)) == (is_read, 1 + is_read)


def test_files_nearest_to_the_root_are_read_first_up_to_a_limit() -> None:
    entries = [Entry(f"a/b/{number}/dbt_project.yml", "100644", "0" * 40, 100) for number in range(2000)]
    entries += [Entry(path, "100644", "0" * 40, 2 << 20) for path in ("uv.lock", "profiles.yml", "a/uv.lock")]
    entries += [Entry(path, "100644", "0" * 40, 10) for path in ("dbt_project.yml", PATH, "models/a.sql", "dbt_packages/x/packages.yml")]
    chosen = [entry.path for entry in project.config_entries(entries)]
    assert chosen[:2] == ["dbt_project.yml", PATH]
    assert chosen[-2:] == ["uv.lock", "a/uv.lock"]
    assert len(chosen) == project.MAX_CONFIG_FILES
    assert not {"profiles.yml", "models/a.sql", "dbt_packages/x/packages.yml"} & {*chosen}


@given(st.text(max_size=40))
def test_a_clean_path_stays_below_its_root(path: str) -> None:
    if is_clean(path):
        assert posixpath.normpath(posixpath.join("/work/src", path)) == f"/work/src/{path}"


@given(
    st.dictionaries(
        st.sampled_from(["dbt_project.yml", "packages.yml", "dependencies.yml", "profiles.yml", "uv.lock"]), st.text(max_size=60)
    )
)
def test_layout_never_crashes(files: dict[str, str]) -> None:
    assert isinstance(lay_out({"models/a.sql": "select 1", **files}), ProjectLayout)
