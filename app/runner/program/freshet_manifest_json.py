"""Writes the manifest's JSON node by node, reusing the JSON of nodes that have not changed since the last parse.

Encoding is most of the work if little has changed. dbt marks each new or changed node with the time (`created_at`), which identifies
unchanged ones. The file is the same as dbt's own, except for white space.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from dbt.contracts.graph.manifest import Manifest, WritableManifest

try:
    import orjson
except ImportError:  # it comes with some adapters only
    orjson = None

if TYPE_CHECKING:
    from collections.abc import Callable

SECTIONS = ("nodes", "sources", "macros", "docs")
"""Sections of the manifest (by unique_id) whose pieces are kept: nearly all of it."""
MAPS = ("build_parent_and_child_maps", "build_group_map")

MADE = {}  # type: dict[str, dict[str, bytes]]
"""The JSON of every node in the last manifest, by section and unique_id."""
KEPT = {}  # type: dict[str, dict[str, tuple[object, object, bytes]]]
"""For every node of the state: the node itself, its time, its JSON."""
WHOLE = {}  # type: dict[str, list[str]]
"""While a manifest is written: the unique_ids of each section, in order."""


def resume(manifest: Manifest, pieces: dict) -> None:
    """Use the pieces of a state. Raises KeyError if they do not fit its manifest."""
    for name in SECTIONS:
        KEPT[name] = {key: (node, _time(node), pieces[name][key]) for key, node in getattr(manifest, name).items()}


def forget() -> None:
    """Discard all pieces."""
    KEPT.clear()
    MADE.clear()


def install() -> None:
    """Write manifests in pieces."""
    module = sys.modules[WritableManifest.write.__module__]
    encoder = _encoder()
    expected = (module, "write_json"), *((Manifest, name) for name in (*MAPS, "write", "writable_manifest"))
    if encoder is None or not all(hasattr(owner, name) for owner, name in expected) or getattr(Manifest.write, "freshet", False):
        return
    module.write_json = lambda path, data: _write(path, data, encoder)
    Manifest.write = _writing(Manifest.write)


def _writing(whole: Callable) -> Callable:
    def write(manifest: Manifest, path: str) -> None:
        sections = {name: getattr(manifest, name) for name in SECTIONS}
        WHOLE.update({name: list(section) for name, section in sections.items()})
        for name in MAPS:
            # These need all nodes, and dbt would build them again from the remaining ones.
            getattr(manifest, name)()
            setattr(manifest, name, _nothing)
        for name, section in sections.items():
            setattr(manifest, name, {key: node for key, node in section.items() if _kept(name, key, node) is None})
        try:
            whole(manifest, path)
        finally:
            for name, section in sections.items():
                setattr(manifest, name, section)
            for name in MAPS:
                delattr(manifest, name)
            WHOLE.clear()

    write.freshet = True
    return write


def _nothing() -> None:
    return None


def _kept(section: str, key: str, node: object) -> bytes | None:
    found = KEPT.get(section, {}).get(key)
    return found[2] if found is not None and found[0] is node and found[1] == _time(node) else None


def _time(node: object) -> object:
    return getattr(node, "created_at", None)


def _write(path: str, data: dict, encoder: type) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        if not WHOLE:
            file.write(_encoded(data, encoder))
            return
        for number, (name, value) in enumerate(data.items()):
            file.write((b"," if number else b"{") + _encoded(name, encoder) + b":")
            file.write(_section(name, value, encoder) if name in WHOLE else _encoded(value, encoder))
        file.write(b"}")


def _section(name: str, changed: dict, encoder: type) -> bytes:
    MADE[name] = {key: _encoded(changed[key], encoder) if key in changed else KEPT[name][key][2] for key in WHOLE[name]}
    return b"{" + b",".join(_encoded(key, encoder) + b":" + piece for key, piece in MADE[name].items()) + b"}"


def _encoder() -> type | None:
    for name in ("dbt_common.utils.encoding", "dbt.utils"):
        try:
            return importlib.import_module(name).JSONEncoder
        except (ImportError, AttributeError):
            continue
    return None


def _encoded(value: Any, encoder: type) -> bytes:
    if orjson is not None:
        try:
            return orjson.dumps(value, encoder().default)
        except TypeError:
            # Integers of more than 64 bits, or keys that are not strings.
            pass
    return json.dumps(value, cls=encoder).encode("utf-8", "surrogatepass")
