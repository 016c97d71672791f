"""Things that dbt does in a slow way, or for nobody here. The manifest stays what it is.

Whatever is replaced is looked at first: where dbt is not as expected, it is left alone.
"""

from __future__ import annotations

import importlib

import freshet_pieces
import freshet_schema
from dbt.contracts.graph.manifest import Manifest
from dbt.parser import manifest as parser

CACHES = {
    "dbt_common.tests": (),
    "dbt_common.clients.jinja": ("_TESTING_PARSE_CACHE", "_TESTING_BLOCKS_CACHE"),
    "dbt.clients.jinja_static": ("_TESTING_MACRO_CACHE",),
}
"""dbt's own caches, from version 1.8 on."""


def install() -> None:
    """Make dbt quicker."""
    _validate_quickly()
    freshet_pieces.install()
    # The graph for `dbt run`, measurements, and a second manifest for the semantic layer.
    for owner, name in ((Manifest, "build_flat_graph"), (parser.ManifestLoader, "write_perf_info"), (parser, "write_semantic_manifest")):
        if hasattr(owner, name):
            setattr(owner, name, _nothing)


def _nothing(*_args: object, **_more: object) -> None:
    return None


class Full(dict):
    """A cache that takes no more."""

    def __setitem__(self, key: object, value: object) -> None:
        """Leave it."""


def remember(*, more: bool) -> None:
    """Have dbt keep what its parsers of Jinja make of a text, as it does in its own tests, or only go on to use what it has kept.

    Between the two its own macros are parsed: they are most of what a small project consists of. What a project adds would take memory.
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
    """Ask a JSON schema's library, a third of a parse, only about what is not plainly valid."""
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
