"""The parse state: parsed nodes of the connection's last job, each with everything that it depends on.

A parse is always dbt's own, of all files. Only what takes most of its time, rendering the Jinja of each node, is skipped for nodes of which
nothing has changed: not their texts, nor the macros that were called, the configuration of their folders, the variables and environment
variables that were read, the values that were missing. So the result is that of a parse without a state.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import time
import traceback
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import freshet_manifest_json
import freshet_node_record
import freshet_node_texts
import freshet_tree
from dbt.version import __version__
from freshet_node_pickles import digest

if TYPE_CHECKING:
    from freshet_node_inputs import Inputs
    from freshet_placeholders import Placeholders

FORMAT = 7
ABOUT, NODES, LENGTHS, PICKLES = "about.json", "nodes.json", "lengths.json", "nodes.pickles"
MAX_BYTES = 1 << 29
OFTEN, SELDOM = 200_000, 1_000_000
"""After how many new objects garbage is collected: seldom while there is little, as nodes of the state live to the end."""
MANY = 30
"""Nodes to parse that leave enough garbage to collect it often."""


class UnfitError(Exception):
    """Why the state cannot be used for this job."""


class ParsedNode(NamedTuple):
    """A node as its parser made it, before properties from YAML files are applied, and what it depends on."""

    inputs: str
    """A digest of its text and configuration."""
    fqn: list
    macros: tuple
    """unique_ids of the macros that were called, also by other macros."""
    texts: str
    """A digest of their texts."""
    own: str
    """Texts in which macros can be named, besides the file itself."""
    computed: bool
    """Whether macros may be looked up by computed names."""
    variables: dict
    environment: dict
    asked: list
    warnings: list
    logged: list
    pickled: bytes


class Wanted(NamedTuple):
    """A node that dbt is about to parse."""

    identity: str
    """The same in every parse of the project."""
    content: tuple
    """Its text, and what else of its file it depends on, unless the identity has all of it."""
    values: tuple
    """Everything in it that may be rendered: texts, also in lists and mappings."""
    package: str
    kind: object
    """dbt's resource type."""

    def text(self) -> str:
        """Return all texts that may be rendered."""
        return freshet_node_texts.within(*self.values)


class NodeMemory:
    """The parsed nodes of the last parse and of this one."""

    def __init__(self) -> None:
        self.inputs = None  # type: Inputs | None
        self.reused = 0
        self.names = []  # type: list[str]
        """Names of the nodes that were parsed."""
        self._before = {}  # type: dict[str, ParsedNode]
        self._now = {}  # type: dict[str, ParsedNode]
        self._arrived = {}  # type: dict[str, tuple[ParsedNode, bool]]
        self._files_before = {}  # type: dict[str, tuple]
        self._files_now = {}  # type: dict[str, tuple]
        self._calls_before = {}  # type: dict[str, list]
        self._calls_now = {}  # type: dict[str, list]
        self._digests = {}  # type: dict[tuple, str]
        self._macro_names = None  # type: set | None
        self._everything = None  # type: str | None

    @property
    def parsed(self) -> int:
        """How many nodes were parsed."""
        return len(self.names)

    @property
    def macro_names(self) -> set | None:
        """unique_ids of the macros in the last parse; None if there is none."""
        return self._macro_names

    def begin(self, inputs: Inputs) -> None:
        """Use the nodes of the last parse as far as they fit these inputs."""
        self.inputs = inputs
        if self._everything is not None and self._everything != inputs.everything:
            print("Freshet: full parse, because settings that all nodes depend on have changed")  # noqa: T201 - to dbt's log
            self._before, self._everything = {}, None
        elif self._before and inputs.changed_names is None:
            print("Freshet: full parse, because the macros have changed that dbt calls for every node")  # noqa: T201
            self._before = {}

    def begin_again(self) -> None:
        """Prepare for another parse of the same files."""
        self.inputs, self.reused, self.names = None, 0, []
        self._digests = {}
        self._arrived = {}

    def note(self, name: str) -> None:
        """Note that a node was parsed."""
        self.names.append(name)
        if self.parsed == MANY:
            gc.set_threshold(OFTEN, *gc.get_threshold()[1:])

    def find(self, wanted: Wanted, placeholders: Placeholders) -> ParsedNode | None:
        """Return the node of the last parse if parsing it again would have the same result."""
        found = self._before.get(wanted.identity)
        inputs = self.inputs
        if found is None or inputs is None or found.inputs != self.digest(wanted, found.fqn):
            return None
        same = (
            inputs.of_macros(found.macros) == found.texts
            and not (inputs.changed_names and (found.computed or inputs.may_find_others(f"{found.own}\n{wanted.text()}", found.macros)))
            and all(inputs.variable(name) == value for name, value in found.variables.items())
            and all(inputs.environment(name) == value for name, value in found.environment.items())
            and placeholders.has_room(found.asked)
            and all(placeholders.answers_the_same(asked) for asked in found.asked)
        )
        return found if same else None

    def file(self, key: str) -> tuple | None:
        """Return the deprecations and the pickled contents of a file, by a digest of all that they depend on."""
        found = self._files_before.get(key)
        if found is not None:
            self._files_now[key] = found
        return found

    def keep_file(self, key: str, warnings: list, data: bytes) -> None:
        """Keep the contents of a file for the next parse."""
        self._files_now[key] = (warnings, data)

    def calls(self, key: str) -> list | None:
        """Return the names that a macro calls, by a digest of its text."""
        found = self._calls_before.get(key)
        if found is not None:
            self._calls_now[key] = found
        return found

    def keep_calls(self, key: str, names: list) -> None:
        """Keep the names that a macro calls for the next parse."""
        self._calls_now[key] = names

    def arrive(self, identity: str, node: ParsedNode, *, keep: bool) -> None:
        """Note a node that a worker has parsed; `keep` it for the next parse, or not."""
        self._arrived[identity] = (node, keep)

    def from_worker(self, identity: str, placeholders: Placeholders) -> ParsedNode | None:
        """Return the node if a worker has parsed it, once."""
        node, keep = self._arrived.pop(identity, (None, False))
        if node is not None and not placeholders.has_room(node.asked):
            return None
        if node is not None and keep:
            self._now[identity] = node
        return node

    def reuse(self, identity: str, found: ParsedNode) -> None:
        """Keep a node for the next parse that this one has used."""
        self._now[identity] = found
        self.reused += 1

    def digest(self, wanted: Wanted, fqn: list) -> str:
        """Return the digest `ParsedNode.inputs`."""
        # Models are looked up twice: the first time to see whether workers are worth it.
        key = (wanted.identity, *fqn)
        if key not in self._digests:
            self._digests[key] = digest(wanted.content, self.inputs.of_node(wanted.package, wanted.kind, fqn))
        return self._digests[key]

    def keep(self, identity: str, node: ParsedNode) -> None:
        """Keep a node that was parsed."""
        self._now[identity] = node

    def load(self, path: str) -> None:
        """Read the state of an earlier job. Without one, or if it does not fit, all nodes are parsed."""
        if not os.path.exists(path):
            return
        reason = None
        try:
            self._read(path)
        except UnfitError as error:
            reason = str(error)
        except Exception:  # noqa: BLE001 - a state is untrusted: anything may be wrong with it
            traceback.print_exc()
            reason = "the state of the last one cannot be read"
        if reason is None:
            gc.set_threshold(SELDOM, *gc.get_threshold()[1:])
        else:
            print(f"Freshet: full parse, because {reason}")  # noqa: T201 - to dbt's log
            # Some of it may have been read.
            self.__init__()
            freshet_manifest_json.KEPT.clear()

    def write(self) -> str | None:
        """Write the state, and return its path; None if there is nothing to keep."""
        if self.inputs is None or not self._now:
            return None
        lists = {macros: number for number, macros in enumerate(dict.fromkeys(node.macros for node in self._now.values()))}
        pickles = []  # type: list[bytes]
        nodes = {
            identity: [*node._replace(macros=lists[node.macros], pickled=_appended(pickles, node.pickled))]
            for identity, node in self._now.items()
        }
        pieces = {
            section: {key: [digest, _appended(pickles, piece)] for key, (digest, piece) in kept.items()}
            for section, kept in freshet_manifest_json.kept().items()
        }
        files = {key: [warnings, _appended(pickles, data)] for key, (warnings, data) in self._files_now.items()}
        about = {
            "format": FORMAT,
            "dbt_version": __version__,
            "at": time.time(),
            "everything": self.inputs.everything,
            "macro_names": sorted(self.inputs.macro_names),
        }
        path = freshet_tree.STATE + ".new"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(ABOUT, json.dumps(about))
            archive.writestr(
                NODES, json.dumps({"nodes": nodes, "macros": list(lists), "files": files, "calls": self._calls_now, "pieces": pieces})
            )
            archive.writestr(LENGTHS, json.dumps([len(data) for data in pickles]))
            archive.writestr(PICKLES, b"".join(pickles))
        return path

    def _read(self, path: str) -> None:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise UnfitError("the state of the last one is too big")
            about = json.loads(archive.read(ABOUT))
            if (about["format"], about["dbt_version"]) != (FORMAT, __version__) or about["at"] > time.time():
                raise UnfitError("the state is from another version, or from the future")
            written, lengths, data = json.loads(archive.read(NODES)), json.loads(archive.read(LENGTHS)), archive.read(PICKLES)
        ends = list(itertools.accumulate(lengths))
        pickles = [data[end - length : end] for end, length in zip(ends, lengths)]  # noqa: B905 - Python 3.8
        lists = [tuple(macros) for macros in written["macros"]]
        for identity, fields in written["nodes"].items():
            node = ParsedNode(*fields)
            asked = [freshet_node_record.Asked(*fields) for fields in node.asked]
            self._before[identity] = node._replace(macros=lists[node.macros], asked=asked, pickled=pickles[node.pickled])
        self._files_before = {key: (warnings, pickles[number]) for key, (warnings, number) in written["files"].items()}
        self._calls_before = written["calls"]
        for section, kept in written["pieces"].items():
            pieces = {key: (digest, pickles[number]) for key, (digest, number) in kept.items()}
            if not all(piece.startswith(b"{") and piece.endswith(b"}") for _, piece in pieces.values()):
                raise UnfitError("the state of the last one was tampered with")
            freshet_manifest_json.KEPT[section] = pieces
        self._macro_names, self._everything = set(about["macro_names"]), about["everything"]


def _appended(pickles: list, data: bytes) -> int:
    """Append to a list, and return the position there."""
    pickles.append(data)
    return len(pickles) - 1
