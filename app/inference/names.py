"""What the names of directories say of what is below them: whole names, in any case."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache

SILENT = frozenset(
    {
        *("dbt_packages", "dbt_modules", "dbt_internal_packages", "target", "node_modules", "__pycache__"),
        *("venv", "virtualenv", "env", "site-packages", "dist-packages"),
    }
)
"""Directory names, hidden ones besides, below which a `dbt_project.yml` is what a tool put there. Nobody needs to hear of it."""
KINDS: Mapping[str, re.Pattern[str]] = {
    "templates": re.compile(
        r".*(\{\{|\{%|\[\[|<%|\$\{).*|(project_)?templates?|template_projects?|cookiecutters?(_.*)?|copier(_.*)?|skeletons?|scaffold(s|ing)?"
        r"|boilerplates?|(dbt_)?starter(s|_projects?)?"
    ),
    "integration tests": re.compile(r"(.*_)?integration_?tests?(_.*)?"),
    "test fixtures": re.compile(r"(tests?_)?fixtures?(_.*)?|mocks?|mock_(dbt_)?projects?|test_?data|test_resources?"),
    "tests": re.compile(
        r"_*tests?_*|testing|(e2e|end_to_end)(_.*)?|tests?_(dbt_)?projects?|dbt_test_projects?"
        r"|(unit|system|functional|smoke|acceptance|regression|package)_tests?"
    ),
    "examples": re.compile(r"(dbt_)?(examples?|samples?|demos?|tutorials?)(_(dbt_)?projects?)?|quick_?starts?|docs?|documentation"),
    "old copies": re.compile(r"archived?|archives|backups?|bak|old|deprecated|copy|copies"),
    "copies of others' work": re.compile(r"vendor(ed)?|third_?party"),
}
"""What a directory's whole name, in lower case and with `_` for `-`, `.` and spaces, says of all that is below it."""
NOT_PROJECTS = SILENT | {"integration_tests", "fixtures", "test", "tests", "templates", "template", "examples", "example"}
"""Names of directories that need no look where looking is dear."""
MAX_PATH_CHARACTERS = 1000


def shown(directory: str) -> str:
    """Return a directory for people."""
    return f"`{plain(directory)}`" if directory else "the root of the repository"


def kind(directory: str) -> str | None:
    """Return why a directory is no place for a project by its names, None when it may be one.

    >>> kind("transform/integration_tests_2"), kind("transform")
    ('is called `integration_tests_2`, a name of integration tests', None)
    """
    parts = directory.split("/")
    for index, part in enumerate(parts):
        if meaning := _meaning(part):
            return f"{'is called' if index == len(parts) - 1 else 'is below'} {shown(part)}, a name of {meaning}"
    return None


@lru_cache(maxsize=1 << 13)
def _meaning(part: str) -> str | None:
    name = re.sub(r"[-. ]+", "_", part.lower()[:MAX_PATH_CHARACTERS])
    return next((meaning for meaning, pattern in KINDS.items() if pattern.fullmatch(name)), None)


def is_installed(directory: str) -> bool:
    """Tell whether a directory holds what tools put there, by its names."""
    return not SILENT.isdisjoint(directory.lower().split("/"))


def away(project_dir: str, path: str) -> tuple[bool, int]:
    """Tell whether a file is in a place of tests, examples or the like that a project is not in, and how many steps it is away.

    >>> away("a/b", "a/b/profiles.yml"), away("a/b", "ci/profiles.yml"), away("", "tests/profiles.yml")
    ((False, 0), (False, 3), (True, 1))
    """
    parts = posixpath.relpath("/" + posixpath.dirname(path), "/" + project_dir).split("/")
    down = [part for part in parts if part not in {"..", "."}]
    return (bool(down) and kind("/".join(down)) is not None, 0 if parts == ["."] else len(parts))


def plain(text: str) -> str:
    """Return a name of a stranger as it can stand in backquotes."""
    return "".join(character if character.isprintable() and character != "`" else "?" for character in text[:200]) or "."
