from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.core.models.quality import QualitySettings
from app.core.yaml_schema import MAX_FAULTS
from app.project.impact_policy import EffectivePolicy, ImpactPolicy
from app.project.quality_settings import QualityPolicy
from app.project.repository_settings import MAX_BYTES, PackageRule, ProjectSettings, RepositorySettings, read

PAGE = (Path(__file__).parents[2] / "docs/freshet-yml.md").read_text()


def complaint(text: str) -> tuple[str, int | None]:
    settings = read(text.encode())
    assert settings == RepositorySettings(complaints=settings.complaints), "a broken file changes no setting"
    assert len(settings.complaints) == 1
    return settings.complaints[0].message, settings.complaints[0].line


@pytest.mark.parametrize("text", [None, b"", b"# later\n", b"---\n", b"~", b"vars:\nenv:\nprojects:\npackages:\nbranches:\n"])
def test_an_empty_file_is_valid(text: bytes | None) -> None:
    assert read(text) == RepositorySettings()


def test_the_example_of_the_page_is_read() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    settings = read(example[1].encode())
    everywhere = ProjectSettings(
        *("1.10", "snowflake", "prod"),
        {"start_date": "2020-01-01", "countries": ["be", "nl"]},
        {"DBT_SCHEMA": "analytics", "PORT": "5432"},
        "analytics",
        "prod",
        ImpactPolicy("fail", ("transform/models/marts",), ("finance",)),
        QualityPolicy(QualitySettings({"contracts": 0}, frozenset({"unused_models"}), ("transform/models/legacy",))),
    )
    assert settings.complaints == ()
    assert settings.everywhere == settings.for_project("elsewhere") == everywhere
    assert settings.for_project("transform").target == "ci"
    assert settings.for_project("transform").adapter == "snowflake"
    assert settings.for_project("transform").variables == {"start_date": "2024-01-01", "countries": ["be", "nl"]}
    assert settings.ignored == {"sandbox"}
    assert [settings.includes_branch(branch) for branch in ("main", "release/2024/1", "feature")] == [True, True, False]
    assert settings.packages == (
        PackageRule("https://gitlab.com/acme/utils.git", use="acme/utils"),
        PackageRule("acme/old_package", skip=True),
    )


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("fail", ImpactPolicy("fail")),
        ("neutral", ImpactPolicy()),
        ("off", ImpactPolicy("off")),
        ('"off"', ImpactPolicy("off")),
        ("{}", ImpactPolicy()),
        ("{breaks: off}", ImpactPolicy("off")),
        ("{breaks: fail, folders: [./models/marts/, .], tags: [a b]}", ImpactPolicy("fail", ("models/marts", ""), ("a b",))),
    ],
)
def test_what_breaks_mean_is_a_word_or_an_object(written: str, policy: ImpactPolicy) -> None:
    settings = read(f"impact: {written}".encode())
    assert settings.complaints == ()
    assert settings.everywhere.impact == policy


def test_a_projects_own_impact_replaces_that_of_the_top_level() -> None:
    settings = read(b"impact: {breaks: fail, tags: [x]}\nprojects: [{dir: a, impact: neutral}, {dir: b}]")
    assert settings.for_project("a").impact == ImpactPolicy("neutral")
    assert settings.for_project("b").impact == ImpactPolicy("fail", tags=("x",))


@pytest.mark.parametrize(
    ("project_dir", "folders"),
    [
        ("", ("shop/models/old", "shop", "other")),
        ("shop", ("models/old", "")),
        ("shop/deep", ("",)),
        ("sho", ()),
        ("other", ("",)),
    ],
)
def test_ignored_folders_are_of_the_project_that_has_them(project_dir: str, folders: tuple[str, ...]) -> None:
    policy = read(b"quality: {ignored_folders: [./shop/models/old/, shop, other]}").for_project(project_dir).quality
    assert policy is not None
    assert policy.within(project_dir).ignored_folders == folders


def test_the_whole_repository_is_a_folder_too() -> None:
    policy = read(b"quality: {ignored_folders: [.]}\nprojects: [{dir: a, quality: {check_runs: false}}]")
    assert policy.everywhere.quality is not None
    assert policy.everywhere.quality.within("a").ignores("models")
    own = policy.for_project("a").quality
    assert own is not None
    assert own.within("a") == QualitySettings(check_runs=False)


def test_what_breaks_mean_is_not_part_of_what_decides_the_lineage() -> None:
    assert repr(read(b"impact: fail").everywhere) == repr(ProjectSettings())


def test_the_stricter_policy_of_two_commits_decides_for_each_node() -> None:
    marts = ImpactPolicy("fail", ("t/models/marts",))
    both = EffectivePolicy(own=ImpactPolicy("neutral", tags=("core",)), base=marts)
    assert both.decides("t/models/marts/kpis.sql", ()) == "fail"
    assert both.decides("t/models/martsy/x.sql", ("core",)) == "neutral"
    assert both.decides(None, ()) == "off"
    assert EffectivePolicy(own=ImpactPolicy("off"), base=marts).decides("t/models/marts/kpis.sql", ()) == "fail"
    assert [EffectivePolicy(ImpactPolicy("off"), base).is_off for base in (None, ImpactPolicy("off"), marts)] == [True, True, False]
    assert EffectivePolicy().decides(None, ()) == "neutral"


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("1.10", "1.10"),
        ('"1.10"', "1.10"),
        ("1.10.4", "1.10.4"),
        ("1.11.0-rc1", "1.11.0-rc1"),
        ('">= 1.7, <1.9"', ">=1.7,<1.9"),
        ('[">=1.7.0", "<1.9"]', ">=1.7.0,<1.9"),
        ("[1.10]", "1.10"),
    ],
)
def test_a_version_is_read_as_written_with_or_without_quotes(written: str, version: str) -> None:
    assert read(f"dbt_version: {written}".encode()).everywhere.dbt_version == version


@pytest.mark.parametrize("written", ["latest", '""', "[]", "1", "1.x", "~=1.7", "{}", "'1.10\n'", "true"])
def test_an_invalid_version_is_a_complaint(written: str) -> None:
    assert complaint(f"dbt_version: {written}")[0].startswith("`dbt_version")


def test_environment_variables_are_read_as_written() -> None:
    settings = read(b"env: {A: 5432, B: 1.10, C: true, D: 2020-01-01, E: 0777, F: '', G: ' x ', H: 1_000, I: yes}")
    written = {"A": "5432", "B": "1.10", "C": "true", "D": "2020-01-01", "E": "0777", "F": "", "G": " x ", "H": "1_000", "I": "yes"}
    assert settings.everywhere.environment == written


def test_variables_keep_their_types_in_json() -> None:
    settings = read(b"vars: {a: 5, b: 1.5, c: true, d: 2020-01-01, e: 2020-13-45 25:00:00, f: null, g: [{h: 2001-01-01T00:00:00Z}], i: 5e}")
    variables = {"a": 5, "b": 1.5, "c": True, "d": "2020-01-01", "e": "2020-13-45 25:00:00", "f": None, "i": "5e"}
    assert settings.everywhere.variables == {**variables, "g": [{"h": "2001-01-01T00:00:00Z"}]}
    assert json.loads(json.dumps(settings.everywhere.variables, allow_nan=False)) == settings.everywhere.variables


@pytest.mark.parametrize("value", [".nan", ".inf", "9" * 19, "9" * 5000, "1" + ":1" * 5000 + ".5", "!!int ''", "!!bool x", "!!float x"])
def test_an_unsupported_number_is_a_complaint(value: str) -> None:
    assert complaint(f"vars:\n  x: {value}") == ("`vars.x` is not a supported number. Put it in quotes.", 2)


@pytest.mark.parametrize("name", ["DBT_ENV_SECRET_X", "GITHUB_TOKEN", "PGPASSWORD_PASSWORD", "CLIENT_SECRET", "PASSWORD", "db_password"])
def test_a_secret_is_a_complaint(name: str) -> None:
    message, line = complaint(f"env:\n  OK: x\n  {name}: x")
    assert message.startswith(f"`env.{name}` looks like a secret. Do not put secrets in this file")
    assert line == 3


def test_a_password_in_an_address_is_a_complaint() -> None:
    message, _ = complaint("packages: [{address: a/b, use: 'https://me:hunter2@git.example/a/b'}]")
    assert message.startswith("`packages[0].use` must not contain a password")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("written", "directory"),
    [(".", ""), ("./", ""), ("''", ""), ("./a/b/", "a/b"), ("a//b", "a/b"), ("..a", "..a"), ("a/./b", "a/b"), ("'ä b'", "ä b")],
)
def test_directories_are_normalized(written: str, directory: str) -> None:
    assert read(f"projects: [{{dir: {written}}}]".encode()).projects == {directory: ProjectSettings()}


@pytest.mark.parametrize("written", ["/a", "..", "../a", "a/../b", "a/..", r'"a\nb"', "5", "[a]", ""])
def test_a_directory_must_be_in_the_repository(written: str) -> None:
    assert complaint(f"projects: [{{dir: {written}}}]")[0].startswith("`projects[0].dir` ")


def test_a_projects_settings_override_and_extend_the_top_level() -> None:
    settings = read(b"""
target: prod
vars: {a: 1, b: 1}
env: {A: x, B: x}
projects:
  - {dir: shop, vars: {b: 2}, env: {B: y}, adapter: duckdb, dbt_version: 1.7, ignored: false}
""")
    assert settings.for_project("shop") == ProjectSettings("1.7", "duckdb", "prod", {"a": 1, "b": 2}, {"A": "x", "B": "y"})
    assert settings.for_project("") == ProjectSettings(None, None, "prod", {"a": 1, "b": 1}, {"A": "x", "B": "x"})
    assert settings.ignored == frozenset()


@pytest.mark.parametrize(
    ("text", "start", "line"),
    [
        (
            "target: a\nadaptor: x",
            "`adaptor` is not a known key. Did you mean `adapter`? Known keys: `dbt_version`, `adapter`",
            2,
        ),
        ("projects:\n- dir: a\n  version: 1", "`projects[0].version` is not a known key. Did you mean `dbt_version`?", 3),
        ("nonsense: 1", "`nonsense` is not a known key. Known keys:", 1),
        ("impact: strict", "`impact` must be `fail`, `neutral` or `off`", 1),
        ("impact: true", "`impact` is true or false, but must be text or a mapping", 1),
        ("impact:\n  breaks: warn", "`impact.breaks` must be `fail`, `neutral` or `off`", 2),
        ("impact:\n  folder: [a]", "`impact.folder` is not a known key. Did you mean `folders`?", 2),
        ("impact:\n  folders: [../a]", "`impact.folders[0]` must be a folder of the repository", 2),
        ("impact: {tags: []}", "`impact.tags` is empty", 1),
        (f"impact: {{tags: {['a'] * 51}}}", "`impact.tags` has more than 50 items", 1),
        ("quality:\n  weights: {tests: 200}", "`quality.weights.tests` must be from 0 to 100", 2),
        ("quality:\n  weights:\n    tests: much", "`quality.weights.tests` is text, but must be a number", 3),
        ("quality:\n  weights:\n    test: 5", "`quality.weights.test` is not a known key. Did you mean `tests`?", 3),
        ("quality:\n  findings:\n    unused_model: no", "`quality.findings.unused_model` is not a known key. Did you mean", 3),
        ("quality: {findings: {unused_models: 1}}", "`quality.findings.unused_models` is a number, but must be true or false", 1),
        ("quality: {ignored_folders: [/a]}", "`quality.ignored_folders[0]` must be a folder of the repository", 1),
        ("quality: off", "`quality` is true or false, but must be a mapping", 1),
        ("target: a\n\ntarget: b", "`target` appears twice", 3),
        ("vars:\n  a: {b: 1, b: 2}", "`vars.a.b` appears twice", 2),
        ("projects:\n- dir: a\n- dir: ./a/", "`projects[1]` has the same `dir` as an earlier item", 3),
        ("packages:\n- {address: a, skip: true}\n- {address: a, skip: true}", "`packages[1]` has the same `address`", 3),
        ("packages:\n- {address: a}", "`packages[0]` must have either `use` or `skip`", 2),
        ("packages:\n- {address: a, use: a/b, skip: true}", "`packages[0]` must have either `use` or `skip`", 2),
        ("packages:\n- {address: a, skip: false}", "`packages[0].skip` can only be true", 2),
        ("packages:\n- {address: a, use: somewhere}", "`packages[0].use` must be the OWNER/NAME", 2),
        ("packages:\n- {use: a/b}", "`packages[0]` has no `address`", 2),
        ("projects:\n- {target: x}", "`projects[0]` has no `dir`", 2),
        ("target: 5", "`target` is a number, but must be text: put it in quotes", 1),
        ("target: --version", "`target` must be the name of a target", 1),
        ("adapter: dbt-snowflake", "`adapter` must be an adapter type as in the `type` of profiles.yml", 1),
        ("adapter:", "`adapter` is empty, but must be text", 1),
        ("branches: main", "`branches` is text, but must be a list", 1),
        ("branches: [main, {}]", "`branches[1]` is a mapping (`key: value`), but must be text", 1),
        ("vars: [a]", "`vars` is a list, but must be a mapping", 1),
        ("vars: {no: 1}", "`vars.no` is not a valid key. If it is text, put it in quotes", 1),
        ("vars: {? [a] : 1}", "`vars.?` is not a valid key", 1),
        ("x: &x {a: 1}\nvars: {<<: *x}", "`x` is not a known key", 1),
        ("vars:\n  a: !secret b", "`vars.a` has a YAML tag that is not supported", 2),
        ("vars: !!set {a}", "`vars` has a YAML tag that is not supported", 1),
        ("target: !!str [a]", "`target` has a YAML tag that is not supported", 1),
        ("env: {A-B: x}", "`env.A-B` is not a valid name of an environment variable", 1),
        ("env: {A: }", "`env.A` is empty, but must be text", 1),
        ('env: {A: "a\\0b"}', "`env.A` must not contain a NUL character", 1),
        ("- target", "The file is a list, but must be a mapping", 1),
        ("target: [a", "The file is not valid YAML (while parsing a flow sequence, did not find expected ',' or ']')", 1),
        ("a: \0", "The file is not valid YAML (it contains control characters)", None),
        ("vars: &a {b: *a}", "The file has an alias without a preceding anchor", 1),
        ("vars:\n a: " + "[" * 99, "The file is too large with its aliases expanded, or nested too deeply", 2),
        ("# " + "x" * MAX_BYTES, "The file is longer than the limit of 64 KiB", None),
    ],
)
def test_a_complaint_has_the_key_and_line(text: str, start: str, line: int | None) -> None:
    settings = read(text.encode())
    assert settings == RepositorySettings(complaints=settings.complaints), "a broken file changes no setting"
    assert settings.complaints[0].message.startswith(start)
    assert settings.complaints[0].message.endswith(".")
    assert settings.complaints[0].line == line


def test_all_complaints_are_listed_in_order() -> None:
    settings = read(b"adaptor: x\nprojects:\n- {dir: ../a, targt: x}\nvars: 5\n")
    assert [complaint.line for complaint in settings.complaints] == [1, 3, 3, 4]


def test_the_number_of_complaints_is_limited() -> None:
    assert len(read("".join(f"k{number}: 1\n" for number in range(5000)).encode()).complaints) == MAX_FAULTS


def test_untrusted_keys_are_shortened_and_made_printable() -> None:
    message, _ = complaint('"`@everyone`\\e[31m\\n' + "x" * 1000 + '": 1')
    assert message.isprintable()
    assert message.count("`") % 2 == 0
    assert len(message) < 300
