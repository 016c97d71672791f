"""The parse state: dbt's manifest for the next job of the same connection, and the conditions under which it can be used.

dbt's own partial parsing does the work, for changes that `freshet_changes` considers safe. The result is checked: if anything has changed
to which other nodes can refer, there is a full parse after all. So does a state that is unreadable or does not fit. dbt's own file is not
used: dbt takes three times as long to read it, and writes it too early.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import pickle
import time
import traceback
import zipfile
from typing import TYPE_CHECKING, Any

import freshet_changes
import freshet_manifest_json
import freshet_tree
from dbt.contracts.graph.manifest import Manifest
from dbt.parser.manifest import ManifestLoader
from dbt.version import __version__

if TYPE_CHECKING:
    from freshet_placeholders import Placeholders

FORMAT = 1
DBTS_FILE = "partial_parse.msgpack"
ABOUT, TEXTS, MANIFEST = "about.json", "texts.json", "manifest.pickle"
MAX_BYTES = 1 << 29
EMPTY = ("flat_graph", "source_patches")
"""Fields of the manifest that are empty in dbt's own file."""
OF_ONE_RUN = ("contents", "pp_dict", "pp_test_index")
"""Fields of the manifest's files that are not in dbt's own file."""
REFERABLE = ("nodes", "sources", "exposures", "metrics", "groups", "semantic_models", "saved_queries", "unit_tests", "functions")
DATA = {
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("collections", "OrderedDict"),
    ("pytz", "_UTC"),
}


class UnfitError(Exception):
    """Why the state cannot be used for this job."""


class Kept:
    """The manifest that dbt was given, and the one that it made."""

    def __init__(self) -> None:
        self.offered = None  # type: Any
        self.made = None  # type: Any
        self.config = None  # type: Any
        self.before = None  # type: Any
        self.changed = []  # type: list[str]
        self.placeholders = None  # type: Placeholders | None


KEPT = Kept()


def install() -> bool:
    """Replace how dbt reads and writes its file. False if dbt is not as expected: then states are not used."""
    load = getattr(ManifestLoader, "load", None)
    if load is None or not hasattr(ManifestLoader, "write_manifest_for_partial_parse") or not hasattr(Manifest, "from_msgpack"):
        return False
    if getattr(load, "freshet", False):
        return True

    def loaded(loader: ManifestLoader) -> Manifest:
        KEPT.made = None
        KEPT.made = load(loader)
        KEPT.config = getattr(loader, "root_project", None)
        return KEPT.made

    loaded.freshet = True
    ManifestLoader.load = loaded
    ManifestLoader.write_manifest_for_partial_parse = lambda _loader: None
    Manifest.from_msgpack = classmethod(lambda _cls, *_args, **_more: KEPT.offered)
    return True


def offer(target: str, placeholders: Placeholders) -> bool:
    """Offer the state to dbt. False if there is none, or the changes since then need a full parse."""
    if not os.path.exists(freshet_tree.STATE) or not install():
        return False
    try:
        manifest, pieces, KEPT.changed = _read(placeholders)
        KEPT.offered, KEPT.before = manifest, _summary(manifest, KEPT.changed)
        freshet_manifest_json.resume(manifest, pieces)
    except UnfitError as reason:
        print(f"Freshet: full parse, because {reason}")  # noqa: T201 - to dbt's log
    except Exception:  # noqa: BLE001 - a state is untrusted: anything may be wrong with it
        traceback.print_exc()
        print("Freshet: full parse, because the state of the last one cannot be read")  # noqa: T201
    if KEPT.offered is None:
        withdraw(placeholders)
        return False
    os.makedirs(target, exist_ok=True)
    # dbt checks that the file exists; its contents come from us.
    with open(os.path.join(target, DBTS_FILE), "wb"):
        pass
    return True


def is_valid(placeholders: Placeholders) -> bool:
    """Whether dbt used the state, with the same result as a full parse."""
    taken = KEPT.made is not None and KEPT.made is KEPT.offered
    return taken and not placeholders.has_new() and _summary(KEPT.made, KEPT.changed) == KEPT.before


def withdraw(placeholders: Placeholders) -> None:
    """Continue without the state."""
    KEPT.offered = KEPT.before = None
    freshet_manifest_json.forget()
    placeholders.forget()


def keep(placeholders: Placeholders) -> None:
    """Allow `write` to save the last manifest."""
    KEPT.placeholders = placeholders


def write() -> str | None:
    """Write the state, and return its path; None if there is none. This takes time, so it is called after the manifest is delivered."""
    if KEPT.placeholders is None or KEPT.made is None or _half_disabled(KEPT.made):
        return None
    placeholders = KEPT.placeholders.kept()
    if placeholders is None:
        return None
    kinds = _kinds(KEPT.made)
    texts = {path: _text(path) for path, kind in kinds.items() if kind == freshet_changes.SCHEMA}
    about = {
        "format": FORMAT,
        "dbt_version": __version__,
        "at": time.time(),
        "digests": freshet_tree.DIGESTS,
        "kinds": kinds,
        "placeholders": placeholders,
    }
    path = freshet_tree.STATE + ".new"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(ABOUT, json.dumps(about))
        archive.writestr(TEXTS, json.dumps(texts))
        with archive.open(MANIFEST, "w") as file:
            Pickler(file, pickle.HIGHEST_PROTOCOL).dump((_fields(KEPT.made), freshet_manifest_json.MADE))
    return path


def _read(placeholders: Placeholders) -> tuple:
    with zipfile.ZipFile(freshet_tree.STATE) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise UnfitError("the state of the last one is too big")
        about = json.loads(archive.read(ABOUT))
        if (about["format"], about["dbt_version"]) != (FORMAT, __version__) or about["at"] > time.time():
            raise UnfitError("the state is from another version, or from the future")
        paths = freshet_changes.changed(about["digests"], freshet_tree.DIGESTS)
        if paths is None:
            raise UnfitError("files were added or removed")
        _check(paths, about["kinds"], archive)
        if not placeholders.resume(about["placeholders"], paths):
            raise UnfitError("the missing values may have changed")
        fields, pieces = Unpickler(archive.open(MANIFEST)).load()
        return Manifest(**fields), pieces, paths


def _check(paths: list, kinds: dict, archive: zipfile.ZipFile) -> None:
    schemas = [path for path in paths if kinds.get(path) == freshet_changes.SCHEMA]
    before = json.loads(archive.read(TEXTS)) if schemas else {}
    texts = {path: (before[path], _text(path)) for path in schemas}
    path = freshet_changes.needing_full_parse(paths, kinds, texts, _yaml)
    if path is not None:
        raise UnfitError(f"{path} changed")


class Pickler(pickle.Pickler):
    """Writes a format that `Unpickler` can read."""

    def reducer_override(self, value: object) -> Any:
        """Write enumerations by value: some versions of Python would write a function call."""
        return (type(value), (value.value,)) if isinstance(value, enum.Enum) else NotImplemented


class Unpickler(pickle.Unpickler):
    """Creates objects of dbt's data classes only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a data class. Raises UnpicklingError for anything else."""
        found = super().find_class(module, name) if (module, name) in DATA or module.startswith("dbt") else None
        if (module, name) in DATA or (isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, (enum.Enum, str)))):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is not a data class")


def _fields(manifest: Manifest) -> dict:
    for file in manifest.files.values():
        for name in OF_ONE_RUN:
            if getattr(file, name, None) is not None:
                setattr(file, name, None)
    names = [field.name for field in dataclasses.fields(manifest) if field.init and not field.name.startswith("_")]
    return {name: getattr(manifest, name) for name in names if name not in EMPTY}


def _summary(manifest: Manifest, changed: list) -> list:
    """Everything about nodes that others can refer to, except for generic tests in the changed files."""
    found = []
    for section in REFERABLE:
        found += [(key, *_seen(node)) for key, node in (getattr(manifest, section, None) or {}).items() if not _made_by(changed, node)]
    for key, nodes in manifest.disabled.items():
        found += [(key, "disabled", *_seen(node)) for node in nodes if not _made_by(changed, node)]
    return sorted(found)


def _made_by(changed: list, node: object) -> bool:
    return getattr(node, "test_metadata", None) is not None and any(path.endswith(node.original_file_path) for path in changed)


def _seen(node: object) -> tuple:
    names = ("name", "original_file_path", "patch_path", "access", "group", "version", "latest_version", "deprecation_date")
    return tuple(str(getattr(node, name, None)) for name in names)


def _half_disabled(manifest: Manifest) -> bool:
    """Whether a test is disabled because its model is missing: a full parse lists it, dbt's partial parsing does not."""
    return any(not getattr(getattr(node, "config", None), "enabled", True) for node in manifest.nodes.values())


def _kinds(manifest: Manifest) -> dict:
    """Map the repository's files to dbt's kinds."""
    found = {}
    for file in manifest.files.values():
        path = os.path.relpath(getattr(file.path, "full_path", "/"), freshet_tree.SOURCE)
        if path in freshet_tree.DIGESTS:
            # A file may have two kinds.
            found[path] = None if path in found else str(getattr(file.parse_file_type, "value", file.parse_file_type))
    return found


def _text(path: str) -> str:
    with open(os.path.join(freshet_tree.SOURCE, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def _yaml(text: str) -> object:
    # dbt's own parser, whose module depends on the version.
    try:
        from dbt_common.clients.yaml_helper import safe_load  # noqa: PLC0415
    except ImportError:
        from dbt.clients.yaml_helper import safe_load  # noqa: PLC0415
    return safe_load(text)
