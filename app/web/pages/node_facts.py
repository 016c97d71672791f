"""What the page of a node says in words and as JSON: everything that its type has, in an order for readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from app.lineage.definitions import OF_TYPE
from app.reports.markdown import cut
from app.reports.markdown_html import safe_link

Json = Mapping[str, Any]
MAX_TEXT_BYTES = 2_000
MAX_BLOCK_BYTES = 20_000
MAX_LEVELS = 3
"""Of objects in objects that may say nothing."""

FIRST = ("owner", "contact", "type", "maturity", "url", "label", "group", "access", "version", "latest_version", "relation_name")
"""Fields that come first, in this order; the others follow as the document has them."""
_ELSEWHERE = frozenset(
    [
        *("connection_id", "repository", "branch", "project_dir", "sha", "head_sha", "extracted_at", "columns_state", "columns_status"),
        *("columns_reason", "columns_open", "hard_coded", "columns", "rows", "upstream", "downstream", "notes", "unique_id", "name"),
        *("last_result", "test_results"),
        *("resource_type", "description", "source_description", "raw_code", "compiled_code", "compiled_code_reason", "language"),
        *("tags", "relation_name_source", "original_file_path", "patch_path", "package_name", "checksum"),
    ]
)
"""What other parts of the page show, or nobody asks for."""
_NAMES = {
    "relation_name": "table",
    "fqn": "path in dbt",
    "docs_blocks": "doc blocks",
    "attached_node": "tests",
    "test_name": "kind of test",
}
_CODE = frozenset({"relation_name", "fqn", "docs_blocks", "attached_node", "test_name", "alias", "schema", "database", "identifier"})


class Fact(NamedTuple):
    """A field in a line. `code`: it is a name in a program."""

    name: str
    text: str
    address: str | None = None
    code: bool = False


class Block(NamedTuple):
    """A field that is JSON. `is_open`: it is what its resource type is about."""

    name: str
    text: str
    is_open: bool = False


def facts(document: Json, file_address: Callable[[str, str], str | None], node_address: Callable[[str], str]) -> list[Fact]:
    """The fields that fit into a line. `file_address`: of a path in a package; `node_address`: of a unique_id."""
    found = [Fact("unique id", document["unique_id"], code=True), *_files(document, file_address)]
    for name in _order(document):
        value = document[name]
        if name == "url":
            found.append(Fact("address", _text(value), safe_link(value) if isinstance(value, str) else None))
        elif name == "contact":
            found.append(Fact("contact", _contact(value)))
        elif name == "attached_node":
            found.append(Fact(_NAMES[name], _text(value), node_address(str(value)), code=True))
        elif name == "contract":
            found += [Fact("contract", "enforced")] if isinstance(value, dict) and value.get("enforced") else []
        elif _is_line(value):
            found.append(Fact(_NAMES.get(name, name.replace("_", " ")), _text(value, "." if name == "fqn" else ", "), code=name in _CODE))
    if document.get("relation_name_source") == "placeholder":
        found.append(Fact("table", "its name is not known: the commit does not say in which database or schema dbt builds it"))
    return [fact for fact in found if fact.text]


def blocks(document: Json) -> list[Block]:
    """The fields that are objects or lists of them."""
    shown = [name for name in _order(document) if not _is_line(document[name]) and name not in {"contact", "contract"}]
    own = OF_TYPE.get(document["resource_type"], ("arguments",))
    return [Block(name.replace("_", " "), block_text(document[name]), name in own) for name in shown]


def block_text(value: Any) -> str:
    """JSON for people, of limited size."""
    try:
        return cut(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), MAX_BLOCK_BYTES)
    except orjson.JSONEncodeError:
        return "It is nested too deep to be shown."


def _order(document: Json) -> list[str]:
    names = [name for name in document if name not in _ELSEWHERE and _says_something(document[name])]
    return [*(name for name in FIRST if name in names), *(name for name in names if name not in FIRST)]


def _says_something(value: Any, levels: int = MAX_LEVELS) -> bool:
    """False for what is empty, and for an object of which each value is: dbt writes all fields that could be set."""
    if isinstance(value, dict):
        return levels == 0 or any(_says_something(one, levels - 1) for one in value.values())
    return value not in (None, "", [])


def _files(document: Json, address: Callable[[str, str], str | None]) -> Iterator[Fact]:
    package, path = str(document.get("package_name") or ""), str(document.get("original_file_path") or "")
    yield Fact("package", package)
    yield Fact("file", path, address(package, path), code=True)
    package, found, path = str(document.get("patch_path") or "").partition("://")
    if found:
        yield Fact("described in", path, address(package, path), code=True)


def _is_line(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str | int | float) for one in value)
    return not isinstance(value, dict)


def _text(value: Any, separator: str = ", ") -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = separator.join(map(str, value)) if isinstance(value, list) else str(value)
    return cut(text, MAX_TEXT_BYTES)


def _contact(value: Any) -> str:
    named = [value.get(key) for key in ("name", "email")] if isinstance(value, dict) else [value]
    return _text([one for one in named if isinstance(one, str) and one])
