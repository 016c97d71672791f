"""What a node is found by: words that begin with the letter of the field that they are of, and its rank among equally good results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice

import msgspec

from app.lineage.column_document import FoundColumn
from app.lineage.search.words import found_by, key_of

KEY, NAME, COLUMN, TAG, OWNER, PATH, DESCRIPTION, TYPE, PACKAGE = "=ncgopdyk"
"""The letters. Of `KEY`, `TYPE` and `PACKAGE` there is one word, the whole name (`words.key_of`).

What is a word of the name is not one of the path again, and what is any other word is not one of the description.
"""
MAX_WORDS = {NAME: 32, COLUMN: 300, TAG: 40, OWNER: 20, PATH: 40, DESCRIPTION: 80}
"""Different words of one node; further ones do not find it."""
MAX_NAMES = 1000
"""Columns of one node, and its tags, whose names are looked at."""
CLASSES: Mapping[str, int] = {
    "exposure": 0,
    "metric": 1,
    "semantic_model": 1,
    "saved_query": 1,
    "model": 2,
    "snapshot": 2,
    "seed": 2,
    "source": 3,
    "function": 4,
    "analysis": 4,
    "unit_test": 6,
    "test": 6,
    "operation": 7,
}
"""By resource type: lower ones come first. A model of a mart is of class 0."""
OTHER_CLASS = 5
MARTS = frozenset({"mart", "marts"})
ID_BITS, LENGTH_BITS = 48, 8


class SearchedColumn(msgspec.Struct, frozen=True, gc=False):
    """A column of a YAML file."""

    name: str
    description: str = ""


class SearchedNode(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a node's stored content that it is found by and shown with."""

    unique_id: str
    resource_type: str
    name: str
    package_name: str = ""
    original_file_path: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str | None = None
    label: str | None = None
    external_node: bool = False
    columns: tuple[SearchedColumn, ...] = ()


class _TracedColumns(msgspec.Struct, frozen=True):
    columns: tuple[FoundColumn, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchEntry:
    """A node in the index."""

    hit: int
    """Its rank and its id in one number: results with lower ones come first."""
    words: tuple[str, ...]


_node = msgspec.json.Decoder(SearchedNode).decode
_traced = msgspec.json.Decoder(_TracedColumns).decode


def read_node(content: str | bytes | None, known: SearchedNode) -> SearchedNode:
    """A node from its stored content; if that is too long to be read (None) or of another form, what is `known` without it."""
    try:
        return known if content is None else _node(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return known


def traced_names(content: bytes | None) -> list[str]:
    """The names of columns that the SQL has, from `node_columns.content`."""
    try:
        return [] if content is None else [column.name for column in _traced(content).columns]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []


def entry(node: SearchedNode, node_id: int, traced: Iterable[str] = ()) -> SearchEntry:
    """The entry of a node; `traced`: columns that no YAML file needs to name."""
    if node.external_node:
        # It is found where it is defined.
        return SearchEntry(_rank(node) << ID_BITS | node_id, ())
    key = key_of(node.name)
    columns = dict.fromkeys(islice((*(column.name for column in node.columns), *traced), MAX_NAMES))
    name = _words([node.name, node.label or ""], NAME)
    others = {
        COLUMN: _words(columns, COLUMN),
        TAG: _words(node.tags[:MAX_NAMES], TAG),
        OWNER: _words([node.owner or ""], OWNER),
        PATH: _words((node.original_file_path, node.package_name, _place(node)), PATH, name),
    }
    words = {
        NAME: name,
        **others,
        DESCRIPTION: _words([node.description], DESCRIPTION, chain(name, *others.values())),
        KEY: [key] if key else [],
        TYPE: [key_of(node.resource_type)],
        PACKAGE: [key_of(node.package_name)] if node.package_name else [],
    }
    lexemes = tuple(f"{field}{word}" for field, found in words.items() for word in found)
    return SearchEntry(_rank(node) << ID_BITS | node_id, lexemes)


def node_id(hit: int) -> int:
    """The node of a hit."""
    return hit & (1 << ID_BITS) - 1


def _place(node: SearchedNode) -> str:
    """The name of a source's group of tables, or the version of a model. Ids of tests end with a digest, which nobody types."""
    return ".".join(node.unique_id.split(".")[2:]) if node.resource_type in ("source", "model") else ""


def _words(texts: Iterable[str], field: str, without: Iterable[str] = ()) -> list[str]:
    known = frozenset(without)
    return list(islice(dict.fromkeys(word for text in texts for word in found_by(text) if word not in known), MAX_WORDS[field]))


def _rank(node: SearchedNode) -> int:
    """What people use first, and short names before long ones."""
    kind = CLASSES.get(node.resource_type, OTHER_CLASS)
    if node.resource_type == "model" and not MARTS.isdisjoint(node.original_file_path.lower().split("/")[:-1]):
        kind = 0
    return kind << LENGTH_BITS | min(len(node.name), (1 << LENGTH_BITS) - 1)
