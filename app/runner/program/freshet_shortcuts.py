"""Makes dbt faster, without changing the manifest, by replacing slow functions and skipping unneeded work.

Before anything is replaced, it is checked: if dbt is not as expected, it stays unchanged.
"""

from __future__ import annotations

import copy
import importlib
import sys
from contextlib import suppress
from typing import Any

import freshet_descriptions
import freshet_manifest_json
import freshet_node_record
import freshet_schema
import freshet_yaml_shortcuts
from dbt.contracts.graph.manifest import Manifest
from dbt.parser import manifest as parser

CACHES = {
    "dbt_common.tests": (),
    "dbt_common.clients.jinja": ("_TESTING_PARSE_CACHE", "_TESTING_BLOCKS_CACHE"),
    "dbt.clients.jinja_static": ("_TESTING_MACRO_CACHE",),
}
"""dbt's own caches, from version 1.8 on."""


build_flat_graph = getattr(Manifest, "build_flat_graph", None)
"""dbt's own, for a manifest: the variable `graph`, which no parse needs."""


def install() -> None:
    """Apply all replacements."""
    _validate_quickly()
    freshet_descriptions.install()
    _build_contexts_quickly()
    _name_relations_late()
    _merge_flat_mappings()
    _flag_quickly()
    _copy_few_disabled()
    freshet_manifest_json.install()
    # Not needed: the graph for `dbt run`, measurements, dbt's own state, and a second manifest for the semantic layer.
    unneeded = (
        (Manifest, "build_flat_graph"),
        (parser.ManifestLoader, "write_perf_info"),
        (parser.ManifestLoader, "write_manifest_for_partial_parse"),
        (parser, "write_semantic_manifest"),
    )
    for owner, name in unneeded:
        if hasattr(owner, name):
            setattr(owner, name, _nothing)


def _nothing(*_args: object, **_more: object) -> None:
    return None


class Full(dict):
    """A cache that accepts no new entries."""

    def __setitem__(self, key: object, value: object) -> None:
        """Ignore the entry."""


def remember(*, more: bool) -> None:
    """Make dbt cache the results of parsing Jinja, as in its own tests (`more`), or use the cache without adding to it.

    In between, dbt's own macros are parsed, which are most of a small project. Caching a project's own texts would only cost memory.
    """
    for name, caches in CACHES.items():
        try:
            module = importlib.import_module(name)
            for cache in caches:
                setattr(module, cache, (dict if more else Full)(getattr(module, cache)))
        except (ImportError, AttributeError):
            return
    importlib.import_module("dbt_common.tests").enable_test_caching()


def _validate_quickly() -> None:
    """Validate with our own validator first: dbt's library takes a third of a parse."""
    mixin = _class_with_validation()
    if mixin is None or getattr(mixin.validate, "freshet", False):
        return
    slowly = mixin.validate.__func__
    checks = {}  # type: dict[type, Callable[[object], bool]]

    def validate(cls: type, data: object) -> None:
        if cls not in checks:
            schema = cls.json_schema()
            checks[cls] = freshet_schema.checker(schema, schema)
        if not checks[cls](data):
            slowly(cls, data)

    validate.freshet = True
    mixin.validate = classmethod(validate)


def _build_contexts_quickly() -> None:
    """Make what is the same in every context once: `modules` and `flags` of Jinja, which dbt makes for every node."""
    from dbt import flags  # noqa: PLC0415
    from dbt.context import base  # noqa: PLC0415

    modules = getattr(base, "get_context_modules", None)
    if modules is not None and not getattr(modules, "freshet", False):
        made = modules()

        def get_context_modules() -> dict:
            return {name: dict(members) for name, members in made.items()}

        get_context_modules.freshet = True
        base.get_context_modules = get_context_modules
    whole = getattr(flags, "get_flag_obj", None)
    if whole is not None and hasattr(flags, "get_flags") and not getattr(whole, "freshet", False):
        last = [None, None]  # type: list[object]

        def get_flag_obj() -> object:
            now = vars(flags.get_flags())
            if last[0] != now:
                last[:] = [dict(now), whole()]
            return copy.copy(last[1])

        get_flag_obj.freshet = True
        flags.get_flag_obj = get_flag_obj


RELATION_UPDATE = {
    *("find_generate_macro_by_name", "project_name", "DbtInternalError", "generate_generate_name_macro_context", "MacroGenerator"),
    *("default_updater", "dependencies", "keys", "package_name", "package_updaters", "component"),
}
"""What dbt's class `RelationUpdate` uses to get ready."""


def _name_relations_late() -> None:
    """Make contexts for the macros that name a node's relation when a node is parsed. dbt makes three for each parser of each package."""
    from dbt.parser import base  # noqa: PLC0415

    update = getattr(base, "RelationUpdate", None)
    begin = getattr(update, "__init__", None)
    if not hasattr(begin, "__code__") or not set(begin.__code__.co_names) <= RELATION_UPDATE or hasattr(update, "__getattr__"):
        return

    def __init__(updater: Any, *args: object, **more: object) -> None:  # noqa: N807 - as Python names it
        updater.freshet = args, more

    def __getattr__(updater: Any, name: str) -> Any:  # noqa: N807
        if name not in ("default_updater", "package_updaters", "component"):
            raise AttributeError(name)
        args, more = updater.freshet
        with freshet_node_record.paused():
            begin(updater, *args, **more)
        return vars(updater)[name]

    update.__init__, update.__getattr__ = __init__, __getattr__


MERGING = {"len", "copy", "deepcopy", "list", "pop", "_deep_merge", "deep_merge"}
SCALARS = {str, int, float, bool, type(None)}


def _merge_flat_mappings() -> None:
    """Merge mappings without lists or mappings in them, like the quoting of each relation, without copying each value of each."""
    from dbt.adapters.base import relation  # noqa: PLC0415

    inner = getattr(relation, "deep_merge", None)
    if not hasattr(inner, "__code__") or not set(inner.__code__.co_names) <= MERGING:
        return

    def deep_merge(*mappings: dict) -> dict:
        if not mappings or not all(type(each) is dict and SCALARS.issuperset(map(type, each.values())) for each in mappings):
            return inner(*mappings)
        merged = {}
        for each in mappings:
            merged.update(each)
        return merged

    relation.deep_merge = deep_merge


def _flag_quickly() -> None:
    """Tell an adapter's flags which module defines them without reading the source of every function on the stack."""
    try:
        module = importlib.import_module("dbt_common.behavior_flags")
        flag = module.BehaviorFlagRendered
        names = flag._default_source.__code__.co_names  # noqa: SLF001 - dbt's
    except (ImportError, AttributeError):
        return
    if not set(names) <= {"inspect", "stack", "getmodule", "__name__"}:
        return

    def source() -> str:
        frame = sys._getframe(1)  # noqa: SLF001 - Python's own `inspect` does the same
        while frame is not None:
            name = frame.f_globals.get("__name__")
            if name in sys.modules and name != module.__name__:
                return name
            frame = frame.f_back
        return "Unknown"

    flag._default_source = staticmethod(source)  # noqa: SLF001


OF_DISABLED = {
    *("manifest", "nodes", "values", "config", "enabled", "append", "unique_id", "add_disabled_nofile", "pop", "deepcopy", "disabled"),
    *("enumerate", "add_node_nofile", "rebuild_ref_lookup"),
}
"""What dbt uses to separate disabled nodes."""


def _copy_few_disabled() -> None:
    """Copy disabled nodes only where a copy becomes one of the others."""
    loader = parser.ManifestLoader
    using = [name for name, member in vars(loader).items() if "deepcopy" in getattr(getattr(member, "__code__", None), "co_names", ())]
    if using != ["cleanup_disabled"] or not set(loader.cleanup_disabled.__code__.co_names) <= OF_DISABLED:
        return

    def deepcopy(value: Any) -> Any:
        if type(value) is dict and not any(node.config.enabled for nodes in value.values() for node in nodes):
            return {key: list(nodes) for key, nodes in value.items()}
        return copy.deepcopy(value)

    parser.deepcopy = deepcopy


class PlainTexts(dict):
    """dbt's cache of texts in YAML without Jinja, which knows all of them: rendering returns such a text as it is."""

    def __contains__(self, text: object) -> bool:
        """Whether a text is known; Jinja changes ends of lines."""
        return super().__contains__(text) or (type(text) is str and "\n" not in text and "\r" not in text)

    def __missing__(self, text: str) -> str:
        """Return the text."""
        return text


PROBES = ("a", "1", "true", "[1]", "'a'", "None", " a ", "a # b", "")


def render_no_plain_texts() -> None:
    """Compile no template for each text without Jinja in YAML files, if dbt returns them as they are. dbt must have its flags."""
    from dbt.clients import jinja  # noqa: PLC0415

    cache = getattr(jinja, "_render_cache", None)
    with suppress(Exception):
        if type(cache) is dict and all(jinja.get_rendered(text, {}, native=True) == text for text in PROBES):
            jinja._render_cache = PlainTexts(cache)  # noqa: SLF001 - dbt's
            freshet_yaml_shortcuts.install()


def _class_with_validation() -> type | None:
    for name in ("dbt_common.dataclass_schema", "dbt.dataclass_schema"):
        try:
            mixin = importlib.import_module(name).dbtClassMixin
        except (ImportError, AttributeError):
            continue
        method = vars(mixin).get("validate")
        if isinstance(method, classmethod) and {"json_schema", "Draft7Validator", "iter_errors"} <= set(method.__func__.__code__.co_names):
            return mixin
    return None
