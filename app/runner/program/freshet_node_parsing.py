"""Replaces dbt's functions that parse a node by ones that use the state.

Before anything is replaced, it is checked: if dbt is not as expected, it stays unchanged, and all nodes are parsed.
"""

from __future__ import annotations

import inspect
import re
import time
from typing import TYPE_CHECKING, Any

import freshet_manifest_json
import freshet_node_attributes
import freshet_node_memory
import freshet_node_pickles
import freshet_node_record
import freshet_node_reports
import freshet_node_texts
import freshet_node_workers
import freshet_tree
from dbt import deprecations
from dbt.contracts.graph.nodes import UnpatchedSourceDefinition
from dbt.parser.base import ConfiguredParser
from dbt.parser.manifest import ManifestLoader
from dbt.parser.schema_generic_tests import SchemaGenericTestParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbt.contracts.graph.manifest import Manifest
    from freshet_placeholders import Placeholders

PARSERS = ("ModelParser", "AnalysisParser", "SingularTestParser", "SeedParser", "SnapshotParser")
"""dbt's parsers of files in which each file or block is a node."""
STEPS = {
    *("get_compiled_path", "get_fqn", "name", "initial_config", "_create_parsetime_node", "render_update", "transform", "add_result_node"),
}
"""All that dbt does to parse a node: https://github.com/dbt-labs/dbt-core/blob/main/core/dbt/parser/base.py."""
ATTACHED = re.compile(r"\battached_node\.(\w+)")
FROM_ATTACHED = ["unique_id", "group", "group"]
"""What a generic test takes from the node that it tests."""
ARGUMENTS = ("target", "data_test", "tags", "column_name", "schema_file_id", "version")
IMPLICIT = "get_where_subquery"
"""A macro that dbt names in every generic test."""


class Parse:
    """The parse that is running."""

    def __init__(self) -> None:
        self.memory = freshet_node_memory.NodeMemory()
        self.workers = freshet_node_workers.Workers()
        self.placeholders = None  # type: Placeholders | None
        self.running = False
        self.made = None  # type: Manifest | None
        """The manifest, once dbt has made it."""
        self.config = None  # type: Any
        """The configuration of the project."""

    def ready(self) -> bool:
        """Whether nodes can be looked up."""
        known = self.memory.inputs is not None and self.placeholders is not None
        return self.running and known and not freshet_node_record.is_tainted()


PARSE = Parse()
BEFORE_A_NODE = []  # type: list[Callable[[str, str, Any], None]]
BEFORE_A_TEST = []  # type: list[Callable[[], None]]
"""Called before a file or block is looked up, and before a test is parsed: see `freshet_node_stages`."""


def begin(placeholders: Placeholders, *, with_state: bool) -> None:
    """Prepare for a parse: with the state, if there is one, or without."""
    PARSE.memory = freshet_node_memory.NodeMemory()
    PARSE.placeholders = placeholders
    PARSE.workers.end()
    freshet_node_record.begin()
    PARSE.running = install()
    freshet_manifest_json.forget()
    if PARSE.running and with_state:
        PARSE.memory.load(freshet_tree.STATE)


def begin_again() -> None:
    """Prepare for another parse of the same files, after a failure."""
    PARSE.memory.begin_again()


def forget() -> None:
    """Discard the state."""
    PARSE.workers.end()
    PARSE.__init__()


def install() -> bool:
    """Replace dbt's functions. False if dbt is not as expected: then nothing is replaced."""
    if getattr(ConfiguredParser.parse_node, "freshet", False):
        return True
    if not _is_as_expected() or not freshet_node_reports.install():
        return False
    ConfiguredParser.parse_node = _parse_node(ConfiguredParser.parse_node)
    SchemaGenericTestParser.parse_generic_test = _parse_generic_test(SchemaGenericTestParser.parse_generic_test)
    ManifestLoader.parse_project = _parse_project(ManifestLoader.parse_project)
    ManifestLoader.load = _load(ManifestLoader.load)
    return True


def _is_as_expected() -> bool:
    expected = (
        *((ManifestLoader, name) for name in ("parse_project", "load")),
        *((SchemaGenericTestParser, name) for name in ("_lookup_attached_node", "render_test_update")),
    )
    if not all(hasattr(owner, name) for owner, name in expected):
        return False
    parameters = list(inspect.signature(SchemaGenericTestParser.parse_generic_test).parameters)
    try:
        update = inspect.getsource(SchemaGenericTestParser.render_test_update)
    except OSError:
        return False
    return (
        set(ConfiguredParser.parse_node.__code__.co_names) <= STEPS
        and ["data_test" if name == "test" else name for name in parameters] == ["self", *ARGUMENTS]
        and ATTACHED.findall(update) == FROM_ATTACHED
    )


def _load(inner: Callable) -> Callable:
    def load(loader: ManifestLoader) -> Manifest:
        PARSE.made = None
        PARSE.made = inner(loader)
        PARSE.config = loader.root_project
        return PARSE.made

    return load


def _parse_project(inner: Callable) -> Callable:
    def parse_project(loader: ManifestLoader, *args: object, **more: object) -> None:
        prepare(loader)
        inner(loader, *args, **more)

    return parse_project


def prepare(loader: ManifestLoader) -> None:
    """Take what nodes can depend on, once the macros are loaded."""
    if PARSE.running and PARSE.memory.inputs is None:
        from freshet_node_inputs import Inputs  # noqa: PLC0415 - imports dbt's modules, whose names depend on its version

        inputs = Inputs(loader, PARSE.memory.macro_names)
        freshet_node_attributes.begin(inputs.shared())
        PARSE.memory.begin(inputs)


def _parse_node(inner: Callable) -> Callable:
    def parse_node(parser: Any, block: Any) -> Any:
        name = type(parser).__name__
        if name not in PARSERS:
            return inner(parser, block)
        if not PARSE.ready():
            return _counted(inner(parser, block))
        for tell in BEFORE_A_NODE:
            tell(name, parser.project.project_name, block)
        wanted = of_block(name, parser.project.project_name, parser.resource_type, block)
        node = _found(wanted)
        if node is not None:
            parser.add_result_node(block, node)
            return node
        with freshet_node_record.recording() as record:
            node = inner(parser, block)
        _keep(wanted, node, record, freshet_node_texts.of_hooks(node), ())
        return node

    parse_node.freshet = True
    return parse_node


def _counted(node: Any) -> Any:
    PARSE.memory.note(node.name)
    return node


def of_block(parser: str, package: str, kind: object, block: Any) -> freshet_node_memory.Wanted:
    """Return what to look up for a file or block."""
    identity = repr((PARSE.placeholders.mode, parser, package, block.path.original_file_path, block.name))
    content = (block.contents, str(block.file.checksum.checksum), block.path.relative_path)
    return freshet_node_memory.Wanted(identity, content, (str(block.contents),), package, kind)


def _parse_generic_test(inner: Callable) -> Callable:
    signature = inspect.signature(inner)
    names = list(signature.parameters)[1:]

    def bound(args: tuple, more: dict) -> list:
        return list(signature.bind(None, *args, **more).arguments.values())[1:]

    def parse_generic_test(parser: Any, *args: object, **more: object) -> Any:
        if not PARSE.ready():
            return _counted(inner(parser, *args, **more))
        target, data_test, tags, column_name, schema_file_id, version = (more[name] for name in names) if not args else bound(args, more)
        package = parser.project.project_name
        identity = repr((PARSE.placeholders.mode, package, _about(target), data_test, list(tags), column_name, schema_file_id, version))
        wanted = freshet_node_memory.Wanted(identity, (), (data_test, column_name), package, parser.resource_type)
        node = _found(wanted)
        if node is None:
            # dbt takes values out of the test while it parses it.
            wanted = wanted._replace(values=(wanted.text(),))
            for tell in BEFORE_A_TEST:
                tell()
            parser._lookup_attached_node = _no_node  # noqa: SLF001 - dbt's
            try:
                with freshet_node_record.recording() as record:
                    node = inner(parser, *args, **more)
            finally:
                del parser._lookup_attached_node  # noqa: SLF001
            name = f"test_{node.test_metadata.name}"
            tested = PARSE.memory.inputs.static_closure(parser.macro_resolver.get_macro_id(node.package_name, name) or "")
            _keep(wanted, node, record, f"{name} {IMPLICIT} {node.raw_code}", tested)
        attached = parser._lookup_attached_node(target, version)  # noqa: SLF001
        if attached:
            node.attached_node, node.group = attached.unique_id, attached.group
        return node

    return parse_generic_test


def _no_node(*_args: object) -> None:
    return None


def _about(target: Any) -> tuple:
    """What a generic test takes from the entry in YAML for which it is."""
    names = [target.name, target.package_name, target.original_file_path, type(target).__name__]
    if isinstance(target, UnpatchedSourceDefinition):
        return (*names, target.fqn, target.source.yaml_key, target.source.name, target.table.name)
    return (*names, target.yaml_key)


def _found(wanted: freshet_node_memory.Wanted) -> Any:
    """The node of the last parse, if it can be used. dbt gets the same warnings as from parsing it again."""
    memory = PARSE.memory
    found = memory.find(wanted, PARSE.placeholders)
    earlier = found is not None
    if not earlier:
        for arrived, parsed, keep in PARSE.workers.arrived():
            memory.arrive(arrived, parsed, keep=keep)
        found = memory.from_worker(wanted.identity, PARSE.placeholders)
    if found is None:
        return None
    try:
        node = freshet_node_pickles.unpickled(found.pickled)
        if node.resource_type != wanted.kind or node.package_name != wanted.package:
            return None
        node.created_at = time.time()
    except Exception:  # noqa: BLE001 - a state is untrusted
        return None
    if earlier:
        memory.reuse(wanted.identity, found)
    else:
        memory.note(node.name)
    for asked in found.asked:
        PARSE.placeholders.ask_again(asked)
    for name, arguments in found.warnings:
        deprecations.warn(name, **arguments)
    for text in found.logged:
        freshet_node_reports.log_again(text)
    return node


def _keep(wanted: freshet_node_memory.Wanted, node: Any, record: freshet_node_record.Recorder, own: str, more_macros: tuple) -> None:
    memory, inputs = PARSE.memory, PARSE.memory.inputs
    memory.note(node.name)
    macros = tuple(dict.fromkeys((*record.macros, *more_macros)))
    if freshet_node_record.is_tainted():
        PARSE.workers.end()
        return
    own += "\n" + inputs.templates(record.variables)
    texts = f"{own}\n{wanted.text()}"
    data = freshet_node_pickles.pickled(node) if record.certain else None
    if data is None:
        return
    parsed = freshet_node_memory.ParsedNode(
        inputs=memory.digest(wanted, list(node.fqn)),
        fqn=list(node.fqn),
        macros=macros,
        texts=inputs.of_macros(macros),
        own=own,
        computed=inputs.computes_names(texts, macros),
        variables={name: inputs.variable(name) for name in record.variables},
        environment={name: inputs.environment(name) for name in record.environment},
        asked=record.asked,
        warnings=record.warnings,
        logged=record.logged,
        pickled=data,
    )
    keep = inputs.certain(texts, macros) and PARSE.placeholders.can_be_kept()
    if PARSE.workers.sends is not None:
        PARSE.workers.sends((wanted.identity, parsed, keep))
    elif keep:
        memory.keep(wanted.identity, parsed)
