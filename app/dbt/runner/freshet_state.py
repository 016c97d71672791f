"""What the next job of the same connection can begin with: what dbt made of the project, and what has to hold for it to be of use.

dbt's own partial parsing does the work, for changes that `freshet_changes` lets through. What dbt made of them is looked at once more:
where anything has changed that others may refer to, the project is parsed in full after all. A state that cannot be read, or does not
fit, costs the time of a full parse. dbt's own file is not used: it takes dbt three times as long to read, and it is written too early.
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
import freshet_pieces
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
"""Fields of dbt's manifest that are empty in what dbt itself writes."""
OF_ONE_RUN = ("contents", "pp_dict", "pp_test_index")
"""Fields of dbt's files that are not in what dbt itself writes."""
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
    """The state is of no use for this job, and why."""


class Kept:
    """What dbt is given, and what it made."""

    def __init__(self) -> None:
        self.offered = None  # type: Any
        self.made = None  # type: Any
        self.before = None  # type: Any
        self.changed = []  # type: list[str]
        self.placeholders = None  # type: Placeholders | None


KEPT = Kept()


def install() -> bool:
    """Stand between dbt and its file. False where dbt is not as expected: then there is no state."""
    load = getattr(ManifestLoader, "load", None)
    if load is None or not hasattr(ManifestLoader, "write_manifest_for_partial_parse") or not hasattr(Manifest, "from_msgpack"):
        return False
    if getattr(load, "freshet", False):
        return True

    def loaded(loader: ManifestLoader) -> Manifest:
        KEPT.made = None
        KEPT.made = load(loader)
        return KEPT.made

    loaded.freshet = True
    ManifestLoader.load = loaded
    ManifestLoader.write_manifest_for_partial_parse = lambda _loader: None
    Manifest.from_msgpack = classmethod(lambda _cls, *_args, **_more: KEPT.offered)
    return True


def offer(target: str, placeholders: Placeholders) -> bool:
    """Hand dbt the state that came in. False when there is none, and when the changes since then want a full parse."""
    if not os.path.exists(freshet_tree.STATE) or not install():
        return False
    try:
        manifest, pieces, KEPT.changed = _read(placeholders)
        KEPT.offered, KEPT.before = manifest, _summary(manifest, KEPT.changed)
        freshet_pieces.resume(manifest, pieces)
    except UnfitError as reason:
        print(f"Freshet: a full parse, since {reason}")  # noqa: T201 - to dbt's log
    except Exception:  # noqa: BLE001 - a state is not ours: there is nothing that may not be wrong with it
        traceback.print_exc()
        print("Freshet: a full parse, since the state of the last one cannot be read")  # noqa: T201
    if KEPT.offered is None:
        withdraw(placeholders)
        return False
    os.makedirs(target, exist_ok=True)
    # dbt looks whether the file is there; what is in it comes from us.
    with open(os.path.join(target, DBTS_FILE), "wb"):
        pass
    return True


def sound(placeholders: Placeholders) -> bool:
    """Tell whether dbt took the offer, and made of it what a full parse would make."""
    taken = KEPT.made is not None and KEPT.made is KEPT.offered
    return taken and not placeholders.grown() and _summary(KEPT.made, KEPT.changed) == KEPT.before


def withdraw(placeholders: Placeholders) -> None:
    """Go on as if there had been no state."""
    KEPT.offered = KEPT.before = None
    freshet_pieces.forget()
    placeholders.forget()


def keep(placeholders: Placeholders) -> None:
    """Say that what dbt made last is good to begin with."""
    KEPT.placeholders = placeholders


def write() -> str | None:
    """Write the state, and return its path; None when there is none. Called when the manifest has been delivered: it takes its time."""
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
            Pickler(file, pickle.HIGHEST_PROTOCOL).dump((_fields(KEPT.made), freshet_pieces.MADE))
    return path


def _read(placeholders: Placeholders) -> tuple:
    with zipfile.ZipFile(freshet_tree.STATE) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise UnfitError("the state of the last one is too big")
        about = json.loads(archive.read(ABOUT))
        if (about["format"], about["dbt_version"]) != (FORMAT, __version__) or about["at"] > time.time():
            raise UnfitError("the state is another version's, or from the future")
        paths = freshet_changes.changed(about["digests"], freshet_tree.DIGESTS)
        if paths is None:
            raise UnfitError("files were added or removed")
        _check(paths, about["kinds"], archive)
        if not placeholders.resume(about["placeholders"], paths):
            raise UnfitError("other values may be missing than last time")
        fields, pieces = Unpickler(archive.open(MANIFEST)).load()
        return Manifest(**fields), pieces, paths


def _check(paths: list, kinds: dict, archive: zipfile.ZipFile) -> None:
    schemas = [path for path in paths if kinds.get(path) == freshet_changes.SCHEMA]
    before = json.loads(archive.read(TEXTS)) if schemas else {}
    texts = {path: (before[path], _text(path)) for path in schemas}
    path = freshet_changes.in_the_way(paths, kinds, texts, _yaml)
    if path is not None:
        raise UnfitError(f"{path} changed")


class Pickler(pickle.Pickler):
    """Writes what `Unpickler` reads."""

    def reducer_override(self, value: object) -> Any:
        """Write enumerations by value: some versions of Python have it call a function."""
        return (type(value), (value.value,)) if isinstance(value, enum.Enum) else NotImplemented


class Unpickler(pickle.Unpickler):
    """Makes data of dbt's own kinds, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class of data. Raises UnpicklingError."""
        found = super().find_class(module, name) if (module, name) in DATA or module.startswith("dbt") else None
        if (module, name) in DATA or (isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, (enum.Enum, str)))):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no data")


def _fields(manifest: Manifest) -> dict:
    for file in manifest.files.values():
        for name in OF_ONE_RUN:
            if getattr(file, name, None) is not None:
                setattr(file, name, None)
    names = [field.name for field in dataclasses.fields(manifest) if field.init and not field.name.startswith("_")]
    return {name: getattr(manifest, name) for name in names if name not in EMPTY}


def _summary(manifest: Manifest, changed: list) -> list:
    """Return what nodes can know of each other: which there are, and how they may be referred to. Columns' tests of changed files aside."""
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
    """Tell whether a test has been disabled for want of what it refers to: a full parse lists it, dbt's partial parsing does not."""
    return any(not getattr(getattr(node, "config", None), "enabled", True) for node in manifest.nodes.values())


def _kinds(manifest: Manifest) -> dict:
    """Return what dbt takes the files of the repository for: path → kind."""
    found = {}
    for file in manifest.files.values():
        path = os.path.relpath(getattr(file.path, "full_path", "/"), freshet_tree.SOURCE)
        if path in freshet_tree.DIGESTS:
            # One file may be two things to dbt.
            found[path] = None if path in found else str(getattr(file.parse_file_type, "value", file.parse_file_type))
    return found


def _text(path: str) -> str:
    with open(os.path.join(freshet_tree.SOURCE, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def _yaml(text: str) -> object:
    # The one that dbt reads with; where it is depends on dbt's version.
    try:
        from dbt_common.clients.yaml_helper import safe_load  # noqa: PLC0415
    except ImportError:
        from dbt.clients.yaml_helper import safe_load  # noqa: PLC0415
    return safe_load(text)
