"""Notes what templates read from objects of dbt that know more than is recorded, or that all nodes share.

Jinja's sandbox asks for each attribute whether it may be read, however that is written: `x.a`, `x['a']`, `x | attr('a')`. What such objects
show makes the node uncertain. If a template changes a list or mapping that nodes share, or gets at what nobody has considered here, the
rest of the parse is uncertain: a later node may depend on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import freshet_node_record
from dbt.clients.jinja import MacroGenerator
from dbt.context import base as contexts
from dbt.context import context_config, providers
from dbt.contracts.graph.nodes import Macro
from jinja2.sandbox import SandboxedEnvironment, modifies_known_mutable

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWING = ("dbt.context", "dbt.config", "dbt.clients", "dbt_common.clients", "dbt.contracts.graph.manifest", "dbt.contracts.project")
"""Modules of objects that lead to the whole configuration, to the manifest, or to the texts of macros."""
SHARED = ("dbt.adapters", "dbt_common")
"""Modules of classes with values that all nodes share."""
ONCE = ("dbt_common.behavior_flags",)
"""Modules of objects that warn the first time they are asked."""
RECORDED = (
    (contexts.Var, {"has_var"}),
    (providers.ParseConfigObject, {"get", "require", "meta_get", "meta_require", "set", "persist_relation_docs", "persist_column_docs"}),
)
UNRECORDED = {"config", "warn_once"}
"""What dbt's wrapper of an adapter has that is not recorded: https://docs.getdbt.com/reference/dbt-jinja-functions/adapter."""
HOOKS = {"pre-hook", "post-hook"}
"""dbt renames these in a mapping that is given to `config()`."""
CLOCK = {"now", "today", "utcnow"}
CONTAINERS = (dict, list, set)
MAX_FOUND = 100
SCALARS = (str, int, float, type(None))

_kinds = {}  # type: dict[type, Callable[[str, Any], None] | None]


class SharedValues:
    """The lists and mappings that all nodes of a parse share, also those in others."""

    def __init__(self, values: list) -> None:
        self._values = list(values)
        self._ids = None  # type: set | None
        self._found = 0

    def add(self, value: object) -> None:
        """Add a value that a template has found. If there are too many, anything may change."""
        if self._found >= MAX_FOUND:
            freshet_node_record.taint()
        elif not self.has(value):
            self._found += 1
            self._values.append(value)
            self._ids = None

    def has(self, value: object) -> bool:
        """Whether this list or mapping is one of them."""
        if self._ids is None:
            self._ids, waiting = set(), list(self._values)
            while waiting:
                found = waiting.pop()
                if isinstance(found, CONTAINERS) and id(found) not in self._ids:
                    self._ids.add(id(found))
                    waiting += found.values() if isinstance(found, dict) else found
        return id(value) in self._ids


_shared = [SharedValues([])]


def begin(shared: list) -> None:
    """Prepare for a parse of which all nodes share these values."""
    _shared[0] = SharedValues(shared)


def install() -> bool:
    """Replace functions of the sandbox and of dbt. False if they are not as expected: then nothing is replaced."""
    names = ("BaseDatabaseWrapper", "RelationProxy", "ParseConfigObject")
    add = getattr(context_config.ContextConfig, "add_config_call", None)
    known = hasattr(SandboxedEnvironment, "is_safe_attribute") and all(isinstance(getattr(providers, name, None), type) for name in names)
    if not known or add is None or "_config_call_dict" not in add.__code__.co_names:
        return False
    SandboxedEnvironment.is_safe_attribute = _asking(SandboxedEnvironment.is_safe_attribute)
    context_config.ContextConfig.add_config_call = _adding(add)
    return True


def _asking(inner: Callable) -> Callable:
    def is_safe_attribute(environment: SandboxedEnvironment, found_in: object, name: str, value: object) -> bool:
        kind = found_in if isinstance(found_in, type) else type(found_in)
        if kind not in _kinds:
            _kinds[kind] = _watch(kind)
        watch = _kinds[kind]
        if watch is not None:
            watch(name, value)
        elif isinstance(found_in, CONTAINERS) and modifies_known_mutable(found_in, name):
            _modifies(found_in)
        elif kind is found_in and kind in CONTAINERS and modifies_known_mutable(kind(), name):
            # `dict.update(x)` instead of `x.update()`
            freshet_node_record.taint()
        return inner(environment, found_in, name, value)

    return is_safe_attribute


def _adding(inner: Callable) -> Callable:
    def add_config_call(context: Any, options: Any) -> None:
        """Add configuration: dbt changes a list or mapping that an earlier call has given, even one from a variable."""
        for name in options if isinstance(options, dict) else ():
            _modifies(options if name in HOOKS else None)
            _modifies(context._config_call_dict.get(name))  # noqa: SLF001 - dbt's
        inner(context, options)

    return add_config_call


def _modifies(value: object) -> None:
    if isinstance(value, CONTAINERS) and _shared[0].has(value):
        freshet_node_record.taint()


def _watch(kind: type) -> Callable[[str, Any], None] | None:
    """Return what to do when an attribute of such an object is read; None: nothing."""
    module = kind.__module__
    if module == "datetime":
        return _clock
    if issubclass(kind, CONTAINERS):
        return None
    if issubclass(kind, providers.BaseDatabaseWrapper):
        return _adapter
    if module.startswith(ONCE):
        return _once
    if _knows(kind) and not issubclass(kind, providers.RelationProxy):
        recorded = next((names for base, names in RECORDED if issubclass(kind, base)), set())
        return lambda name, value: None if name in recorded else _more(value)
    return _of_class if module.startswith(SHARED) or _knows(kind) else None


def _knows(kind: type) -> bool:
    return kind.__module__.startswith(KNOWING) or issubclass(kind, (MacroGenerator, Macro))


def _clock(name: str, _value: object) -> None:
    if name in CLOCK:
        freshet_node_record.spoil()


def _once(_name: str, _value: object) -> None:
    freshet_node_record.spoil()


def _adapter(name: str, value: object) -> None:
    if name in UNRECORDED:
        freshet_node_record.spoil()
    _of_class(name, value)


def _more(value: object) -> None:
    freshet_node_record.spoil()
    kind = type(value)
    if isinstance(value, CONTAINERS):
        _shared[0].add(value)
    elif not (isinstance(value, SCALARS) or _knows(kind) or kind.__module__.startswith(SHARED)):
        freshet_node_record.taint()


def _of_class(_name: str, value: object) -> None:
    if isinstance(value, CONTAINERS):
        _shared[0].add(value)
