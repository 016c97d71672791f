"""Renders the entries of YAML files as dbt does, with its own functions for the few texts that have Jinja in them.

dbt calls five functions for each value of an entry. For all values but texts, and for texts without Jinja, they return the value as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbt.config import renderer as renderers
from dbt.parser.schema_renderer import SchemaYamlRenderer

if TYPE_CHECKING:
    from collections.abc import Callable

UNCHANGED = {int, float, bool, type(None)}
RENDERING = {
    "render_data": {"deep_map_render", "render_entry", "RecursionError", "DbtProjectError", "name"},
    "render_entry": {"should_render_keypath", "render_value"},
    "render_value": {"isinstance", "str", "date", "isoformat", "catch_jinja", "get_rendered", "context", "CompilationError", "msg"},
}
"""dbt's functions that render an entry, and all that they use."""


def install() -> None:
    """Replace dbt's function, if all of them are as expected. dbt must return texts without Jinja as they are."""
    functions = {name: getattr(renderers.BaseRenderer, name, None) for name in RENDERING}
    known = all(hasattr(functions[name], "__code__") and set(functions[name].__code__.co_names) <= used for name, used in RENDERING.items())
    deep_map = getattr(renderers, "deep_map_render", None)
    if known and deep_map is not None and not any(name in vars(SchemaYamlRenderer) for name in RENDERING):
        SchemaYamlRenderer.render_data = _rendering(deep_map)


def _rendering(deep_map: Callable) -> Callable:
    def render_data(renderer: Any, data: Any) -> Any:
        return super(SchemaYamlRenderer, renderer).render_data(data) if type(data) is not dict else _rendered_data(renderer, data, deep_map)

    return render_data


def _rendered_data(renderer: Any, data: dict, deep_map: Callable) -> Any:
    def rendered(value: Any, keypath: tuple) -> Any:
        kind = type(value)
        if kind is dict:
            return {key: each if _is_plain(each) else rendered(each, (*keypath, str(key))) for key, each in value.items()}
        if kind is list:
            return [each if _is_plain(each) else rendered(each, (*keypath, number)) for number, each in enumerate(value)]
        return deep_map(lambda each, more: renderer.render_entry(each, (*keypath, *more)), value)

    try:
        return rendered(data, ())
    except RecursionError:
        # dbt's own message for an entry that is part of itself.
        return super(SchemaYamlRenderer, renderer).render_data(data)


def _is_plain(value: object) -> bool:
    if type(value) is str:
        return "{" not in value and "}" not in value and "\n" not in value and "\r" not in value
    return type(value) in UNCHANGED
