"""Placeholders for `env_var` and `var` without a value: dbt goes on, and what was invented is told.

dbt's own functions are asked first, and only where they refuse for want of a value does a placeholder stand in: a project that lacks
nothing is parsed exactly as without this. Two things differ between the functions:

* `env_var` without a value and a default stops dbt wherever it stands. It gets a text, whatever dbt renders.
* `var` stops dbt in YAML only. In models dbt itself gives None while it parses, which is kept. Not before that has failed are those
  variables given a placeholder, in a second try: see `freshet_dbt.invoke`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import freshet_guess
import freshet_scan
import freshet_tree
import freshet_where

# Every module that defines a context, so that none is made later.
from dbt.context import base, docs, providers, secret  # noqa: F401
from dbt.exceptions import EnvVarMissingError, RequiredVarNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_RECORDS = 200
MAX_NAMES = 100
MAX_CAUSES = 5
SECRET = "DBT_ENV_SECRET"  # noqa: S105 - a prefix
SETTINGS = ".github/freshet.yml"

Key = tuple  # (kind, name)


class Placeholders:
    """What one job lacks."""

    def __init__(self, project_dir: str) -> None:
        self.given = {}  # type: dict[Key, object]
        self.nothing = []  # type: list[str]
        """Variables that dbt gave None for."""
        self._fill_in = False
        self._project_dir = project_dir
        self._asked_in = {}  # type: dict[Key, tuple[str, int | None] | None]
        self._askers = set()  # type: set[str | None]
        self._filled_in = False
        self._resumed = set()  # type: set[Key]
        self._uses = None  # type: dict[Key, list[freshet_scan.Use]] | None

    def install(self) -> None:
        """Stand behind dbt's own functions, in every context that it has."""
        for context in _all_kinds(base.BaseContext):
            # A context's functions are looked up here; the attribute of the class is not what Jinja gets.
            members = context._context_members_
            if "env_var" in members:
                members["env_var"] = self._behind_env_var(members["env_var"])
        for kind in _all_kinds(base.Var):
            if "get_missing_var" in vars(kind):
                kind.get_missing_var = self._behind_var(kind.get_missing_var)

    @contextmanager
    def for_all_variables(self) -> Iterator[Callable]:
        """Give placeholders to those in `nothing` as well. Yields what to call when it has helped; without that, all is as before."""
        before = dict(self.given)
        kept = []
        self._fill_in = True
        try:
            yield lambda: kept.append(True)
        finally:
            self._fill_in = False
            self._filled_in = bool(kept)
            if not kept:
                self.given = before

    def kept(self) -> dict | None:
        """Return what the next parse needs to know where it skips what has not changed, as JSON; None when that would not be enough.

        It is not where variables had to be given values: whether they have to be is known when all is parsed.
        """
        if self._filled_in or len(self.given) >= MAX_NAMES:
            return None
        given = [[*key, value, self._asked_in.get(key)] for key, value in self.given.items()]
        # Asked for by another name, or with one that was put together, or nobody knows where: it may be any YAML file.
        hidden = None in self._askers or not all(any(use.needed for use in self._of(key)) for key in self.given)
        askers = sorted(asker for asker in self._askers if asker is not None)
        return {"given": given, "askers": askers, "hidden": hidden, "uses": self._digest() if given else None}

    def resume(self, kept: dict, changed: list) -> bool:
        """Begin with what an earlier parse invented. False when a full parse of these files might invent something else."""
        given = {(kind, name): value for kind, name, value, _ in kept["given"]}
        now_given = any(kind == "env_var" and name in os.environ for kind, name in given)
        asks_anew = bool(given) and (not set(kept["askers"]).isdisjoint(changed) or not self._apart(changed, hidden=kept["hidden"]))
        if now_given or asks_anew or (given and kept["uses"] != self._digest()):
            return False
        self.given = given
        self._asked_in = {(kind, name): tuple(place) if place else None for kind, name, _, place in kept["given"]}
        self._askers = set(kept["askers"])
        self._resumed = set(given)
        return True

    def _apart(self, changed: list, *, hidden: bool) -> bool:
        """Tell whether who asks in these files is certain: files of a package may be taken for the project's own."""
        roots = freshet_scan.package_roots(freshet_tree.SOURCE, freshet_tree.project(self._project_dir))
        packages = tuple(os.path.relpath(root, freshet_tree.SOURCE) + os.sep for root in roots)
        return not any(path.startswith(packages) or (hidden and not path.endswith(".sql")) for path in changed)

    def grown(self) -> bool:
        """Tell whether there is more than what `resume` began with."""
        return self.given.keys() != self._resumed

    def forget(self) -> None:
        """Begin anew."""
        self.given, self.nothing = {}, []
        self._asked_in, self._askers, self._resumed = {}, set(), set()

    def records(self, *, refused: bool) -> list:
        """Return what was invented, one for each name and place: as in `freshet_result`.

        Of a refusal also what dbt would have asked for further on, that is environment variables without a default in files that it
        renders in any case: so all of them are told at once.
        """
        if refused:
            self._look_ahead()
        told = [self._records_of(key, value) for key, value in self.given.items()]
        first = [records[0] for records in told]
        return (first + [record for records in told for record in records[1:]])[:MAX_RECORDS]

    def remark(self, output: str, failed_in: str | None) -> str:
        """Return a paragraph to add to dbt's message if a placeholder may be what it stumbled over, empty if there is no sign of it."""
        found = [cause for cause in (self._cause(key, output, failed_in) for key in self.given) if cause is not None]
        if not found:
            return ""
        causes = found[:MAX_CAUSES]
        lines = "\n".join(f"  {record['kind']}('{record['name']}'){_at(record)} was {record['value']!r}" for record in causes)
        what = ("a placeholder", "a value is", "value") if len(causes) == 1 else ("placeholders", "values are", "values")
        return (
            f"\n\nThe cause may be {what[0]} that Freshet put where {what[1]} missing:\n{lines}\n"
            f"Give the real {what[2]} in {SETTINGS}:\n{_settings(causes)}"
        )

    def _behind_env_var(self, inner: Callable) -> Callable:
        @functools.wraps(inner)
        def env_var(context: object, *args: object, **kwargs: object) -> object:
            try:
                return inner(context, *args, **kwargs)
            except EnvVarMissingError:
                name = args[0] if args else kwargs.get("var")
                if not isinstance(name, str) or len(self.given) >= MAX_NAMES:
                    raise
                return self._placeholder("env_var", name)

        return env_var

    def _behind_var(self, inner: Callable) -> Callable:
        @functools.wraps(inner)
        def get_missing_var(asked: base.Var, var_name: str) -> object:
            try:
                value = inner(asked, var_name)
            except RequiredVarNotFoundError:
                if len(self.given) >= MAX_NAMES:
                    raise
                return self._placeholder("var", var_name)
            if not isinstance(asked, providers.ParseVar):
                return value
            if self._fill_in and not self._only_tested(var_name):
                return self._placeholder("var", var_name)
            if var_name not in self.nothing:
                self.nothing.append(var_name)
            return value

        return get_missing_var

    def _placeholder(self, kind: str, name: str) -> object:
        key = (kind, name)
        here = self._here()
        self._askers.add(here and here[0])
        if key not in self.given:
            wants = freshet_scan.strongest({use.wants for use in self._of(key)})
            self.given[key] = freshet_guess.env_var(name, wants) if kind == "env_var" else freshet_guess.var(name, wants)
            self._asked_in[key] = here
        value = self.given[key]
        # Jinja can add to them.
        return type(value)(value) if isinstance(value, (list, dict)) else value

    def _here(self) -> tuple[str, int | None] | None:
        path, line = freshet_where.here(sys._getframe(3))  # noqa: SLF001 - what `inspect` uses, without its look at the files
        found = None if path is None else freshet_where.in_repository(path, self._project_dir)
        return (found, line) if found is not None and os.path.exists(os.path.join(freshet_tree.SOURCE, found)) else None

    def _of(self, key: Key) -> list:
        if self._uses is None:
            self._uses = {}
            for use in freshet_scan.uses(freshet_tree.SOURCE, freshet_tree.project(self._project_dir)):
                self._uses.setdefault((use.kind, use.name), []).append(use)
        return self._uses.get(key, [])

    def _digest(self) -> str:
        """Return what stands for all that decides about values and the files to name: every use but its line."""
        self._of(("env_var", ""))
        uses = [use._replace(line=0) for found in (self._uses or {}).values() for use in found]
        return hashlib.blake2b(repr(sorted(uses, key=repr)).encode("utf-8", "replace"), digest_size=16).hexdigest()

    def _only_tested(self, name: str) -> bool:
        """None in a condition is no: a text would turn it round."""
        found = self._of(("var", name))
        return bool(found) and all(use.tested for use in found)

    def _records_of(self, key: Key, value: object) -> list:
        places = [(use.path, use.line) for use in self._of(key) if use.needed]
        asked = self._asked_in.get(key)
        if asked is not None and asked[0] not in [path for path, _ in places]:
            # Asked for by another name, or with one that was put together.
            places = places if any(use.rendered for use in self._of(key) if use.needed) else [asked, *places]
        shown = value if isinstance(value, str) else json.dumps(value)
        base_record = {"kind": key[0], "name": key[1], "value": shown}
        return [{**base_record, "path": path, "line": line} for path, line in dict.fromkeys(places or [(None, None)])]

    def _look_ahead(self) -> None:
        self._of(("env_var", ""))
        for (kind, name), found in (self._uses or {}).items():
            known = (kind, name) in self.given or name in os.environ or name.startswith(SECRET)
            if kind == "env_var" and not known and len(self.given) < MAX_NAMES and any(use.rendered and use.needed for use in found):
                self.given[kind, name] = freshet_guess.env_var(name, freshet_scan.strongest({use.wants for use in found}))

    def _cause(self, key: Key, output: str, failed_in: str | None) -> dict | None:
        if key not in self._asked_in:
            return None
        records = self._records_of(key, self.given[key])
        here = [record for record in records if record["path"] and _named(record["path"], self._project_dir, output, failed_in)]
        return next(iter(here or (records if _shows(records[0]["value"], output) else ())), None)


def _all_kinds(kind: type) -> list:
    return [kind] + [deeper for direct in kind.__subclasses__() for deeper in _all_kinds(direct)]


def _named(path: str, project_dir: str, output: str, failed_in: str | None) -> bool:
    return path == failed_in or path in output or os.path.relpath(path, project_dir or ".") in output


def _shows(value: str, output: str) -> bool:
    """Tell whether a message has the value in it, as a word; numbers and truths, which are in many, in quotation marks."""
    quoted = f"'{value}'" in output or f'"{value}"' in output
    return quoted or (value not in ("1", "True", "False") and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", output) is not None)


def _at(record: dict) -> str:
    if record["path"] is None:
        return ""
    return f" in {record['path']}" + ("" if record["line"] is None else f", line {record['line']}")


def _settings(causes: list) -> str:
    sections = (("env", "env_var"), ("vars", "var"))
    lines = []
    for section, kind in sections:
        names = [f"  {record['name']}: ..." for record in causes if record["kind"] == kind]
        lines += [f"{section}:", *names] if names else []
    return "\n".join(lines)
