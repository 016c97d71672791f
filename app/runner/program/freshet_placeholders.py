"""Placeholders for `env_var()` and `var()` without a value: dbt goes on, and the placeholders are reported.

dbt's own functions are called first, and a placeholder is used only if they fail because a value is missing. So a project without missing
values is parsed exactly as without this. The two functions differ:

* `env_var()` without a value or default stops dbt everywhere. It always gets a placeholder.
* `var()` stops dbt in YAML only. In models dbt itself returns None while parsing, and that is kept, except for a variable of which entries
  are read (`var('x')['y']`). Only if the parse fails do the others get a placeholder, and those whose default is nothing (`none`, or a name
  that is not defined), in a second attempt: see `freshet_dbt.invoke`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import freshet_causes
import freshet_current_file
import freshet_node_record
import freshet_placeholder_values
import freshet_scan
import freshet_tree
import jinja2

# Import every module that defines a context, so that none is defined later.
from dbt.context import base, docs, providers, secret  # noqa: F401
from dbt.exceptions import EnvVarMissingError, RequiredVarNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_RECORDS = 200
MAX_NAMES = 100
SECRET = "DBT_ENV_SECRET"  # noqa: S105 - a prefix

ENTRIES, ALL, MAPPINGS, NONE = "entries", "all", "all, and mappings if nothing shows their type", "none"
"""Which variables without a value get a placeholder where dbt has None for them: those of which entries are read; all; none."""
MISSING, NONE_OF_DBT, NOTHING = "missing", "none of dbt", "nothing"
"""How values are missing: dbt would stop; dbt returns None; the value, or the default in the project, is None or undefined."""

Key = tuple  # (kind, name)


class Placeholders:
    """The placeholders of one job."""

    def __init__(self, project_dir: str) -> None:
        self.given = {}  # type: dict[Key, object]
        self.given_none = []  # type: list[Key]
        """Variables for which dbt returned None, or something undefined."""
        self._mode = ENTRIES
        self._instead_of_none = False
        self._project_dir = project_dir
        self._asked_in = {}  # type: dict[Key, tuple[str, int | None] | None]
        self._uses = None  # type: dict[Key, list[freshet_scan.Use]] | None

    def install(self) -> None:
        """Wrap dbt's own functions, in every context."""
        for context in _all_kinds(base.BaseContext):
            # Jinja gets a context's functions from here, not from the attributes of the class.
            members = context._context_members_
            if "env_var" in members:
                members["env_var"] = self._behind_env_var(members["env_var"])
        for kind in _all_kinds(base.Var):
            if "get_missing_var" in vars(kind):
                kind.get_missing_var = self._behind_missing_var(kind.get_missing_var)
            if "__call__" in vars(kind):
                kind.__call__ = self._behind_var(kind.__call__)

    @contextmanager
    def using(self, mode: str) -> Iterator[Callable]:
        """Use placeholders as in another of the modes. Yields a function to call on success; otherwise this is undone."""
        before = dict(self.given)
        kept = []
        self._mode = mode
        try:
            yield lambda: kept.append(True)
        finally:
            self._mode = ENTRIES
            if not kept:
                self.given = before

    def end_mode(self) -> None:
        """Be as after `using`."""
        self._mode = ENTRIES

    def other_modes(self, message: str) -> list:
        """Return the modes that may help after a failure with this message."""
        is_read = "has no attribute" in message or "is undefined" in message
        modes = ((ALL, self.given_none), (MAPPINGS, self.given_none and is_read), (NONE, self._instead_of_none))
        return [mode for mode, helps in modes if helps]

    @property
    def mode(self) -> str:
        """The mode that is used now."""
        return self._mode

    def can_be_kept(self) -> bool:
        """Whether nodes that were parsed with these placeholders can be kept for the next parse: not if there may be too many."""
        return len(self.given) < MAX_NAMES

    def answers_the_same(self, asked: freshet_node_record.Asked) -> bool:
        """Whether what was asked for in an earlier parse, or by a worker, has the same answer now."""
        return _digest(self._answer(asked.how, (asked.kind, asked.name))) == asked.answer

    def has_room(self, asked: list) -> bool:
        """Whether all of this could be asked for now, without reaching the limit."""
        return not asked or len(self.given.keys() | {(one.kind, one.name) for one in asked}) < MAX_NAMES

    def ask_again(self, asked: freshet_node_record.Asked) -> None:
        """Note what was asked for in an earlier parse, for a node that is not parsed again."""
        self._note(asked.how, (asked.kind, asked.name), asked.place)

    def forget(self) -> None:
        """Discard all placeholders."""
        self.given, self.given_none = {}, []
        self._instead_of_none = False
        self._asked_in = {}

    def records(self, *, failed: bool) -> list:
        """Return the placeholders, one record for each name and place, as in `freshet_result`.

        After a failure, also those that dbt would have needed later: environment variables without a default, in files that it always
        renders. So all of them are reported together.
        """
        if failed:
            self._look_ahead()
        by_name = [self._records_of(key, value) for key, value in self.given.items()]
        first = [records[0] for records in by_name]
        return (first + [record for records in by_name for record in records[1:]])[:MAX_RECORDS]

    def remark(self, output: str, failed_in: str | None) -> str:
        """Return a paragraph for dbt's message if a placeholder may be the cause of the error, or else an empty string."""
        found = [cause for cause in (self._cause(key, output, failed_in) for key in self.given) if cause is not None]
        if not found:
            return ""
        return freshet_causes.remark(found)

    def _behind_env_var(self, inner: Callable) -> Callable:
        @functools.wraps(inner)
        def env_var(context: object, *args: object, **kwargs: object) -> object:
            name = args[0] if args else kwargs.get("var")
            freshet_node_record.environment(name)
            try:
                value = inner(context, *args, **kwargs)
            except EnvVarMissingError:
                if not isinstance(name, str) or len(self.given) >= MAX_NAMES:
                    raise
                return self._ask(MISSING, "env_var", name)
            return self._in_place_of(value, "env_var", name) if _is_nothing(value) and isinstance(name, str) else value

        return env_var

    def _behind_missing_var(self, inner: Callable) -> Callable:
        @functools.wraps(inner)
        def get_missing_var(asked: base.Var, var_name: str) -> object:
            try:
                inner(asked, var_name)
            except RequiredVarNotFoundError:
                if len(self.given) >= MAX_NAMES:
                    raise
                return self._ask(MISSING, "var", var_name)
            return self._ask(NONE_OF_DBT, "var", var_name) if len(self.given) < MAX_NAMES else None

        return get_missing_var

    def _behind_var(self, inner: Callable) -> Callable:
        @functools.wraps(inner)
        def call(asked: base.Var, var_name: str, *default: object, **more: object) -> object:
            freshet_node_record.variable(var_name)
            value = inner(asked, var_name, *default, **more)
            return self._in_place_of(value, "var", var_name) if _is_nothing(value) and isinstance(var_name, str) else value

        return call

    def _in_place_of(self, value: object, kind: str, name: str) -> object:
        """A placeholder for a variable that dbt leaves without a value, if the mode asks for one; or else dbt's own value."""
        answer = self._ask(NOTHING, kind, name)
        return value if answer is None else answer

    def _ask(self, how: str, kind: str, name: str) -> object:
        """Return a placeholder for a value that is missing; None if dbt's own None is kept."""
        key, place = (kind, name), freshet_current_file.here(sys._getframe(2))  # noqa: SLF001 - like `inspect`, but without reading files
        answer = self._answer(how, key)
        freshet_node_record.asked(freshet_node_record.Asked(how, kind, name, _digest(answer), place))
        self._note(how, key, place)
        return None if answer is None else freshet_placeholder_values.copied(self.given[key])

    def _answer(self, how: str, key: Key) -> object:
        """What is used for a missing value in this mode; None for dbt's own None."""
        if how == MISSING:
            return self._value(key)
        if how == NONE_OF_DBT:
            return self._value(key) if self._mode != NONE and any(use.entries for use in self._of(key)) else None
        used = self._mode in (ALL, MAPPINGS) and len(self.given) < MAX_NAMES and not self._only_tested(key)
        return self._value(key) if used else None

    def _note(self, how: str, key: Key, place: tuple) -> None:
        answer = self._answer(how, key)
        if answer is not None:
            self._instead_of_none = self._instead_of_none or how == NONE_OF_DBT
            if key not in self.given:
                self.given[key] = answer
                self._asked_in[key] = self._place(*place)
        elif how == NOTHING and key not in self.given_none:
            self.given_none.append(key)

    def _value(self, key: Key) -> object:
        kind, name = key
        wants = freshet_scan.strongest({use.wants for use in self._of(key)})
        if kind == "env_var":
            return freshet_placeholder_values.env_var(name, wants)
        if wants is None and self._mode == MAPPINGS:
            wants = "dict"
        return freshet_placeholder_values.var(name, wants, tuple(entry for use in self._of(key) for entry in use.entries))

    def _place(self, path: str | None, line: int | None) -> tuple[str, int | None] | None:
        found = None if path is None else freshet_current_file.in_repository(path, self._project_dir)
        return (found, line) if found is not None and os.path.exists(os.path.join(freshet_tree.SOURCE, found)) else None

    def _of(self, key: Key) -> list:
        if self._uses is None:
            self._uses = {}
            for use in freshet_scan.uses(freshet_tree.SOURCE, freshet_tree.project(self._project_dir)):
                self._uses.setdefault((use.kind, use.name), []).append(use)
        return self._uses.get(key, [])

    def _only_tested(self, key: Key) -> bool:
        """Whether a variable is only used in conditions: None is false there, and a placeholder would be true."""
        found = self._of(key)
        return bool(found) and all(use.tested for use in found)

    def _records_of(self, key: Key, value: object) -> list:
        places = [(use.path, use.line) for use in self._of(key) if use.needed]
        asked = self._asked_in.get(key)
        if asked is not None and asked[0] not in [path for path, _ in places]:
            # Called with a computed name, or through another function.
            places = places if any(use.rendered for use in self._of(key) if use.needed) else [asked, *places]
        base_record = {"kind": key[0], "name": key[1], "value": freshet_placeholder_values.shown(value)}
        return [{**base_record, "path": path, "line": line} for path, line in dict.fromkeys(places or [(None, None)])]

    def _look_ahead(self) -> None:
        self._of(("env_var", ""))
        for (kind, name), found in (self._uses or {}).items():
            known = (kind, name) in self.given or name in os.environ or name.startswith(SECRET)
            if kind == "env_var" and not known and len(self.given) < MAX_NAMES and any(use.rendered and use.needed for use in found):
                self.given[kind, name] = freshet_placeholder_values.env_var(name, freshet_scan.strongest({use.wants for use in found}))

    def _cause(self, key: Key, output: str, failed_in: str | None) -> dict | None:
        if key not in self._asked_in:
            return None
        records = self._records_of(key, self.given[key])
        here = [
            record for record in records if record["path"] and freshet_causes.is_named(record["path"], self._project_dir, output, failed_in)
        ]
        return next(iter(here or (records if freshet_causes.shows(records[0]["value"], output) else ())), None)


def _digest(answer: object) -> str:
    text = repr(freshet_placeholder_values.in_full(answer))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def _is_nothing(value: object) -> bool:
    return value is None or isinstance(value, jinja2.Undefined)


def _all_kinds(kind: type) -> list:
    return [kind] + [deeper for direct in kind.__subclasses__() for deeper in _all_kinds(direct)]
