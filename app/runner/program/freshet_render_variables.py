"""Watches whether macros decide by variables without a value, in whose place `freshet_placeholders` puts placeholders."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import freshet_render_types
from dbt.context import base, providers, secret  # noqa: F401 - they define the contexts

if TYPE_CHECKING:
    from collections.abc import Callable


def install(decided: Callable[[str], Callable[[], None]]) -> None:
    """Wrap dbt's own functions. `decided` gives for the words of a variable what to call when something is decided by it."""
    for context in _all_kinds(base.BaseContext):
        members = context._context_members_
        if "env_var" in members:
            members["env_var"] = _environment(members["env_var"], decided)
    for kind in _all_kinds(base.Var):
        if "get_missing_var" in vars(kind):
            kind.get_missing_var = _missing(kind.get_missing_var, decided)


def _environment(inner: Callable, decided: Callable) -> Callable:
    @functools.wraps(inner)
    def env_var(context: Any, *arguments: Any, **more: Any) -> Any:
        value = inner(context, *arguments, **more)
        name = arguments[0] if arguments else more.get("var")
        if not isinstance(name, str) or name in os.environ or len(arguments) + len(more) > 1:
            return value
        return freshet_render_types.variable(value, decided(f"environment variable `{name}`"))

    return env_var


def _missing(inner: Callable, decided: Callable) -> Callable:
    @functools.wraps(inner)
    def get_missing_var(asked: Any, var_name: str) -> Any:
        value = inner(asked, var_name)
        return freshet_render_types.variable(value, decided(f"variable `{var_name}`"))

    return get_missing_var


def _all_kinds(kind: type) -> list:
    return [kind] + [deeper for direct in kind.__subclasses__() for deeper in _all_kinds(direct)]
