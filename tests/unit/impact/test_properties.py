"""What holds for any change of any project, and texts that were written to be slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.lineage.impact.compute import ranked
from app.lineage.impact.mentions import MAX_TEXT, mentioned, same_but_for, tokens
from tests.unit.impact.sides import Node, compare, is_silent, model, project

NAMES = [f"m{number}" for number in range(6)]
COLUMNS = ("a", "b", "c")


@st.composite
def projects(draw: st.DrawFn) -> tuple[Node, ...]:
    """Models in a row; each reads any of those before it, also columns that these do not have."""
    nodes: list[Node] = []
    for place, name in enumerate(NAMES):
        above = NAMES[:place]
        columns = []
        for column in draw(st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1)):
            up = draw(st.sampled_from([None, *above]))
            source = "1" if up is None else f"{up}.{draw(st.sampled_from(COLUMNS))}"
            columns.append(f"{column} = {source}{draw(st.sampled_from(['', ' + 1']))}")
        is_star: bool = draw(st.booleans())
        has_rows: bool = draw(st.booleans())
        if above and is_star:
            columns = [f"*{draw(st.sampled_from(above))}"]
        rows = f"where {draw(st.sampled_from(above))}.a" if above and has_rows else ""
        digests, status = draw(st.sampled_from(["", "", "~", None])), draw(st.sampled_from(["exact", "exact", "approximate", "unknown"]))
        missing = tuple(draw(st.lists(st.sampled_from(COLUMNS), max_size=1)))
        nodes.append(model(name, *columns, rows=rows, digests=digests, status=status, missing=missing, open=draw(st.booleans())))
    return tuple(nodes)


@settings(max_examples=40)
@given(projects())
def test_a_project_and_itself_are_equal(nodes: tuple[Node, ...]) -> None:
    assert is_silent(compare(nodes, nodes))


@settings(max_examples=40)
@given(projects(), projects())
def test_only_what_is_downstream_of_a_change_is_reached(base: tuple[Node, ...], head: tuple[Node, ...]) -> None:
    old, new = project(*base), project(*head)
    found = compare(old, new)
    changed = {one.unique_id for one in found.changes} | {one.unique_id for one in found.breaks}
    below: set[str] = set()
    for side in (old.side.graph, new.side.graph):
        start = {position for one in changed if (position := side.position(one)) is not None}
        below |= {side.nodes[one].unique_id for one in side.reach(start, "downstream", None)}
    assert {one.unique_id for one in found.reached} <= below
    assert not {one.unique_id for one in found.breaks if one.kind == "column_missing" and one.certain}
    assert sum(found.counts["by"].values()) == len(found.reached)
    assert found == compare(old, new)


@settings(max_examples=40)
@given(projects(), st.sampled_from(NAMES))
def test_another_form_is_no_change(nodes: tuple[Node, ...], name: str) -> None:
    head = [node.but(code=f"-- Another form.\n{node.text}", raw=f"{node.text}\n") if node.name == name else node for node in nodes]
    assert is_silent(compare(nodes, head))


@given(st.text(alphabet="ab '\"`-/*{#}\n"), st.text(alphabet="ab '\"`-/*{#}\n"))
def test_any_text_can_be_compared(one: str, other: str) -> None:
    assert same_but_for(one, one, {})
    assert same_but_for(one, other, {}) == same_but_for(other, one, {})
    mentioned(one)


@pytest.mark.growth
@pytest.mark.parametrize("text", ["/*", "'", '"', "{#", "-", "--", "a ", "'a'", "/* */", "é"])
def test_no_text_is_slow(text: str) -> None:
    began = time.process_time()
    assert len(list(tokens(text * (MAX_TEXT // len(text))))) <= MAX_TEXT
    assert time.process_time() - began < 5


def test_a_circle_has_ranks_too() -> None:
    one, other = model("one", "a = other.a", reads=["other"]), model("other", "a = one.a", reads=["one"])
    found = project(one, other)
    assert sorted(ranked(found.side.graph)) == [2, 2]
    assert compare((one, other), (one.but(rows="where other.a"), other)).changes
