from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.settings import MAX_BYTES, PackageRule, ProjectSettings, Settings, read
from app.yaml_schema import MAX_FAULTS

PAGE = (Path(__file__).parents[2] / "docs/freshet-yml.md").read_text()


def complaint(text: str) -> tuple[str, int | None]:
    told = read(text.encode())
    assert told == Settings(complaints=told.complaints), "nothing of a broken file holds"
    assert len(told.complaints) == 1
    return told.complaints[0].message, told.complaints[0].line


@pytest.mark.parametrize("text", [None, b"", b"# later\n", b"---\n", b"~", b"vars:\nenv:\nprojects:\npackages:\nbranches:\n"])
def test_nothing_told_is_nothing_wrong(text: bytes | None) -> None:
    assert read(text) == Settings()


def test_the_example_of_the_page_says_what_it_seems_to_say() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    told = read(example[1].encode())
    everywhere = ProjectSettings(
        "1.10", "snowflake", "prod", {"start_date": "2020-01-01", "countries": ["be", "nl"]}, {"DBT_SCHEMA": "analytics", "PORT": "5432"}
    )
    assert told.complaints == ()
    assert told.everywhere == told.of("elsewhere") == everywhere
    assert told.of("transform").target == "ci"
    assert told.of("transform").adapter == "snowflake"
    assert told.of("transform").variables == {"start_date": "2024-01-01", "countries": ["be", "nl"]}
    assert told.ignored == {"sandbox"}
    assert [told.extracts(branch) for branch in ("main", "release/2024/1", "feature")] == [True, True, False]
    assert told.packages == (
        PackageRule("https://gitlab.com/acme/utils.git", use="acme/utils"),
        PackageRule("acme/old_package", skip=True),
    )


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
def test_a_version_is_what_is_written_with_quotes_or_without(written: str, version: str) -> None:
    assert read(f"dbt_version: {written}".encode()).everywhere.dbt_version == version


@pytest.mark.parametrize("written", ["latest", '""', "[]", "1", "1.x", "~=1.7", "{}", "'1.10\n'", "true"])
def test_what_is_no_version_is_complained_about(written: str) -> None:
    assert complaint(f"dbt_version: {written}")[0].startswith("`dbt_version")


def test_environment_variables_are_the_characters_that_are_written() -> None:
    told = read(b"env: {A: 5432, B: 1.10, C: true, D: 2020-01-01, E: 0777, F: '', G: ' x ', H: 1_000, I: yes}")
    written = {"A": "5432", "B": "1.10", "C": "true", "D": "2020-01-01", "E": "0777", "F": "", "G": " x ", "H": "1_000", "I": "yes"}
    assert told.everywhere.environment == written


def test_variables_keep_their_types_and_can_travel_as_json() -> None:
    told = read(b"vars: {a: 5, b: 1.5, c: true, d: 2020-01-01, e: 2020-13-45 25:00:00, f: null, g: [{h: 2001-01-01T00:00:00Z}], i: 5e}")
    variables = {"a": 5, "b": 1.5, "c": True, "d": "2020-01-01", "e": "2020-13-45 25:00:00", "f": None, "i": "5e"}
    assert told.everywhere.variables == {**variables, "g": [{"h": "2001-01-01T00:00:00Z"}]}
    assert json.loads(json.dumps(told.everywhere.variables, allow_nan=False)) == told.everywhere.variables


@pytest.mark.parametrize("value", [".nan", ".inf", "9" * 19, "9" * 5000, "1" + ":1" * 5000 + ".5", "!!int ''", "!!bool x", "!!float x"])
def test_a_number_that_cannot_travel_is_complained_about(value: str) -> None:
    assert complaint(f"vars:\n  x: {value}") == ("`vars.x` is not a number that can be passed on. Put it in quotes.", 2)


@pytest.mark.parametrize("name", ["DBT_ENV_SECRET_X", "GITHUB_TOKEN", "PGPASSWORD_PASSWORD", "CLIENT_SECRET", "PASSWORD", "db_password"])
def test_a_secret_is_refused_with_the_reason(name: str) -> None:
    message, line = complaint(f"env:\n  OK: x\n  {name}: x")
    assert message.startswith(f"`env.{name}` is the name of a secret, and this file is no place for secrets")
    assert line == 3


def test_a_password_in_an_address_is_refused() -> None:
    message, _ = complaint("packages: [{address: a/b, use: 'https://me:hunter2@git.example/a/b'}]")
    assert message.startswith("`packages[0].use` must not hold a password")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("written", "directory"),
    [(".", ""), ("./", ""), ("''", ""), ("./a/b/", "a/b"), ("a//b", "a/b"), ("..a", "..a"), ("a/./b", "a/b"), ("'ä b'", "ä b")],
)
def test_a_directory_may_be_written_in_many_ways(written: str, directory: str) -> None:
    assert read(f"projects: [{{dir: {written}}}]".encode()).projects == {directory: ProjectSettings()}


@pytest.mark.parametrize("written", ["/a", "..", "../a", "a/../b", "a/..", r'"a\nb"', "5", "[a]", ""])
def test_a_directory_must_be_one_of_the_repository(written: str) -> None:
    assert complaint(f"projects: [{{dir: {written}}}]")[0].startswith("`projects[0].dir` ")


def test_a_project_comes_before_all_and_adds_to_their_vars_and_env() -> None:
    told = read(b"""
target: prod
vars: {a: 1, b: 1}
env: {A: x, B: x}
projects:
  - {dir: shop, vars: {b: 2}, env: {B: y}, adapter: duckdb, dbt_version: 1.7, ignored: false}
""")
    assert told.of("shop") == ProjectSettings("1.7", "duckdb", "prod", {"a": 1, "b": 2}, {"A": "x", "B": "y"})
    assert told.of("") == ProjectSettings(None, None, "prod", {"a": 1, "b": 1}, {"A": "x", "B": "x"})
    assert told.ignored == frozenset()


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (
            "target: a\nadaptor: x",
            "`adaptor` is not a key that is known here. Did you mean `adapter`? Known are `dbt_version`, `adapter`",
            2,
        ),
        ("projects:\n- dir: a\n  version: 1", "`projects[0].version` is not a key that is known here. Did you mean `dbt_version`?", 3),
        ("nonsense: 1", "`nonsense` is not a key that is known here. Known are", 1),
        ("target: a\n\ntarget: b", "`target` is there twice", 3),
        ("vars:\n  a: {b: 1, b: 2}", "`vars.a.b` is there twice", 2),
        ("projects:\n- dir: a\n- dir: ./a/", "`projects[1]` has the same `dir` as one before it", 3),
        ("packages:\n- {address: a, skip: true}\n- {address: a, skip: true}", "`packages[1]` has the same `address`", 3),
        ("packages:\n- {address: a}", "`packages[0]` must have one of `use` and `skip`", 2),
        ("packages:\n- {address: a, use: a/b, skip: true}", "`packages[0]` must have one of `use` and `skip`", 2),
        ("packages:\n- {address: a, skip: false}", "`packages[0].skip` can only be true", 2),
        ("packages:\n- {address: a, use: somewhere}", "`packages[0].use` must be OWNER/NAME", 2),
        ("packages:\n- {use: a/b}", "`packages[0]` has no `address`", 2),
        ("projects:\n- {target: x}", "`projects[0]` has no `dir`", 2),
        ("target: 5", "`target` is a number, but must be text: put it in quotes", 1),
        ("target: --version", "`target` must be the name of a target", 1),
        ("adapter: dbt-snowflake", "`adapter` must be a type of adapter as in the `type` of profiles.yml", 1),
        ("adapter:", "`adapter` is empty, but must be text", 1),
        ("branches: main", "`branches` is text, but must be a list", 1),
        ("branches: [main, {}]", "`branches[1]` is a mapping (`key: value`), but must be text", 1),
        ("vars: [a]", "`vars` is a list, but must be a mapping", 1),
        ("vars: {no: 1}", "`vars.no` cannot be a key here. If it is text, put it in quotes", 1),
        ("vars: {? [a] : 1}", "`vars.?` cannot be a key here", 1),
        ("x: &x {a: 1}\nvars: {<<: *x}", "`x` is not a key that is known here", 1),
        ("vars:\n  a: !secret b", "`vars.a` has a YAML tag that is not taken here", 2),
        ("vars: !!set {a}", "`vars` has a YAML tag that is not taken here", 1),
        ("target: !!str [a]", "`target` has a YAML tag that is not taken here", 1),
        ("env: {A-B: x}", "`env.A-B` cannot be an environment variable", 1),
        ("env: {A: }", "`env.A` is empty, but must be text", 1),
        ('env: {A: "a\\0b"}', "`env.A` must not hold a NUL character", 1),
        ("- target", "The file is a list, but must be a mapping", 1),
        ("target: [a", "The file is not YAML (while parsing a flow sequence, did not find expected ',' or ']')", 1),
        ("a: \0", "The file is not YAML (there are control characters)", None),
        ("vars: &a {b: *a}", "The file has an alias of itself", 1),
        ("vars:\n a: " + "[" * 99, "The file is too long with its aliases written out, or nested too deep", 2),
        ("# " + "x" * MAX_BYTES, "The file is longer than 64 KiB", None),
    ],
)
def test_a_mistake_is_told_with_its_key_and_line(text: str, said: str, line: int | None) -> None:
    told = read(text.encode())
    assert told == Settings(complaints=told.complaints), "nothing of a broken file holds"
    assert told.complaints[0].message.startswith(said)
    assert told.complaints[0].message.endswith(".")
    assert told.complaints[0].line == line


def test_all_mistakes_are_told_at_once_in_their_order() -> None:
    told = read(b"adaptor: x\nprojects:\n- {dir: ../a, targt: x}\nvars: 5\n")
    assert [said.line for said in told.complaints] == [1, 3, 3, 4]


def test_very_many_mistakes_are_cut_short() -> None:
    assert len(read("".join(f"k{number}: 1\n" for number in range(5000)).encode()).complaints) == MAX_FAULTS


def test_names_of_strangers_are_cut_to_what_can_be_shown() -> None:
    message, _ = complaint('"`@everyone`\\e[31m\\n' + "x" * 1000 + '": 1')
    assert message.isprintable()
    assert message.count("`") % 2 == 0
    assert len(message) < 300
