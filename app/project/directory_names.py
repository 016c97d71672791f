"""What a directory's name says about its contents. Whole names are compared, ignoring case."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

_BARE = re.compile(r"[A-Za-z_.][\w./-]*")
_TEMPLATE_MARKS = ("{{", "{%", "[[", "<%", "${")
TOOL_DIRECTORIES = frozenset(
    {
        *("dbt_packages", "dbt_modules", "dbt_internal_packages", "target", "node_modules", "__pycache__"),
        *("venv", "virtualenv", "env", "site-packages", "dist-packages"),
    }
)
"""A `dbt_project.yml` below one of these, or below a hidden directory, was put there by a tool. It is skipped without a report."""
NAME_MEANINGS: Mapping[str, re.Pattern[str]] = {
    "templates": re.compile(
        r".*(\{\{|\{%|\[\[|<%|\$\{).*|(project_)?templates?|template_projects?|cookiecutters?(_.*)?|copier(_.*)?|skeletons?|scaffold(s|ing)?"
        r"|boilerplates?|(dbt_)?starter(s|_projects?)?",
        re.DOTALL,
    ),
    "integration tests": re.compile(r"(.*_)?integration_?tests?(_.*)?", re.DOTALL),
    "test fixtures": re.compile(r"(tests?_)?fixtures?(_.*)?|mocks?|mock_(dbt_)?projects?|test_?data|test_resources?"),
    "tests": re.compile(
        r"_*tests?_*|testing|(e2e|end_to_end)(_.*)?|tests?_(dbt_)?projects?|dbt_test_projects?"
        r"|(unit|system|functional|smoke|acceptance|regression|package)_tests?",
        re.DOTALL,
    ),
    "examples": re.compile(r"(dbt_)?(examples?|samples?|demos?|tutorials?)(_(dbt_)?projects?)?|quick_?starts?|docs?|documentation"),
    "experiments": re.compile(r"(dbt_)?experiment(s|al)?(_(dbt_)?projects?)?"),
    "old copies": re.compile(r"archived?|archives|backups?|bak|old|deprecated|copy|copies"),
    "third-party code": re.compile(r"vendor(ed)?|third_?party"),
}
"""What a name suggests about everything below it. Names are matched in lower case, with `_` for `-`, `.` and spaces."""
PROJECT_IF_ALONE = frozenset({"examples", "experiments", "old copies", "third-party code"})
"""Meanings that say what a project is, not that it is none: if a repository has no other, that is its project."""
NOT_PROJECTS = TOOL_DIRECTORIES | {"integration_tests", "fixtures", "test", "tests", "templates", "template", "examples", "example"}
"""Directories to skip where listing them costs API requests."""
MAX_PATH_CHARACTERS = 1000


def listing_step(left_out: Sequence[str], path: str) -> str:
    """How to extract one of the directories that were left out, with the settings at `path`: a template cannot be.

    >>> listing_step(["{{cookiecutter.name}}", "demo/a"], "f.yml"), listing_step([], "f.yml")
    ('To extract one of them, list it in `f.yml`: `projects: [{dir: demo/a}]`.', 'Correct the directories that `f.yml` lists.')
    """
    usable = next((directory for directory in left_out if not any(mark in directory for mark in _TEMPLATE_MARKS)), None)
    if usable is not None:
        name = printable(usable)
        example = name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
        return f"To extract one of them, list it in `{path}`: `projects: [{{dir: {example}}}]`."
    if left_out:
        return "A template has no lineage until a project is made of it. Install the App on the repositories of such projects."
    return f"Correct the directories that `{path}` lists."


def quoted(directory: str) -> str:
    """Format a directory for a sentence."""
    return f"`{printable(directory)}`" if directory else "the root of the repository"


def reason_by_name(directory: str) -> str | None:
    """Return why the names in a path suggest that it is not a project; None: they do not.

    >>> kind("transform/integration_tests_2"), kind("transform")
    ('is named `integration_tests_2`, which suggests integration tests', None)
    """
    parts = directory.split("/")
    for index, part in enumerate(parts):
        if meaning := _meaning(part):
            return f"is {'named' if index == len(parts) - 1 else 'inside'} {quoted(part)}, which suggests {meaning}"
    return None


def is_project_if_alone(directory: str) -> bool:
    """Whether a directory that `reason_by_name` leaves out is the project if there is no other one.

    >>> is_project_if_alone("examples/shop"), is_project_if_alone("test_project"), is_project_if_alone("tests/fixtures/shop")
    (True, True, False)
    """
    meanings = {meaning for part in directory.split("/") if (meaning := _meaning(part))}
    return meanings <= PROJECT_IF_ALONE or ("/" not in directory and meanings == {"tests"})


@lru_cache(maxsize=1 << 13)
def _meaning(part: str) -> str | None:
    name = re.sub(r"[-. ]+", "_", part.lower()[:MAX_PATH_CHARACTERS])
    return next((meaning for meaning, pattern in NAME_MEANINGS.items() if pattern.fullmatch(name)), None)


def is_installed(directory: str) -> bool:
    """Whether the names say that a tool created the contents."""
    return not TOOL_DIRECTORIES.isdisjoint(directory.lower().split("/"))


def distance(project_dir: str, path: str) -> tuple[bool, int]:
    """How far a file is from a project: whether only the file is among tests, examples or the like, and the number of steps. Sorts.

    >>> away("a/b", "a/b/profiles.yml"), away("a/b", "ci/profiles.yml"), away("", "tests/profiles.yml")
    ((False, 0), (False, 3), (True, 1))
    """
    parts = posixpath.relpath("/" + posixpath.dirname(path), "/" + project_dir).split("/")
    down = [part for part in parts if part not in {"..", "."}]
    return (bool(down) and reason_by_name("/".join(down)) is not None, 0 if parts == ["."] else len(parts))


def printable(text: str) -> str:
    """Make an untrusted name safe between backquotes."""
    return "".join(character if character.isprintable() and character != "`" else "?" for character in text[:200]) or "."
