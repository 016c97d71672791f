"""Starts workers for the two stages of a parse that take most of its time: files with nodes of their own, and tests in YAML files.

The first starts before any file is parsed: dbt's static parser has threads, which a fork does not have, so it must not have run before. How
many tests are to be parsed shows only while YAML files are read, so the second starts in the middle.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import freshet_node_parsing
import freshet_node_record
import freshet_node_workers
import freshet_shortcuts
from dbt.parser.manifest import ManifestLoader, SchemaParser, SourcePatcher
from dbt.parser.search import FileBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST = ("ModelParser", "SnapshotParser", "AnalysisParser", "SingularTestParser")
COUNTED = ("ModelParser", "AnalysisParser", "SingularTestParser")
"""Parsers of files that are one node each."""
SCHEMA = "SchemaParser"
PARSE = freshet_node_parsing.PARSE


class Stage:
    """The parse that is running, from the start of the first stage on."""

    def __init__(self) -> None:
        self.loader = None  # type: ManifestLoader | None
        self.files = {}  # type: dict
        """dbt's: project → parser → ids of files."""
        self.with_tests = False
        """Whether workers parse tests."""
        self.reading = None  # type: tuple | None
        """The YAML file that dbt reads."""
        self.tests = 0
        """How many tests were parsed before."""
        self.used_threads = False
        """Whether dbt's static parser may have run in this process."""


STAGE = Stage()


def install() -> None:
    """Start workers where dbt parses, if it does so as expected."""
    expected = ("load_and_parse_macros", "process_sources", "load")
    if not all(hasattr(ManifestLoader, name) for name in expected) or getattr(ManifestLoader.load_and_parse_macros, "freshet", False):
        return
    ManifestLoader.load_and_parse_macros = _after_macros(ManifestLoader.load_and_parse_macros)
    ManifestLoader.process_sources = _after_tests(ManifestLoader.process_sources)
    ManifestLoader.load = _at_the_end(ManifestLoader.load)
    SchemaParser.parse_file = _while_reading_yaml(SchemaParser.parse_file)
    freshet_node_parsing.BEFORE_A_NODE.append(_before_a_node)
    freshet_node_parsing.BEFORE_A_TEST.append(_before_a_test)


def _after_macros(inner: Callable) -> Callable:
    def load_and_parse_macros(loader: ManifestLoader, files: dict) -> None:
        inner(loader, files)
        freshet_shortcuts.render_no_plain_texts()
        STAGE.loader, STAGE.files, STAGE.with_tests, STAGE.tests = loader, files, False, 0
        if PARSE.running and not STAGE.used_threads:
            freshet_node_parsing.prepare(loader)
            items = [item for name in FIRST for item in _items(name)]
            # In dbt's order: all of one project, then the next.
            items.sort(key=lambda item: list(loader.all_projects).index(item[0]))
            if _to_parse(items) >= freshet_node_workers.ENOUGH:
                PARSE.workers.start(items, _parse_files)
            STAGE.used_threads = True

    load_and_parse_macros.freshet = True
    return load_and_parse_macros


def _items(parser: str) -> list:
    projects = STAGE.loader.all_projects if STAGE.loader is not None else ()
    return [(project, parser, file_id) for project in projects for file_id in STAGE.files.get(project, {}).get(parser, ())]


def _to_parse(items: list) -> int:
    """How many nodes are not as in the last parse; counts up to what is enough for workers."""
    found = 0
    for project, parser, file_id in items:
        if parser in COUNTED and found < freshet_node_workers.ENOUGH:
            kind, block = _class(parser).resource_type.fget(None), FileBlock(STAGE.loader.manifest.files[file_id])
            wanted = freshet_node_parsing.of_block(parser, project, kind, block)
            found += PARSE.memory.find(wanted, PARSE.placeholders) is None
    return found


def _parse_files(items: Iterator) -> None:
    """Parse files in a worker; dbt itself reports what is wrong with one."""
    parsers = {}  # type: dict[tuple, Any]
    for project, parser, file_id in items:
        if freshet_node_record.is_tainted():
            return
        if (project, parser) not in parsers:
            parsers[project, parser] = _class(parser)(STAGE.loader.all_projects[project], STAGE.loader.manifest, STAGE.loader.root_project)
        block = FileBlock(STAGE.loader.manifest.files[file_id])
        with suppress(Exception):
            if parser == SCHEMA:
                parsers[project, parser].parse_file(block, dct=block.file.dict_from_yaml)
            else:
                parsers[project, parser].parse_file(block)


def _parse_tests(items: Iterator) -> None:
    """Parse the tests of YAML files in a worker, and then those of their sources, from the end too."""
    _parse_files(items)
    manifest = STAGE.loader.manifest
    manifest.sources = dict(reversed(list(manifest.sources.items())))
    with suppress(Exception):
        SourcePatcher(STAGE.loader.root_project, manifest).construct_sources()


def _class(parser: str) -> Any:
    return getattr(importlib.import_module("dbt.parser.manifest"), parser)


def _before_a_node(parser: str, package: str, block: Any) -> None:
    PARSE.workers.is_at((package, parser, block.file.file_id))


def _before_a_test() -> None:
    """A test is not as in the last parse: start workers if there have been many."""
    STAGE.tests += 1
    if STAGE.tests == freshet_node_workers.ENOUGH and not STAGE.with_tests and STAGE.loader is not None:
        STAGE.with_tests = True
        PARSE.workers.start(_items(SCHEMA), _parse_tests)
        PARSE.workers.is_at(STAGE.reading)


def _while_reading_yaml(inner: Callable) -> Callable:
    def parse_file(parser: SchemaParser, block: Any, *args: object, **more: object) -> None:
        item = (parser.project.project_name, SCHEMA, block.file.file_id)
        STAGE.reading = item
        PARSE.workers.is_at(item)
        inner(parser, block, *args, **more)

    return parse_file


def _after_tests(inner: Callable) -> Callable:
    def process_sources(*args: object, **more: object) -> None:
        PARSE.workers.end()
        inner(*args, **more)

    return process_sources


def _at_the_end(inner: Callable) -> Callable:
    def load(loader: ManifestLoader) -> Any:
        try:
            return inner(loader)
        finally:
            PARSE.workers.end()

    return load
