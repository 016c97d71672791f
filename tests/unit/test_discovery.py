from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import NoProjectError
from app.inference import discovery
from app.inference.discovery import Found
from app.settings import PATH, ProjectSettings, Settings

SHOP = "name: shop\n"


def look(files: dict[str, str], told: Settings | None = None) -> Found:
    return discovery.projects(files, {path: text.encode() for path, text in files.items() if not path.endswith(".sql")}, told or Settings())


def reasons(found: Found) -> dict[str, str]:
    return {out.directory: out.reason for out in found.left_out}


def project(directory: str, name: str = "shop", *models: str) -> dict[str, str]:
    """Return a small project of its own name and files."""
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
def test_what_tools_put_there_is_not_spoken_of(directory: str) -> None:
    found = look(project("", "main") | project(directory, "other"))
    assert (found.projects, found.left_out, found.unspoken) == (("",), (), (directory,))


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        ("integration_tests", "integration tests"),
        ("integration_tests_2", "integration tests"),
        ("integration_tests_sl", "integration tests"),
        ("integration-tests/exclude_package", "is below `integration-tests`"),
        ("integration-tests-sub-package", "integration tests"),
        ("integration_test_project", "integration tests"),
        ("dbt_integration_tests", "integration tests"),
        ("tests/tests_with_db/dbt_project", "is below `tests`"),
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
        ("examples/jaffle_shop", "is below `examples`"),
        ("Example", "examples"),
        ("dbt-sample-project", "examples"),
        ("demo", "examples"),
        ("docs/guide/shop", "examples"),
        ("archive/2020", "old copies"),
        ("deprecated", "old copies"),
        ("vendor/x", "others' work"),
    ],
)
def test_names_of_directories_that_hold_no_project(directory: str, words: str) -> None:
    found = look(project("", "main") | project(directory, "other"))
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
def test_names_that_only_sound_like_it_are_projects(directory: str) -> None:
    assert look(project(directory)).projects == (directory,)


def test_the_nearest_to_the_root_come_first() -> None:
    found = look(project("b/c", "c") | project("b", "b") | project("a", "a") | project("", "main"))
    assert found.projects == ("", "a", "b", "b/c")
    assert discovery.choose(found, None, "x") == ""
    assert found.files == 4


def test_a_local_package_of_another_project_is_none_of_its_own() -> None:
    files = project("common", "c") | project("base", "b") | project("sales", "s") | {"sales/packages.yml": "packages: [{local: ../common}]"}
    found = look(files | {"common/dependencies.yml": "packages: [{local: ../base}]"})
    assert found.projects == ("sales",)
    assert reasons(found) == {"common": "is a local package of `sales`", "base": "is a local package of `common`"}


def test_packages_that_install_each_other_leave_one() -> None:
    files = (
        project("a", "a")
        | {"a/packages.yml": "packages: [{local: ../b}]"}
        | project("b", "b")
        | {"b/packages.yml": "packages: [{local: ../a}]"}
    )
    assert look(files).projects == ("a",)


def test_a_repository_that_is_a_package_is_a_project_and_what_tries_it_out_is_none() -> None:
    local = "packages:\n  - local: ../\n"
    files = project("", "utils") | project("integration_tests", "it") | {"integration_tests/packages.yml": local}
    files |= project("jaffle-shop", "jaffle_shop") | {"jaffle-shop/packages.yml": local}
    found = look(files)
    assert found.projects == ("",)
    assert "tries out the package around it" in reasons(found)["jaffle-shop"]


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
def test_a_project_file_whose_name_is_to_be_filled_in_is_a_template(text: str) -> None:
    found = look(project("", "main") | {"blueprint/dbt_project.yml": text})
    assert found.projects == ("",)
    assert "template" in reasons(found)["blueprint"]


def test_jinja_of_dbt_in_a_name_is_no_template() -> None:
    assert look({"dbt_project.yml": "name: \"{{ env_var('NAME', 'shop') }}\"\n"}).projects == ("",)


@pytest.mark.parametrize("text", ["name: [unclosed", "name: a\n  b: c", "\x00"])
def test_an_unreadable_file_is_for_dbt_to_complain_about(text: str) -> None:
    assert look(project("", "main") | {"t/dbt_project.yml": text}).projects == ("", "t")


@pytest.mark.parametrize("text", ["", "# later\n", "just words", "[1, 2]", "tasks: {a: b}"])
def test_a_file_that_says_nothing_of_dbt_counts_only_where_there_is_no_other(text: str) -> None:
    assert look({"t/dbt_project.yml": text}).projects == ("t",)
    assert look({"dbt_project.yml": text} | project("t")).projects == ("", "t")
    found = look(project("", "main") | {"t/dbt_project.yml": text})
    assert found.projects == ("",)
    assert "says nothing dbt knows" in reasons(found)["t"]


def test_a_copy_is_told_by_its_name_and_files() -> None:
    found = look(project("dags/old_dbt", "shop", "a", "b", "extra") | project("dbt", "shop", "a", "b", "c", "d"))
    assert found.projects == ("dbt",)
    assert reasons(found) == {"dags/old_dbt": "is a copy of `dbt`"}


def test_two_projects_may_have_one_name_by_accident() -> None:
    assert look(project("eu", "shop", "a", "b") | project("us", "shop", "x", "y")).projects == ("eu", "us")


@pytest.mark.parametrize("name", ["transform_old", "transform.bak", "transform-backup-2", "Copy of transform", "transform_copy"])
def test_an_old_copy_is_told_by_the_name_of_what_it_was(name: str) -> None:
    found = look(project("dbt/transform", "a") | project(f"dbt/{name}", "b"))
    assert found.projects == ("dbt/transform",)
    assert "old copy of `dbt/transform`" in reasons(found)[f"dbt/{name}"]
    assert look(project(f"dbt/{name}", "b")).projects == (f"dbt/{name}",)


def test_packages_that_are_committed_under_a_name_of_the_project() -> None:
    files = {"dbt_project.yml": "name: a\npackages-install-path: libs\n"} | project("libs/dbt_utils", "dbt_utils") | project("other", "o")
    found = look(files)
    assert (found.projects, found.left_out) == (("", "other"), ())
    assert look({"t/dbt_project.yml": "name: a\npackages-install-path: ..\n"} | project("other", "o")).projects == ("other", "t")


def test_a_linked_project_file_is_read_where_it_points() -> None:
    files = project("", "main") | {"eu/dbt_project.yml": "../shared/dbt_project.yml"} | project("shared", "s", "a")
    assert look(files).projects == ("", "eu", "shared")


def test_the_file_of_settings_has_the_last_word() -> None:
    told = Settings(
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
    found = look(files, told)
    assert found.projects == ("", "dbt_packages/x", "examples/shop")
    assert reasons(found) == {
        "legacy": f"is ignored by `{PATH}`",
        "legacy/part": f"is ignored by `{PATH}`",
        "nothing": f"is listed in `{PATH}` and holds no `dbt_project.yml`",
    }
    assert look(project("", "main") | project("a", "a"), Settings(ignored=frozenset({""}))).projects == ("a",)


def test_from_outside_a_file_of_settings_that_was_not_read_may_list_any() -> None:
    paths = ["examples/shop/dbt_project.yml", "dbt_packages/x/dbt_project.yml"]
    assert discovery.projects(paths, {}, Settings()).projects == ()
    assert discovery.projects([*paths, PATH], {}, Settings()).projects == ("examples/shop",)


@pytest.mark.parametrize(("files", "words"), [([], "empty"), (["README.md"], "none of its 1 files")])
def test_no_project_says_what_was_looked_for(files: list[str], words: str) -> None:
    with pytest.raises(NoProjectError, match=words) as caught:
        discovery.choose(discovery.projects(files, {}, Settings()), None, "octo/shop at 1a2b3c4")
    assert "dbt_project.yml" in caught.value.user_text


def test_when_all_are_left_out_the_reasons_are_told_and_what_to_do() -> None:
    files = (
        project("examples/shop", "s") | project("tests/a", "a") | {f"demo/{number:02}/dbt_project.yml": "name: d" for number in range(20)}
    )
    with pytest.raises(NoProjectError) as caught:
        discovery.choose(look(files), None, "octo/shop at 1a2b3c4")
    text = caught.value.user_text
    assert "`demo/00` is below `demo`, a name of examples" in text
    assert "12 more" in text
    assert "`.github/freshet.yml`" in text
    assert "`projects: [{dir: demo/00}]`" in text


def test_a_wanted_directory_is_taken_also_when_it_was_left_out() -> None:
    found = look(project("", "main") | project("integration_tests", "it") | project("dbt_packages/x", "x"))
    for wanted in ("", "integration_tests", "dbt_packages/x"):
        assert discovery.choose(found, wanted, "x") == wanted
    with pytest.raises(NoProjectError, match="`transform`"):
        discovery.choose(found, "transform", "x")


def test_names_of_strangers_stay_in_their_quotes() -> None:
    found = discovery.projects(["examples/`x` @all\n/dbt_project.yml", f"{'a' * 5000}/dbt_project.yml"], {}, Settings())
    assert not found.projects
    with pytest.raises(NoProjectError) as caught:
        discovery.choose(found, None, "x")
    assert "`examples/?x? @all?`" in caught.value.user_text
    assert len(caught.value.user_text) < 2000


def test_too_many_projects_are_bounded() -> None:
    found = discovery.projects([f"p{number:04}/dbt_project.yml" for number in range(5000)], {}, Settings())
    assert (len(found.projects), len(found.left_out)) == (discovery.MAX_PROJECTS, 5000 - discovery.MAX_PROJECTS)


NAMES = st.sampled_from(["", "a", "b/c", "tests", "{{x}}", "a_old", "\u202e", "dbt_packages/x"])
TEXTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"name: a", b"packages: [{local: ..}]", b"packages: [{local: ../a}, 1, {local: []}]", b"packages-install-path: ."]),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.tuples(NAMES, st.sampled_from(["dbt_project.yml", "packages.yml", "m.sql"])), TEXTS, max_size=8))
def test_no_text_crashes_discovery(files: dict[tuple[str, str], bytes]) -> None:
    texts = {f"{directory}/{name}".lstrip("/"): text for (directory, name), text in files.items()}
    found = discovery.projects(texts, texts, Settings())
    spoken = [*found.projects, *found.unspoken, *(out.directory for out in found.left_out)]
    assert len(spoken) == len(set(spoken)) == sum(path.endswith("dbt_project.yml") for path in texts)
