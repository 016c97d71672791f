"""Edits of a project's YAML files that say nothing: descriptions, comments, and the order of what has none. None: no place for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import yaml

RESOURCES = ("models", "sources", "seeds", "snapshots", "exposures", "analyses", "macros")
LISTED = (*RESOURCES, "tables", "columns")
TESTS = ("tests", "data_tests")
Mapping = dict[str, Any]


def edited(text: str, name: str, r: random.Random) -> str | None:
    """A file after one edit; None where there is no place for it, or where it is no YAML that dbt would read."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    is_resources = isinstance(content, dict) and any(isinstance(content.get(key), list) for key in RESOURCES)
    if not is_resources:
        return None
    new = EDITS[name](text, content, r)
    return None if new == text else new


def descriptions(text: str, content: Mapping, r: random.Random) -> str | None:
    """Other descriptions, also where there were none."""
    places = list(_described(content))
    for item in places:
        item["description"] = f'{item.get("description") or ""} Said in other words: it\'s {r.choice(["a", "the"])} "thing"; see [there].'
    return _dumped(content) if places else None


def comments_and_blank_lines(text: str, content: Mapping, r: random.Random) -> str | None:
    """Comments and empty lines between the entries of the lists at the top."""
    tree = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(tree, yaml.MappingNode)
    lists = [value for key, value in tree.value if key.value in RESOURCES and isinstance(value, yaml.SequenceNode) and not value.flow_style]
    lines = {item.start_mark.line for node in lists for item in node.value}
    if not lines:
        return None
    written = text.splitlines(keepends=True)
    return "".join(("\n# a note: 'not' closed\n" if number in lines else "") + line for number, line in enumerate(written))


def resources(text: str, content: Mapping, r: random.Random) -> str | None:
    """Models, sources and their tables, seeds, exposures, macros in another order."""
    return _shuffled(content, (*RESOURCES, "tables"), r)


def columns(text: str, content: Mapping, r: random.Random) -> str | None:
    """Columns in another order."""
    return _shuffled(content, ("columns",), r)


def tests(text: str, content: Mapping, r: random.Random) -> str | None:
    """Tests in another order."""
    return _shuffled(content, TESTS, r)


def keys(text: str, content: Mapping, r: random.Random) -> str | None:
    """The keys of all mappings by the alphabet, in other quotes and with other indentation."""
    return yaml.safe_dump(content, sort_keys=True, allow_unicode=True, width=10_000, indent=4, default_style=None)


EDITS: dict[str, Callable[[str, Mapping, random.Random], str | None]] = {
    "descriptions": descriptions,
    "comments and blank lines in YAML": comments_and_blank_lines,
    "order of models and sources in YAML": resources,
    "order of columns in YAML": columns,
    "order of tests in YAML": tests,
    "order of keys in YAML": keys,
}


def _described(content: Any) -> Iterator[Mapping]:
    """Whatever may have a description."""
    for item, key in _items(content):
        if key in LISTED:
            yield item


def _items(content: Any, key: str = "") -> Iterator[tuple[Mapping, str]]:
    """All mappings with a name in lists of resources, tables and columns, and the key of their list."""
    for name, value in content.items():
        if name in LISTED and isinstance(value, list):
            for item in value:
                if isinstance(item, dict) and "name" in item:
                    yield item, name
                    yield from _items(item, name)


def _shuffled(content: Mapping, names: tuple[str, ...], r: random.Random) -> str | None:
    """The lists under these keys backwards."""
    count = sum(_reverse(item, names) for item in [content, *(item for item, _ in _items(content))])
    return _dumped(content) if count else None


def _reverse(item: Mapping, names: tuple[str, ...]) -> int:
    lists = [item[name] for name in names if isinstance(item.get(name), list) and len(item[name]) > 1]
    for one in lists:
        one.reverse()
    return len(lists)


def _dumped(content: Mapping) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
