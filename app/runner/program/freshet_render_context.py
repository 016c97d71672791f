"""Shares between nodes what dbt builds again for each of them: the names of all macros, which is most of the time of a short rendering."""

from __future__ import annotations

from typing import Any

from dbt.context.macros import MacroNamespace
from dbt.context.providers import ModelContext


class SharedNamespace(dict):
    """dbt's namespace of the macros that a package sees, as one dictionary."""

    def __init__(self, namespace: Any) -> None:
        super().__init__(namespace)
        self._namespace = namespace

    def get_from_package(self, package_name: str | None, name: str) -> Any:
        """Find a macro as dbt does."""
        return self._namespace.get_from_package(package_name, name)


def install() -> None:
    """Build each package's namespace once. Macros keep the context for which they were made: so that is filled anew for each node."""
    build = getattr(ModelContext, "_build_namespace", None)
    # From dbt 1.12 on it finds macros when they are called, and none of this is needed.
    if build is None or not hasattr(MacroNamespace, "_search_order"):
        return
    made = {}  # type: dict[str, tuple[SharedNamespace, dict, Any]]

    def shared(context: Any) -> Any:
        if type(context) is not ModelContext:
            return build(context)
        package = context.search_package
        if package not in made:
            made[package] = (SharedNamespace(_without_node(build(context))), context._ctx, context.macro_stack)  # noqa: SLF001 - dbt's
            return made[package][0]
        namespace, variables, stack = made[package]
        variables.clear()
        variables.update(context._ctx)  # noqa: SLF001
        context._ctx, context.macro_stack = variables, stack  # noqa: SLF001
        return namespace

    ModelContext._build_namespace = shared  # noqa: SLF001


def _without_node(namespace: Any) -> Any:
    """Macros note in the node that they were made for that it has called them."""
    for found in namespace.values():
        for macro in found.values() if isinstance(found, dict) else (found,):
            macro.node = None
    return namespace
