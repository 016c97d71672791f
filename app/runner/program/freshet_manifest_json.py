"""Writes the manifest's JSON node by node, reusing the JSON of nodes that are as in the last parse.

Encoding is a third of the work if little has changed. What dbt would encode is compared by a digest of the whole object, except for the
time at which it was made. The file is the same as dbt's own, except for white space and those times.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import importlib
import io
import json
import os
import pickle
import sys
from datetime import date
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

PARTS = 0 if orjson is None else orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""Values that orjson does not write itself: they have more than it would write."""
BASES = (str, bytes, int, float, dict, list, tuple, set, frozenset, date)
READERS = {}  # type: dict[type, tuple]
MADE = {}  # type: dict[str, dict[str, bytes]]
"""The JSON of every node in the last manifest, by section and unique_id."""


KEPT = {}  # type: dict[str, dict[str, tuple[str, bytes]]]
"""Of the last parse: the digest and the JSON of every node, by section and unique_id."""
DIGESTS = {}  # type: dict[str, dict[str, str | None]]
"""The digest of every node in this manifest; while it is written, in its order."""
WITH_DIGESTS = []  # type: list[Callable[[], None]]
"""Called as soon as `DIGESTS` has all of them."""


def forget() -> None:
    """Discard all pieces."""
    MADE.clear()
    KEPT.clear()
    DIGESTS.clear()


def kept() -> dict:
    """Return what the next parse can use, as `KEPT`."""
    return {
        name: {key: (digest, MADE[name][key]) for key, digest in digests.items() if digest is not None}
        for name, digests in DIGESTS.items()
        if name in MADE
    }


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
        DIGESTS.update({name: {key: _digest(node) for key, node in section.items()} for name, section in sections.items()})
        for call in WITH_DIGESTS:
            call()
        for name in MAPS:
            # These need all nodes, and dbt would build them again from the remaining ones.
            getattr(manifest, name)()
            setattr(manifest, name, _nothing)
        for name, section in sections.items():
            setattr(manifest, name, {key: node for key, node in section.items() if _reusable(name, key) is None})
        try:
            whole(manifest, path)
        finally:
            for name, section in sections.items():
                setattr(manifest, name, section)
            for name in MAPS:
                delattr(manifest, name)

    write.freshet = True
    return write


def _nothing() -> None:
    return None


def _digest(node: Any) -> str | None:
    """A digest of everything in a node, except for the time at which it was made; None if it has something else than data."""
    made = node.__dict__.pop("created_at", None)
    try:
        data = _plain(node)
        if data is not None:
            return hashlib.blake2b(data, digest_size=10).hexdigest()
        file = io.BytesIO()
        pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
        # Equal texts are written alike, whether they are one object or two.
        pickler.fast = True
        pickler.dump(node)
        return hashlib.blake2b(file.getbuffer(), digest_size=10).hexdigest()
    except Exception:  # noqa: BLE001 - whatever a project puts into its configuration
        return None
    finally:
        if made is not None:
            node.created_at = made


def _plain(node: Any) -> bytes | None:
    """Everything in a node, with the classes of its parts, much faster than a pickle; None if it has something else than data."""
    if orjson is None:
        return None
    try:
        return orjson.dumps(node, _part, PARTS)
    except TypeError:
        return None


def _part(value: Any) -> tuple:
    """The class of a part, and all that it has. Raises TypeError if that is not certain."""
    kind = type(value)
    if kind not in READERS:
        READERS[kind] = (kind.__module__, kind.__qualname__, _reader(kind))
    module, name, read = READERS[kind]
    return module, name, read(value)


def _reader(kind: type) -> Callable[[Any], object]:
    if issubclass(kind, enum.Enum):
        return lambda value: value.value
    # What derives from one of these has more than its attributes.
    return vars if dataclasses.is_dataclass(kind) and not issubclass(kind, BASES) else _text


def _text(value: Any) -> str:
    if not isinstance(value, str) or getattr(value, "__dict__", None):
        raise TypeError(type(value))
    return str.__str__(value)


def _reusable(section: str, key: str) -> bytes | None:
    digest, piece = KEPT.get(section, {}).get(key, (None, None))
    return piece if digest is not None and digest == DIGESTS[section][key] else None


def _write(path: str, data: dict, encoder: type) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        for number, (name, value) in enumerate(data.items()):
            file.write((b"," if number else b"{") + _encoded(name, encoder) + b":")
            file.write(_section(name, value, encoder) if name in DIGESTS else _encoded(value, encoder))
        file.write(b"}")


def _section(name: str, changed: dict, encoder: type) -> bytes:
    MADE[name] = {key: _encoded(changed[key], encoder) if key in changed else KEPT[name][key][1] for key in DIGESTS[name]}
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
