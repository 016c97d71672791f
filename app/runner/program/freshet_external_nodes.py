"""Adds models of other projects that `ref()` names: dbt calls them external nodes, and has a way for plugins to add them.

The service looks them up and sends them with the job. dbt resolves every `ref()` in every parse, after all files are parsed, so no node of
the state depends on them. dbt gets the true names of their tables for the manifest only: it refuses two nodes with one table, and both
projects may be read with the same names of a developer.
"""

from __future__ import annotations

import dataclasses
import inspect
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbt.parser.manifest import ManifestLoader
from freshet_placeholder_values import TOKEN

try:
    from dbt.contracts.graph.node_args import ModelNodeArgs
    from dbt.plugins.manager import PluginManager
except ImportError:  # before dbt 1.6
    ModelNodeArgs = PluginManager = None

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = {"name", "package_name", "identifier", "schema", "relation_name", "version", "latest_version", "access", "generated_at"}
"""What dbt has to know of such a model: https://github.com/dbt-labs/dbt-core/blob/main/core/dbt/contracts/graph/node_args.py."""
WITH_REFS = ("nodes", "exposures", "metrics", "semantic_models", "functions")
GENERATED_AT = datetime(2000, 1, 1)  # noqa: DTZ001 - as dbt's own; the same in every parse: it is part of a checksum

_given = []  # type: list[dict]
_manifest = [None]  # type: list[Any]


def install() -> None:
    """Replace dbt's functions, if they are as expected."""
    inject, get = getattr(ManifestLoader, "inject_external_nodes", None), getattr(PluginManager, "get_nodes", None)
    if inject is None or get is None or getattr(inject, "freshet", False):
        return
    known = {field.name for field in dataclasses.fields(ModelNodeArgs)}
    if known >= FIELDS and [*inspect.signature(inject).parameters] == ["self"] and [*inspect.signature(get).parameters] == ["self"]:
        ManifestLoader.inject_external_nodes = _injecting(inject)
        PluginManager.get_nodes = _with_given(get)


def begin(models: list) -> None:
    """Take the models of a job."""
    _given[:] = models


def _injecting(inner: Callable) -> Callable:
    def inject_external_nodes(loader: ManifestLoader) -> bool:
        _manifest[0] = loader.manifest
        try:
            return inner(loader)
        finally:
            _manifest[0] = None

    inject_external_nodes.freshet = True
    return inject_external_nodes


def _with_given(inner: Callable) -> Callable:
    def get_nodes(manager: Any) -> Any:
        found = inner(manager)
        for model in _named(_manifest[0]) if _given and _manifest[0] is not None else ():
            found.add_model(_as_argument(model))
        return found

    return get_nodes


def _named(manifest: Any) -> list:
    """The given models that some `ref()` may mean: the project's readers are not shown the names of others."""
    names = {(ref.name, ref.package) for section in WITH_REFS for node in getattr(manifest, section, {}).values() for ref in _refs(node)}
    return [model for model in _given if {(model["name"], model["project"]), (model["name"], None)} & names]


def _refs(node: Any) -> list:
    return [ref for ref in getattr(node, "refs", None) or () if hasattr(ref, "package")]


def _as_argument(model: dict) -> Any:
    version = model["version"]
    return ModelNodeArgs(
        name=model["name"],
        package_name=model["project"],
        identifier=model["name"] if version is None else f"{model['name']}_v{version}",
        schema=f"{TOKEN}_{'project' if version is None else 'versions'}_{model['project']}",
        relation_name=model["relation_name"],
        version=version,
        latest_version=model["latest_version"],
        access="public",
        generated_at=GENERATED_AT,
    )
