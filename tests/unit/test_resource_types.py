"""The table of resource types is complete, and other files agree with it. CONTRIBUTING.md says how to add a row."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

from app.core.plurals import plural
from app.lineage import manifest, resource_types
from app.lineage.nodes import build
from app.lineage.resource_types import BY_NAME, RELATIONS, RESOURCE_TYPES, SECTIONS, label

ROOT = Path(__file__).parents[2]


def constant(module: str, name: str) -> tuple[str, ...]:
    """A value in the source of the runner program, which cannot be imported without dbt."""
    tree = ast.parse((ROOT / f"app/runner/program/{module}.py").read_text())
    targets = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    return tuple(ast.literal_eval(targets[name]))


def words(listing: str) -> set[str]:
    return {*re.split(r", | and ", listing.lower())}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(RESOURCE_TYPES)
    assert all(re.fullmatch(r"[a-z_]+", row.name) for row in RESOURCE_TYPES)


def test_a_built_type_is_a_relation() -> None:
    assert {row.name for row in RESOURCE_TYPES if row.openlineage_job} == RELATIONS - {"source"}


def test_the_api_accepts_the_names_of_the_table() -> None:
    found = resource_types.ResourceType
    assert get_args(found) == tuple(BY_NAME)
    assert TypeAdapter(found).json_schema() == {"enum": [*BY_NAME], "type": "string"}


def test_every_section_of_the_manifest_is_decoded() -> None:
    rows = {
        section: ", ".join(
            f'"{row.name}.a.b": {{"unique_id": "{row.name}.a.b", "resource_type": "{row.name}", "name": "b"}}'
            for row in RESOURCE_TYPES
            if row.section == section
        )
        for section in SECTIONS
    }
    sections = ", ".join(f'"{section}": {{{text}}}' for section, text in rows.items())
    lineage = build(manifest.decode(f'{{"metadata": {{}}, "parent_map": {{}}, {sections}}}'.encode()))
    assert lineage.counts() == dict.fromkeys(BY_NAME, 1)
    assert list(lineage.counts()) == list(BY_NAME)


SECTIONS_BY_SCHEMA = {
    "v9": {"nodes", "sources", "exposures", "metrics"},
    "v10": {"nodes", "sources", "exposures", "metrics", "semantic_models"},
    "v11": {"nodes", "sources", "exposures", "metrics", "semantic_models", "saved_queries"},
    "v12": {"nodes", "sources", "exposures", "metrics", "semantic_models", "saved_queries", "unit_tests", "functions"},
}
"""The sections of resources in dbt's `WritableManifest`, from dbt 1.5 (v9) to 1.12 (v12, which got functions with 1.11)."""
TYPES_IN_NODES = {"model", "analysis", "test", "snapshot", "operation", "seed"}


@pytest.mark.parametrize("schema", SECTIONS_BY_SCHEMA)
def test_every_section_of_every_version_of_the_manifest_is_read(schema: str) -> None:
    assert {*SECTIONS} >= SECTIONS_BY_SCHEMA[schema]
    assert {row.name for row in RESOURCE_TYPES if row.section == "nodes"} == TYPES_IN_NODES
    assert not {*manifest.OTHER_SECTIONS} & {*SECTIONS}


def test_resources_that_nobody_reads_are_counted() -> None:
    text = b"""{"metadata": {}, "nodes": {"model.a.b": {"unique_id": "model.a.b", "resource_type": "model", "name": "b"},
        "rite.a.c": {"unique_id": "rite.a.c", "resource_type": "rite", "name": "c"}}, "parent_map": {}, "macros": {"macro.a.m": {}},
        "disabled": {"model.a.d": [{"unique_id": "model.a.d"}]}, "spells": {"spell.a.d": {"unique_id": "spell.a.d", "depends_on": {}}},
        "charms": [{"unique_id": "charm.a.e", "resource_type": "charm"}], "numbers": {"a": 1}, "texts": ["a"], "text": "a"}"""
    lineage = build(manifest.decode(text))
    assert lineage.counts() == {"model": 1}
    assert lineage.unread == {"rite": 1, "spells": 1, "charm": 1}


def test_a_type_of_an_earlier_release_has_a_label_and_a_shape() -> None:
    assert label("odd_type") == "odd type"
    assert resource_types.drawn_as("odd_type").shape == "box"


# -- files that cannot import it


def test_the_program_in_the_image_knows_the_types_that_have_files() -> None:
    # A function is parsed anew each time: dbt has known them for one version only.
    own = {row.name for row in RESOURCE_TYPES if row.has_own_file} - {"function"}
    parsers = {name.removesuffix("Parser").lower() for name in constant("freshet_node_parsing", "PARSERS")}
    assert parsers == own | {"singulartest"}


def test_the_pages_name_the_types_with_columns_and_those_with_openlineage_events() -> None:
    columns = re.search(r"^(.*) have `columns`", (ROOT / "docs/api.md").read_text(), re.MULTILINE)
    events = re.search(r"^One `JobEvent` for each (.*) that is a table or a view", (ROOT / "docs/openlineage.md").read_text(), re.MULTILINE)
    assert columns
    assert events
    assert words(columns[1]) == {plural(name) for name in RELATIONS}
    assert words(events[1]) == {row.name for row in RESOURCE_TYPES if row.openlineage_job}


def test_pages_draw_the_types_with_the_letters_and_colors_of_the_table() -> None:
    light, _, dark = (ROOT / "app/web/pages/assets/signs.css").read_text().partition("@media")
    found = [rule_of_types(light), rule_of_types(dark)]
    for row in RESOURCE_TYPES:
        here, there = ({**rules["*"], **rules.get(row.name, {})} for rules in found)
        assert (here["letter"], here["fill"], here["ink"]) == (row.letter, row.color, row.ink), row.name
        assert (there["fill"], there["ink"]) == (row.dark_color, row.dark_ink), row.name


def rule_of_types(css: str) -> dict[str, dict[str, str]]:
    """The variables that each type sets; `*` those of all."""
    rules = re.findall(r"\[data-kind(?:=\"(\w+)\")?\] \{ (--[^}]*) \}", css)
    return {name or "*": dict(re.findall(r'--(\w+): "?([^";]+)"?;', text)) for name, text in rules}
