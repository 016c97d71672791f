from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.core.errors import NoProjectError
from app.project import discovery
from app.project.discovery import DiscoveredProjects
from app.project.repository_settings import PATH, ProjectSettings, RepositorySettings

SHOP = "name: shop\n"


def discover(files: dict[str, str], settings: RepositorySettings | None = None) -> DiscoveredProjects:
    return discovery.find_projects(
        files, {path: text.encode() for path, text in files.items() if not path.endswith(".sql")}, settings or RepositorySettings()
    )


def reasons(found: DiscoveredProjects) -> dict[str, str]:
    return {out.directory: out.reason for out in found.left_out}


def project(directory: str, name: str = "shop", *models: str) -> dict[str, str]:
    """The files of a small project."""
    prefix = f"{directory}/" if directory else ""
    return {f"{prefix}dbt_project.yml": f"name: {name}\n", **{f"{prefix}models/{model}.sql": "select 1" for model in models}}


@pytest.mark.parametrize(
    "directory",
    [
        "transform/dbt_packages/dbt_utils",
        "dbt_modules/dbt_utils",
        "target/x",
        ".venv/lib/python3.11/site-packages/dbt/include/starter_project",
        "venv/x",
        "tools/lib/site-packages/dbt",
        "web/Node_Modules/x",
        ".cache/copy",
        "transform/.hidden",
    ],
)
def test_directories_created_by_tools_are_skipped_without_a_report(directory: str) -> None:
    found = discover(project("", "main") | project(directory, "other"))
    assert (found.projects, found.left_out, found.unreported) == (("",), (), (directory,))


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        ("integration_tests", "integration tests"),
        ("integration_tests_2", "integration tests"),
        ("integration_tests_sl", "integration tests"),
        ("integration-tests/exclude_package", "is inside `integration-tests`"),
        ("integration-tests-sub-package", "integration tests"),
        ("integration_test_project", "integration tests"),
        ("dbt_integration_tests", "integration tests"),
        ("tests/tests_with_db/dbt_project", "is inside `tests`"),
        ("test", "tests"),
        ("e2e_dbt_project", "tests"),
        ("src/__tests__/proj", "tests"),
        ("pytest/fixtures/a", "test fixtures"),
        ("Fixture", "test fixtures"),
        ("test_data/p", "test fixtures"),
        ("templates/dbt", "templates"),
        ("{{cookiecutter.slug}}/dbt", "templates"),
        ("{{ cookiecutter.slug }}", "templates"),
        ("{% if dbt %}dbt{% endif %}", "templates"),
        ("[[ name ]]", "templates"),
        ("cookiecutter-dbt", "templates"),
        ("examples/jaffle_shop", "is inside `examples`"),
        ("Example", "examples"),
        ("dbt-sample-project", "examples"),
        ("demo", "examples"),
        ("docs/guide/shop", "examples"),
        ("archive/2020", "old copies"),
        ("deprecated", "old copies"),
        ("vendor/x", "third-party code"),
    ],
)
def test_directory_names_that_are_left_out(directory: str, words: str) -> None:
    found = discover(project("", "main") | project(directory, "other"))
    assert found.projects == ("",)
    assert words in reasons(found)[directory]


@pytest.mark.parametrize(
    "directory",
    [
        *(
            "transform",
            "dbt_test",
            "ab_tests",
            "testimonials",
            "samples_lab",
            "demographics",
            "templating",
            "latest",
            "archiver",
            "old_town",
        ),
        *(
            "contest",
            "attestations",
            "fixtureless",
            "environments/dev",
            "targets",
            "legacy",
            "sandbox",
            "documents",
            "exemplar",
            "integration",
        ),
    ],
)
def test_similar_names_are_not_left_out(directory: str) -> None:
    assert discover(project(directory)).projects == (directory,)


@pytest.mark.parametrize(
    "directory",
    [
        "examples/shop",
        "demo",
        "dbt-sample-project",
        "docs/dbt",
        "tutorial",
        "quickstart/a/b",
        "archive/shop",
        "old",
        "vendor/x",
        "test_project",
        "experimental/shop",
        "examples/experimental/shop",
    ],
)
def test_what_stands_alone_is_the_project(directory: str) -> None:
    inside = {**project(f"{directory}/integration_tests"), **project(f"{directory}/examples/small"), **project("tests/fixtures/a")}
    assert discover(project(directory)).projects == (directory,)
    assert discovery.find_projects([*project(directory)], {}, RepositorySettings()).projects == (directory,)
    assert discover({**project(directory), **inside}).projects == (directory,)
    assert discover({**project(directory), **project("transform")}).projects == ("transform",)


@pytest.mark.parametrize(
    "directories",
    [["examples/a", "examples/b"], ["tests/fixtures/a"], ["fixtures"], ["templates/dbt"], ["integration_tests"], ["tests/dbt_project"]],
)
def test_fixtures_templates_and_several_examples_are_no_project(directories: list[str]) -> None:
    found = discover({path: text for directory in directories for path, text in project(directory).items()})
    assert (found.projects, len(found.left_out)) == ((), len(directories))


@pytest.mark.parametrize("directory", ["experimental/a", "Experiments", "dbt_experiments/x/y"])
def test_experiments_beside_other_projects_are_left_out(directory: str) -> None:
    found = discover(project("", "main") | project(directory))
    assert found.projects == ("",)
    assert "which suggests experiments" in reasons(found)[directory]


def macros(directory: str, **more: str) -> dict[str, str]:
    return {f"{directory}/dbt_project.yml": f"name: {directory}\n", f"{directory}/macros/m.sql": "x", **more}


def test_packages_of_macros_are_left_out_beside_other_projects() -> None:
    files = {**project("shop", "shop", "a"), **macros("utils"), **macros("more", **{"more/tests/t.sql": "", "more/README.md": ""})}
    found = discover(files)
    assert found.projects == ("shop",)
    assert reasons(found) == dict.fromkeys(["more", "utils"], "has macros only, so it is a package for other projects")


@pytest.mark.parametrize(
    "more",
    [
        *({path: ""} for path in ("p/models/a.sql", "p/models/s.yml", "p/seeds/s.csv", "p/snapshots/s.sql", "p/analyses/a.sql")),
        *({path: ""} for path in ("p/functions/f.sql", "p/models/deep/m.py")),
        {"p/dbt_project.yml": "name: p\nmodel-paths: [m]", "p/m/a.sql": ""},
        {"p/dbt_project.yml": "name: p\nmodel-paths: [\"{{ var('x') }}\"]"},
        {"p/dbt_project.yml": "name: p\nmodel-paths: [../m]", "m/a.sql": ""},
        {"p/dbt_project.yml": "name: ["},
        {"p/dbt_project.yml": "name: p\nmacro-paths: [none]"},
    ],
)
def test_a_project_with_anything_but_macros_stays(more: dict[str, str]) -> None:
    assert discover({**project("shop", "shop", "a"), **macros("p"), **more}).projects == ("p", "shop")


def test_a_package_of_macros_that_stands_alone_is_the_project() -> None:
    root = {"dbt_project.yml": "name: utils\n", "macros/m.sql": "x"}
    assert discover(macros("utils")).projects == ("utils",)
    assert discover(root | project("integration_tests", "t", "a")).projects == ("",)
    assert discover(root | macros("inner")).projects == ("",)
    several = discover(macros("a") | macros("b"))
    assert (several.projects, len(several.left_out)) == ((), 2)
    with pytest.raises(NoProjectError, match="`a` has macros only"):
        discovery.choose_project(several, None, "octo/shop")


def test_projects_nearest_to_the_root_come_first() -> None:
    found = discover(project("b/c", "c") | project("b", "b") | project("a", "a") | project("", "main"))
    assert found.projects == ("", "a", "b", "b/c")
    assert discovery.choose_project(found, None, "x") == ""
    assert found.files == 4


def test_local_packages_are_left_out() -> None:
    files = project("common", "c") | project("base", "b") | project("sales", "s") | {"sales/packages.yml": "packages: [{local: ../common}]"}
    found = discover(files | {"common/dependencies.yml": "packages: [{local: ../base}]"})
    assert found.projects == ("sales",)
    assert reasons(found) == {"common": "is a local package of `sales`", "base": "is a local package of `common`"}


def test_of_packages_that_install_each_other_one_stays() -> None:
    files = (
        project("a", "a")
        | {"a/packages.yml": "packages: [{local: ../b}]"}
        | project("b", "b")
        | {"b/packages.yml": "packages: [{local: ../a}]"}
    )
    assert discover(files).projects == ("a",)


def test_projects_that_test_the_package_around_them_are_left_out() -> None:
    local = "packages:\n  - local: ../\n"
    files = project("", "utils") | project("integration_tests", "it") | {"integration_tests/packages.yml": local}
    files |= project("jaffle-shop", "jaffle_shop") | {"jaffle-shop/packages.yml": local}
    found = discover(files)
    assert found.projects == ("",)
    assert "tests the package that contains it" in reasons(found)["jaffle-shop"]


@pytest.mark.parametrize(
    "text",
    [
        "name: {{ cookiecutter.project_slug }}\nversion: 1\n",
        "name: '{{ cookiecutter.project_slug }}'\n",
        'name: "{% if x %}a{% endif %}"\n',
        "version: 1\nname: [[ project ]]\n",
        "name: ${PROJECT}\n",
    ],
)
def test_a_project_with_a_templated_name_is_left_out(text: str) -> None:
    found = discover(project("", "main") | {"blueprint/dbt_project.yml": text})
    assert found.projects == ("",)
    assert "template" in reasons(found)["blueprint"]


def test_a_name_with_dbts_own_jinja_is_not_a_template() -> None:
    assert discover({"dbt_project.yml": "name: \"{{ env_var('NAME', 'shop') }}\"\n"}).projects == ("",)


@pytest.mark.parametrize("text", ["name: [unclosed", "name: a\n  b: c", "\x00"])
def test_an_invalid_project_file_is_kept_for_dbt_to_report(text: str) -> None:
    assert discover(project("", "main") | {"t/dbt_project.yml": text}).projects == ("", "t")


@pytest.mark.parametrize("text", ["", "# later\n", "just words", "[1, 2]", "tasks: {a: b}"])
def test_a_project_file_without_dbt_settings_is_left_out_if_there_are_other_projects(text: str) -> None:
    assert discover({"t/dbt_project.yml": text}).projects == ("t",)
    assert discover({"dbt_project.yml": text} | project("t")).projects == ("", "t")
    found = discover(project("", "main") | {"t/dbt_project.yml": text})
    assert found.projects == ("",)
    assert "without any dbt setting" in reasons(found)["t"]


def test_a_copy_with_the_same_project_file_and_models_is_left_out() -> None:
    found = discover(project("dags/old_dbt", "shop", "a", "b", "extra") | project("dbt", "shop", "a", "b", "c", "d"))
    assert found.projects == ("dbt",)
    assert reasons(found) == {"dags/old_dbt": "is a copy of `dbt`"}


def test_two_projects_with_the_same_name_and_other_models_both_stay() -> None:
    assert discover(project("eu", "shop", "a", "b") | project("us", "shop", "x", "y")).projects == ("eu", "us")


@pytest.mark.parametrize("name", ["transform_old", "transform.bak", "transform-backup-2", "Copy of transform", "transform_copy"])
def test_an_old_copy_is_recognized_by_its_name(name: str) -> None:
    found = discover(project("dbt/transform", "a") | project(f"dbt/{name}", "b"))
    assert found.projects == ("dbt/transform",)
    assert "old copy of `dbt/transform`" in reasons(found)[f"dbt/{name}"]
    assert discover(project(f"dbt/{name}", "b")).projects == (f"dbt/{name}",)


def test_packages_committed_below_a_custom_install_path_are_skipped() -> None:
    files = {"dbt_project.yml": "name: a\npackages-install-path: libs\n"} | project("libs/dbt_utils", "dbt_utils") | project("other", "o")
    found = discover(files)
    assert (found.projects, found.left_out) == (("", "other"), ())
    assert discover({"t/dbt_project.yml": "name: a\npackages-install-path: ..\n"} | project("other", "o")).projects == ("other", "t")


def test_the_settings_file_overrides_the_rules() -> None:
    settings_file = RepositorySettings(
        projects={"examples/shop": ProjectSettings(), "nothing": ProjectSettings(), "dbt_packages/x": ProjectSettings()},
        ignored=frozenset({"legacy"}),
    )
    files = (
        project("", "main")
        | project("examples/shop", "s")
        | project("legacy", "l")
        | project("legacy/part", "p")
        | project("dbt_packages/x", "x")
    )
    found = discover(files, settings_file)
    assert found.projects == ("", "dbt_packages/x", "examples/shop")
    assert reasons(found) == {
        "legacy": f"is ignored in `{PATH}`",
        "legacy/part": f"is ignored in `{PATH}`",
        "nothing": f"is listed in `{PATH}` but has no `dbt_project.yml`",
    }
    assert discover(project("", "main") | project("a", "a"), RepositorySettings(ignored=frozenset({""}))).projects == ("a",)


def test_names_leave_nothing_out_while_the_settings_file_is_unread() -> None:
    paths = ["examples/shop/dbt_project.yml", "examples/more/dbt_project.yml", "dbt_packages/x/dbt_project.yml"]
    assert discovery.find_projects(paths, {}, RepositorySettings()).projects == ()
    assert discovery.find_projects([*paths, PATH], {}, RepositorySettings()).projects == ("examples/more", "examples/shop")


@pytest.mark.parametrize(("files", "words"), [([], "empty"), (["README.md"], "it has 1 file, but no")])
def test_an_error_without_any_project_names_the_missing_file(files: list[str], words: str) -> None:
    with pytest.raises(NoProjectError, match=words) as caught:
        discovery.choose_project(discovery.find_projects(files, {}, RepositorySettings()), None, "octo/shop at 1a2b3c4")
    assert "dbt_project.yml" in caught.value.user_text


def test_an_error_when_everything_is_left_out_gives_reasons_and_a_next_step() -> None:
    files = (
        project("examples/shop", "s") | project("tests/a", "a") | {f"demo/{number:02}/dbt_project.yml": "name: d" for number in range(20)}
    )
    with pytest.raises(NoProjectError) as caught:
        discovery.choose_project(discover(files), None, "octo/shop at 1a2b3c4")
    text = caught.value.user_text
    assert "`demo/00` is inside `demo`, which suggests examples" in text
    assert "12 more" in text
    assert "`.github/freshet.yml`" in text
    assert "`projects: [{dir: demo/00}]`" in text


def test_a_template_is_not_offered_as_yaml_to_paste() -> None:
    template = project("{{ cookiecutter.name }}", "x")
    with pytest.raises(NoProjectError) as caught:
        discovery.choose_project(discover(template), None, "octo/shop")
    assert "projects: [" not in caught.value.next_step
    assert caught.value.next_step.startswith("A template has no lineage until a project is made of it.")
    with pytest.raises(NoProjectError, match=r"left out") as caught:
        discovery.choose_project(discover(template | project("tests/a b", "y")), None, "octo/shop")
    assert '`projects: [{dir: "tests/a b"}]`' in caught.value.next_step


def test_a_requested_directory_is_used_even_if_it_was_left_out() -> None:
    found = discover(project("", "main") | project("integration_tests", "it") | project("dbt_packages/x", "x"))
    for requested in ("", "integration_tests", "dbt_packages/x"):
        assert discovery.choose_project(found, requested, "x") == requested
    with pytest.raises(NoProjectError, match="`transform`"):
        discovery.choose_project(found, "transform", "x")


def test_untrusted_names_cannot_break_out_of_backquotes() -> None:
    found = discovery.find_projects(["examples/`x` @all\n/dbt_project.yml", f"{'a' * 5000}/dbt_project.yml"], {}, RepositorySettings())
    assert not found.projects
    with pytest.raises(NoProjectError) as caught:
        discovery.choose_project(found, None, "x")
    assert "`examples/?x? @all?`" in caught.value.user_text
    assert len(caught.value.user_text) < 2000


def test_the_number_of_projects_is_limited() -> None:
    found = discovery.find_projects([f"p{number:04}/dbt_project.yml" for number in range(5000)], {}, RepositorySettings())
    assert (len(found.projects), len(found.left_out)) == (discovery.MAX_PROJECTS, 5000 - discovery.MAX_PROJECTS)


NAMES = st.sampled_from(["", "a", "b/c", "tests", "{{x}}", "a_old", "\u202e", "dbt_packages/x"])
TEXTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"name: a", b"packages: [{local: ..}]", b"packages: [{local: ../a}, 1, {local: []}]", b"packages-install-path: ."]),
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.tuples(NAMES, st.sampled_from(["dbt_project.yml", "packages.yml", "m.sql"])), TEXTS, max_size=8))
def test_discovery_never_crashes(files: dict[tuple[str, str], bytes]) -> None:
    texts = {f"{directory}/{name}".lstrip("/"): text for (directory, name), text in files.items()}
    found = discovery.find_projects(texts, texts, RepositorySettings())
    reported = [*found.projects, *found.unreported, *(out.directory for out in found.left_out)]
    assert len(reported) == len(set(reported)) == sum(path.endswith("dbt_project.yml") for path in texts)
