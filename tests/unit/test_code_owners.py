"""CODEOWNERS as GitHub reads it, and in a fraction of a second whatever somebody writes into it.

https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lineage.code_owners.rules import owners_of


def owner_of(text: str, path: str) -> str | None:
    return owners_of(text.encode(), [path]).get(path)


def matches(pattern: str, path: str) -> bool:
    return owner_of(f"{pattern} @a\n", path) == "@a"


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("*", ["a.sql", "a/b.sql", "a/b/c.sql"], []),
        ("**", ["a.sql", "a/b/c.sql"], []),
        ("*.sql", ["a.sql", "models/a.sql"], ["a.sqlx", "a.yml", "sql"]),
        ("/build/logs/", ["build/logs/a", "build/logs/a/b"], ["build/logs", "x/build/logs/a", "build/logsx/a"]),
        ("docs/*", ["docs/getting-started.md"], ["docs/build-app/troubleshooting.md", "x/docs/a.md"]),
        ("apps/", ["apps/a", "x/apps/a", "x/y/apps/b/c"], ["apps", "x/apps", "xapps/a"]),
        ("apps", ["apps", "x/apps", "apps/a", "x/apps/b/c"], ["apps.md"]),
        ("/docs/", ["docs/a", "docs/b/c"], ["x/docs/a"]),
        ("/scripts", ["scripts", "scripts/a/b"], ["x/scripts", "scripts2"]),
        ("**/logs", ["build/logs/a", "scripts/logs", "logs", "deeply/nested/logs/b/c"], ["build/logsx"]),
        ("/*", ["a.sql"], ["a/b.sql"]),
        ("/*/", ["a/b.sql", "a/b/c.sql"], ["a.sql"]),
        ("/models/*/staging", ["models/a/staging/x.sql", "models/b/staging"], ["models/staging/x.sql", "models/a/b/staging/x"]),
        ("models/**/staging/*.sql", ["models/staging/a.sql", "models/x/y/staging/a.sql"], ["models/staging/x/a.sql", "staging/a.sql"]),
        ("models/**", ["models/a", "models/a/b"], ["models", "x/models/a"]),
        ("models/**/*", ["models/a", "models/a/b"], ["models"]),
        ("models/**/marts/**/*_daily.sql", ["models/marts/a_daily.sql", "models/x/marts/y/z/a_daily.sql"], ["models/a_daily.sql"]),
        ("st?_orders.sql", ["stg_orders.sql", "models/stx_orders.sql"], ["st_orders.sql", "stgg_orders.sql"]),
        ("*a*b?c*", ["aabxc", "xayybzc.sql", "dir/abbc"], ["abc", "bxca"]),
        (r"with\ space/", ["with space/a"], ["with/a"]),
        (r"a\*b", ["a*b"], ["axb"]),
        ("/models/[mart]/a.sql", ["models/[mart]/a.sql"], ["models/m/a.sql"]),
        ("Models/", ["Models/a"], ["models/a"]),
        ("/", [], ["a", "a/b"]),
        ("!models/", [], ["models/a", "!models/a"]),
        (r"\#x", [], ["#x"]),
        ("a***b", [], ["ab", "axb"]),
    ],
)
def test_a_pattern_matches_what_it_matches_on_github(pattern: str, matched: list[str], others: list[str]) -> None:
    assert {path: matches(pattern, path) for path in (*matched, *others)} == dict.fromkeys(matched, True) | dict.fromkeys(others, False)


def test_the_last_matching_pattern_decides() -> None:
    text = "* @acme/everyone\n*.sql @acme/data\n/models/finance/ @acme/finance ann@example.com\n/models/finance/raw.sql\n"
    assert owners_of(text.encode(), ["README.md", "models/a.sql", "models/finance/a.sql", "models/finance/raw.sql"]) == {
        "README.md": "@acme/everyone",
        "models/a.sql": "@acme/data",
        "models/finance/a.sql": "@acme/finance, ann@example.com",
    }
    assert owner_of("/a/ @b\n* @c\n", "a/x.sql") == "@c"


def test_comments_empty_lines_line_ends_and_marks_of_editors_have_no_meaning() -> None:
    text = "\N{BYTE ORDER MARK}# owners\r\n\r\n  *.sql\t@acme/data   # the team\r\n#*.sql @nobody\r\n"
    assert owner_of(text, "a.sql") == "@acme/data"


@pytest.mark.parametrize("line", ["*.sql acme", "*.sql @", "*.sql @a @", "*.sql ann@", "*.sql @example.com ann", "!*.sql @b"])
def test_a_line_that_is_not_valid_is_skipped(line: str) -> None:
    assert owner_of(f"* @a\n{line}\n", "x.sql") == "@a"


def test_many_and_long_owners_are_cut() -> None:
    many = " ".join(f"@owner-{number}" for number in range(1000))
    assert len(owner_of(f"* {many}", "a") or "") <= 200
    assert owner_of("* @" + "x" * 10_000, "a") is not None


@pytest.mark.parametrize("text", [b"", b"\xff\xfe\x00*", b"\0 @a", b"*"])
def test_texts_that_are_no_such_file_own_nothing(text: bytes) -> None:
    assert owners_of(text, ["a", "models/b.sql"]) == {}


@pytest.mark.growth
def test_paths_that_git_cannot_have_are_no_trouble() -> None:
    paths = ["", "/", "a//b", "../a", "a/../b", "/" * 100_000, "a/" * 100_000, "x" * 100_000]
    owners_of(b"* @a\n/a/*/x @b\n**/a/**/b @c\n", paths)


SEGMENTS = st.sampled_from(["a", "b", "ab", "*", "**", "a*", "*b", "?", "a?", "*a*", "a*b"])
NAMES = st.sampled_from(["a", "b", "ab", "ba", "aab", "c"])


def expression(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression, for the few that the test makes."""
    anchored = "/" in pattern[:-1]
    *parts, last = pattern.strip("/").split("/")
    found = "" if anchored else "(?:.+/)?"
    if not parts and last == "**":
        return re.compile(r".+\Z")
    for part in parts:
        found += "(?:.+/)?" if part == "**" else part.replace("*", "[^/]*").replace("?", "[^/]") + "/"
        if part == "*":
            found = found.removesuffix("[^/]*/") + "[^/]+/"
    if last == "**":
        return re.compile(found + r".+\Z")
    ending = "/.+" if pattern.endswith("/") else "" if last == "*" else "(?:/.+)?"
    word = "[^/]+" if last == "*" else last.replace("*", "[^/]*").replace("?", "[^/]")
    return re.compile(found + word + ending + r"\Z")


def is_plain(pattern: str) -> bool:
    """Whether `expression` says what the pattern means: a directory below `**/` may be any."""
    return not pattern.endswith("**/")


SLASH = st.sampled_from(["", "/"])
PATTERNS = st.tuples(SLASH, st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join), SLASH).map("".join).filter(is_plain)


@given(st.lists(PATTERNS, min_size=1, max_size=6), st.lists(st.lists(NAMES, min_size=1, max_size=5).map("/".join), min_size=1, max_size=12))
def test_any_patterns_agree_with_regular_expressions(patterns: list[str], paths: list[str]) -> None:
    text = "".join(f"{pattern} @{number}\n" for number, pattern in enumerate(patterns))
    expected = {}
    for path in paths:
        found = [number for number, pattern in enumerate(patterns) if expression(pattern).match(path)]
        if found:
            expected[path] = f"@{found[-1]}"
    # A path cannot be a file and a directory.
    files = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    assert owners_of(text.encode(), files) == {path: owner for path, owner in expected.items() if path in files}


FILES = [f"transform/models/area_{number % 40}/{'staging' if number % 2 else 'marts'}/model_{number}.sql" for number in range(20_000)]
DEEP = ["/".join(["a"] * 100 + [f"a{number}"]) for number in range(2_000)]
LONG = ["a" * 240 + f"{number}.sql" for number in range(5_000)]


def lines(line: Callable[[int], str]) -> bytes:
    """A text as long as GitHub reads."""
    text, size, number = [], 0, 0
    while size < 3 << 20:
        text.append(line(number))
        size += len(text[-1]) + 1
        number += 1
    return "\n".join(text).encode()


@pytest.mark.growth
@pytest.mark.parametrize(
    ("text", "paths"),
    [
        pytest.param(lambda: lines(lambda n: f"{n:x}"), FILES, id="many lines"),
        pytest.param(lambda: lines(lambda n: f"m*{n}* @o"), FILES, id="many wildcards in names"),
        pytest.param(lambda: lines(lambda n: f"/transform/**/*{n}x @o"), FILES, id="wildcards in names anywhere"),
        pytest.param(lambda: lines(lambda n: "**/a/" * 20 + f"{n}b @o"), DEEP, id="any directories of deep trees"),
        pytest.param(lambda: lines(lambda n: f"a/ @{n}"), DEEP, id="one name again and again"),
        pytest.param(lambda: lines(lambda n: f"{'a*' * 100}b{n} @o"), LONG, id="what regular expressions try in all ways"),
        pytest.param(lambda: lines(lambda n: f"{'?' * 200}*{'?' * 20}b{n} @o"), LONG, id="any characters at any place"),
        pytest.param(lambda: lines(lambda n: f"*{'a' * 120}b{n}*c @o"), LONG, id="almost found at every place"),
        pytest.param(lambda: b"\\ " * (3 << 19), FILES, id="one pattern of the whole file"),
        pytest.param(lambda: b"a/" * (3 << 19), DEEP, id="a deep pattern"),
    ],
)
def test_no_text_costs_more_than_its_length(text: Callable[[], bytes], paths: list[str]) -> None:
    content = text()[: 1 << 20]
    owners_of(content[: 1 << 10], paths)
    few, many = cost_s(content[: 1 << 18], paths), cost_s(content, paths)
    assert many < 9 * few + 0.1, "four times the text"


def cost_s(content: bytes, paths: list[str]) -> float:
    """The least of three runs: other work on the machine can only add."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        owners_of(content, paths)
        spent.append(time.process_time() - began)
    return min(spent)


def test_thousands_of_ordinary_patterns_are_all_applied() -> None:
    patterns = [f"/transform/models/area_{n % 40}/**/model_{n}.sql @o{n}" if n % 3 else f"model_{n}.* @o{n}" for n in range(6_000)]
    found = owners_of("\n".join(["* @rest", *patterns]).encode(), FILES)
    assert len(found) == len(FILES)
    assert {found[FILES[number]] for number in range(6_000)} == {f"@o{number}" for number in range(6_000)}
    assert found[FILES[7_000]] == "@rest"
