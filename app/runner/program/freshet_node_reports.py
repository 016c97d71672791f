"""Makes dbt report what nodes ask for, to `freshet_node_record`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import freshet_node_attributes
import freshet_node_record
from dbt import deprecations
from dbt.clients.jinja import MacroGenerator
from dbt.context import base as contexts
from dbt.context.providers import BaseDatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Callable


OF_MACROS = "JinjaLogInfo"
"""dbt's event for what macros write to the log: https://docs.getdbt.com/reference/dbt-jinja-functions/log."""


def log_again(text: str) -> None:
    """Write to the log what a macro has written when the node was parsed."""
    contexts.fire_event(contexts.JinjaLogInfo(msg=text, node_info=contexts.get_node_info()))


def install() -> bool:
    """Replace dbt's functions. False if dbt is not as expected: then nothing is replaced."""
    expected = (
        (MacroGenerator, "__call__"),
        (deprecations, "warn"),
        (contexts.Var, "has_var"),
        (BaseDatabaseWrapper, "_get_search_packages"),
        *((contexts, name) for name in ("fire_event", OF_MACROS, "get_node_info")),
    )
    if not all(hasattr(owner, name) for owner, name in expected) or not freshet_node_attributes.install():
        return False
    MacroGenerator.__call__ = _call(MacroGenerator.__call__)
    deprecations.warn = _warn(deprecations.warn)
    contexts.Var.has_var = _has_var(contexts.Var.has_var)
    BaseDatabaseWrapper._get_search_packages = _unrecorded(BaseDatabaseWrapper._get_search_packages)  # noqa: SLF001 - dbt's
    return True


def _call(inner: Callable) -> Callable:
    def __call__(generator: MacroGenerator, *args: object, **more: object) -> object:  # noqa: N807 - as dbt names it
        freshet_node_record.macro(generator.macro.unique_id)
        return inner(generator, *args, **more)

    return __call__


def _warn(inner: Callable) -> Callable:
    def warn(name: str, *args: object, **more: object) -> None:
        if args:
            freshet_node_record.spoil()
        freshet_node_record.warning(name, more)
        with freshet_node_record.paused():
            inner(name, *args, **more)

    return warn


def _has_var(inner: Callable) -> Callable:
    def has_var(var: contexts.Var, name: str) -> bool:
        freshet_node_record.variable(name)
        return inner(var, name)

    return has_var


def _unrecorded(inner: Callable) -> Callable:
    def unrecorded(*args: object, **more: object) -> object:
        with freshet_node_record.paused():
            return inner(*args, **more)

    return unrecorded
