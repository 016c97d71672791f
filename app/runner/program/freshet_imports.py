"""Makes importing dbt, and its first parse, cheaper: no garbage collection meanwhile, and no work that the image's build has done.

    python freshet_imports.py ADAPTER...    does that work, as a step of the image's build

Where dbt or one of its libraries is not as expected, or the packages are not those of the build, they do all of it themselves.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import sysconfig
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = "/opt/freshet/schemas.json"
"""JSON schemas of dbt's classes, each as text, with the packages for which they were made."""
ARTIFACTS = ("dbt.artifacts.schemas.", "dbt.contracts.results", "dbt.contracts.graph.manifest")
"""Modules of what dbt writes: since dbt 1.8, and before. Their schemas are the largest, may contain times, and no parse validates them."""
MIXINS = ("dbt_common.dataclass_schema", "dbt.dataclass_schema")
"""Where dbt's class with `json_schema` may be: since dbt 1.8, and before."""


@contextmanager
def quickly() -> Iterator[None]:
    """Import something big within this. What is there at its end is never looked at by the garbage collector again."""
    gc.disable()
    try:
        _serialize_lazily()
        yield
        _know_schemas()
    finally:
        gc.freeze()
        # As for a job, which makes many objects that live to its end.
        gc.set_threshold(100_000, 20, 50)
        gc.enable()


def _serialize_lazily() -> None:
    """Make mashumaro write the code that reads and writes a class only when it is needed, as dbt does for most of its own classes.

    https://github.com/Fatal1ty/mashumaro#lazy_compilation-config-option
    """
    try:
        config = importlib.import_module("mashumaro.config").BaseConfig
    except (ImportError, AttributeError):
        return
    if getattr(config, "lazy_compilation", None) is False:
        config.lazy_compilation = True


def _know_schemas() -> None:
    """Let dbt's classes have the schemas that were made with the image."""
    mixin = _mixin()
    if mixin is None:
        return
    try:
        with open(SCHEMAS, encoding="utf-8") as file:
            made = json.load(file)
    except (OSError, ValueError):
        return
    if made["packages"] != packages():
        return
    schemas = made["schemas"]
    slowly = mixin.json_schema.__func__

    read = {}  # type: dict[type, dict]

    def json_schema(cls: type) -> dict:
        if cls not in read:
            text = schemas.get(_named(cls))
            read[cls] = slowly(cls) if text is None else json.loads(text)
        return read[cls]

    mixin.json_schema = classmethod(json_schema)


def _mixin() -> type | None:
    for name in MIXINS:
        mixin = getattr(sys.modules.get(name), "dbtClassMixin", None)
        method = vars(mixin).get("json_schema") if mixin is not None else None
        # It takes nothing but the class, and caches.
        function = getattr(getattr(method, "__func__", None), "__wrapped__", None)
        if isinstance(method, classmethod) and function is not None and function.__code__.co_argcount == 1:
            return mixin
    return None


def _named(cls: type) -> str:
    return cls.__module__ + "." + cls.__qualname__


def packages() -> list:
    """Name the installed packages with their versions."""
    return sorted(name for name in os.listdir(sysconfig.get_path("purelib")) if name.endswith(".dist-info"))


def write(adapters: list) -> None:
    """Write the schemas of dbt's and the adapters' classes."""
    for name in ("dbt.cli.main", *("dbt.adapters." + adapter for adapter in adapters)):
        importlib.import_module(name)
    mixin = _mixin()
    schemas = {}  # type: dict[str, str]
    for cls in _subclasses(mixin) if mixin else ():
        if cls.__module__.startswith(ARTIFACTS) or "<locals>" in cls.__qualname__:
            continue
        # Some classes cannot have one.
        with suppress(Exception):
            schema = cls.json_schema()
            text = json.dumps(schema)
            # Not if JSON changes it: tuples, or keys that are not text.
            if json.loads(text) == schema:
                schemas[_named(cls)] = text
    with open(SCHEMAS, "w", encoding="utf-8") as file:
        json.dump({"packages": packages(), "schemas": schemas}, file)


def _subclasses(cls: type) -> list:
    found = []  # type: list[type]
    for one in cls.__subclasses__():
        found += [one, *_subclasses(one)]
    return found


if __name__ == "__main__":
    write(sys.argv[1:])
