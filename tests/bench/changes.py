"""Changes of a generated project, as people push them: files that come and go, text, entries, macros, variables, packages."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from tests.bench import generate
from tests.bench.generate import Files

Changes = dict[str, str | None]
"""Files by path; None: the file is deleted."""
MART = re.compile(r"models/marts/.*\.sql")
ADDED = "models/marts/added.sql"
VERSION = re.compile(r'^version: "1\.0\.(\d+)"$', re.MULTILINE)


def change(files: Files, case: str) -> Changes:
    """The next change of a kind, only the changed files: `merge` them to change again."""
    return _CHANGES[case](files)


def merge(files: Files, changes: Mapping[str, str | None]) -> Files:
    """The files after a change."""
    return {path: text for path, text in {**files, **changes}.items() if text is not None}


def with_their_own(cases: Collection[str]) -> set[str]:
    """Cases, and those without which they are impossible."""
    return {*cases, *(["added"] if {"entry", "removed"} & {*cases} else [])}


def _added(files: Files) -> Changes:
    return {ADDED: f"select * from {{{{ ref('{_last_mart(files)}') }}}}\n"}  # noqa: S608


def _entry(files: Files) -> Changes:
    """An entry about the added model, in the YAML file of another one."""
    path = max(path for path in files if path.endswith("/_models.yml") and "/marts/" in path)
    return {path: f"{files[path]}  - name: added\n    description: Added\n    columns:\n      - name: id\n        data_tests: [unique]\n"}


def _renamed(files: Files) -> Changes:
    """A model with everything that mentions it."""
    path = max(path for path in files if MART.fullmatch(path) and path != ADDED)
    old = path.rsplit("/", 1)[1].removesuffix(".sql")
    new = f"{old}_renamed"
    mentions = re.compile(rf"(?<=ref\('){old}(?='\))|(?<=- name: ){old}$", re.MULTILINE)
    texts = {other: mentions.sub(new, text) for other, text in files.items() if other != path}
    changed = {other: text for other, text in texts.items() if text != files[other]}
    return {**changed, path: None, f"{path.rsplit('/', 1)[0]}/{new}.sql": files[path]}


def _removed(files: Files) -> Changes:
    """The added model, with its entry."""
    entry = re.compile(r"  - name: added\n(?:    .*\n)+")
    described = {path: entry.sub("", text) for path, text in files.items() if entry.search(text)}
    return {**described, ADDED: None}


def _package(files: Files) -> Changes:
    """The package's next version, with another text of its macro."""
    project, macro = "packages/house_rules/dbt_project.yml", "packages/house_rules/macros/nothing.sql"
    bumped = VERSION.sub(lambda found: f'version: "1.0.{int(found[1]) + 1}"', files[project])
    return {project: bumped, macro: generate.next_revision(files[macro])}


def _revised(path: str) -> Callable[[Files], Changes]:
    return lambda files: {path: generate.next_revision(files[path])}


def _edited(kind: generate.EditKind) -> Callable[[Files], Changes]:
    return lambda files: {**generate.edit(files, kind)}


def _last_mart(files: Files) -> str:
    return max(path for path in files if MART.fullmatch(path) and path != ADDED).rsplit("/", 1)[1].removesuffix(".sql")


_CHANGES: dict[str, Callable[[Files], Changes]] = {
    "sql": _edited("sql"),
    "yaml": _edited("yaml"),
    "added": _added,
    "entry": _entry,
    "renamed": _renamed,
    "removed": _removed,
    "doc": _revised("models/docs.md"),
    "rare": _revised("macros/rarely.sql"),
    "macro": _edited("macro"),
    "vars": _edited("project"),
    "config": lambda files: {"dbt_project.yml": re.sub(r"(\+meta: \{revision: )(\d+)", _next, files["dbt_project.yml"])},
    "package": _package,
    "nothing": _edited("nothing"),
}


def _next(found: re.Match[str]) -> str:
    return f"{found[1]}{int(found[2]) + 1}"
