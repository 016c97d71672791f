"""Makes dbt faster, without changing the manifest, by replacing slow functions and skipping unneeded work.

Before anything is replaced, it is checked: if dbt is not as expected, it stays unchanged.
"""

from __future__ import annotations

import importlib

import freshet_manifest_json
import freshet_schema
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
    freshet_manifest_json.install()
    # Not needed: the graph for `dbt run`, measurements, and a second manifest for the semantic layer.
    for owner, name in ((Manifest, "build_flat_graph"), (parser.ManifestLoader, "write_perf_info"), (parser, "write_semantic_manifest")):
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
