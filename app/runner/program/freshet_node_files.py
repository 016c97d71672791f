"""Remembers what dbt finds in files of macros and in YAML files: most of the time of a small project with packages.

A file's macros depend on its text alone, and so do the names that a macro calls, unless it dispatches, and the contents of YAML.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import freshet_node_parsing
import freshet_node_pickles
import freshet_node_record
import freshet_tree
from dbt import deprecations
from dbt.flags import get_flags
from dbt.parser import manifest as parsers
from dbt.parser import read_files
from dbt.parser.generic_test import GenericTestParser
from dbt.parser.macros import MacroParser

if TYPE_CHECKING:
    from collections.abc import Callable

PARSE = freshet_node_parsing.PARSE
DISPATCH = "dispatch"
"""In every text whose calls depend on which macros there are: https://docs.getdbt.com/reference/dbt-jinja-functions/dispatch."""


def install() -> None:
    """Replace dbt's functions, if they are there."""
    calls = getattr(parsers, "statically_extract_macro_calls", None)
    if getattr(MacroParser.parse_file, "freshet", False) or calls is None:
        return
    for parser in (MacroParser, GenericTestParser):
        parser.parse_file = _parse_file(parser.parse_file)
    parsers.statically_extract_macro_calls = _calls(calls)
    if hasattr(read_files, "yaml_from_file"):
        read_files.yaml_from_file = _yaml(read_files.yaml_from_file)


def _parse_file(inner: Callable) -> Callable:
    def parse_file(parser: Any, block: Any, *args: object, **more: object) -> None:
        file = block.file
        # dbt's own macros are parsed while warming, and cached by dbt.
        if not PARSE.running or not str(parser.project.project_root).startswith(freshet_tree.SOURCE) or file.macros:
            inner(parser, block, *args, **more)
            return
        about = (type(parser).__name__, parser.project.project_name, file.path.original_file_path)
        key = freshet_node_pickles.digest(*about, file.contents, getattr(get_flags(), "validate_macro_args", None))
        if not _add(parser, file, PARSE.memory.file(key)):
            with freshet_node_record.recording() as record:
                inner(parser, block, *args, **more)
            data = freshet_node_pickles.pickled([parser.manifest.macros[unique_id] for unique_id in file.macros])
            if record.certain and not record.logged and data is not None:
                PARSE.memory.keep_file(key, record.warnings, data)

    parse_file.freshet = True
    return parse_file


def _add(parser: Any, file: Any, found: tuple | None) -> bool:
    """Add the macros of a file as in the last parse; False if there are none."""
    try:
        macros = [] if found is None else freshet_node_pickles.unpickled(found[1])
        if found is None or any(macro.package_name != parser.project.project_name for macro in macros):
            return False
        for macro in macros:
            macro.created_at = time.time()
    except Exception:  # noqa: BLE001 - a state is untrusted
        return False
    for name, arguments in found[0]:
        deprecations.warn(name, **arguments)
    for macro in macros:
        parser.manifest.add_macro(file, macro)
    return True


def _calls(inner: Callable) -> Callable:
    def statically_extract_macro_calls(source: str, *args: object, **more: object) -> list:
        if not PARSE.running or not isinstance(source, str) or DISPATCH in source:
            return inner(source, *args, **more)
        key = freshet_node_pickles.digest(source)
        found = PARSE.memory.calls(key)
        if found is None:
            found = inner(source, *args, **more)
            PARSE.memory.keep_calls(key, found)
        return list(found)

    return statically_extract_macro_calls


def _yaml(inner: Callable) -> Callable:
    def yaml_from_file(source_file: Any, *args: object, **more: object) -> object:
        if not PARSE.running or not source_file.contents:
            return inner(source_file, *args, **more)
        about = (source_file.project_name, source_file.path.original_file_path, source_file.contents)
        key = freshet_node_pickles.digest("yaml", *about, args, sorted(more.items()))
        found = PARSE.memory.file(key)
        if found is not None:
            with suppress(Exception):
                contents = freshet_node_pickles.unpickled(found[1])
                for name, arguments in found[0]:
                    deprecations.warn(name, **arguments)
                return contents
        with freshet_node_record.recording() as record:
            contents = inner(source_file, *args, **more)
        data = freshet_node_pickles.pickled(contents)
        if record.certain and not record.logged and data is not None:
            PARSE.memory.keep_file(key, record.warnings, data)
        return contents

    return yaml_from_file
