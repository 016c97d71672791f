"""Manifests of one input: what may differ between two runs of dbt, and what may not."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from app.lineage.manifest import DECODE_ERRORS
from app.lineage.manifest_comparison import MAX_NAME, MAX_NAMED, compare

MANIFEST: dict[str, Any] = {
    "metadata": {"dbt_version": "1.11.0", "generated_at": "now", "invocation_id": "1", "env": {"A": "1"}, "adapter_type": "duckdb"},
    "nodes": {
        "model.shop.a": {
            "unique_id": "model.shop.a",
            "created_at": 1.5,
            "columns": {"created_at": {"name": "created_at", "description": "when"}},
            "depends_on": {"nodes": ["model.shop.b", "model.shop.c"]},
        },
        "model.shop.b": {"unique_id": "model.shop.b", "created_at": 1.5},
    },
    "disabled": {"model.shop.d": [{"unique_id": "model.shop.d", "created_at": 1.5, "raw_code": "select 1"}]},
    "parent_map": {"model.shop.a": ["model.shop.b", "model.shop.c"]},
    "child_map": {},
    "semantic_models": {},
    "saved": None,
}
Edit = Callable[[dict[str, Any]], object]

HARMLESS: dict[str, Edit] = {
    "times": lambda one: [node.update(created_at=9.5) for node in one["nodes"].values()],
    "the time of a disabled one": lambda one: one["disabled"]["model.shop.d"][0].update(created_at=9.5),
    "the run": lambda one: one["metadata"].update(generated_at="later", invocation_id="2", env={}, invocation_started_at="x"),
    "the order of nodes": lambda one: one.update(nodes=dict(reversed(one["nodes"].items()))),
    "the order of keys": lambda one: one["nodes"].update({"model.shop.a": dict(reversed(one["nodes"]["model.shop.a"].items()))}),
    "the order of parents": lambda one: one["parent_map"]["model.shop.a"].reverse(),
}
HARMFUL: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "a node is missing": (lambda one: one["nodes"].pop("model.shop.b"), ("nodes model.shop.b",)),
    "a node too many": (lambda one: one["nodes"].update(x={}), ("nodes x",)),
    "an edge": (lambda one: one["nodes"]["model.shop.a"]["depends_on"]["nodes"].pop(), ("nodes model.shop.a",)),
    "a parent": (lambda one: one["parent_map"]["model.shop.a"].pop(), ("parent_map model.shop.a",)),
    "a column called as dbt's time": (
        lambda one: one["nodes"]["model.shop.a"]["columns"]["created_at"].update(description="why"),
        ("nodes model.shop.a",),
    ),
    "a disabled one": (lambda one: one["disabled"]["model.shop.d"][0].update(raw_code="select 2"), ("disabled model.shop.d",)),
    "one more disabled one": (lambda one: one["disabled"]["model.shop.d"].append({}), ("disabled model.shop.d",)),
    "the version of dbt": (lambda one: one["metadata"].update(dbt_version="1.10.0"), ("metadata",)),
    "a section is missing": (lambda one: one.pop("semantic_models"), ("semantic_models",)),
    "a section of another kind": (lambda one: one.update(saved=[1]), ("saved",)),
    "two at once": (
        lambda one: (one["nodes"]["model.shop.a"].update(x=1), one["child_map"].update(y=[])),
        ("child_map y", "nodes model.shop.a"),
    ),
}


def edited(edit: Edit) -> bytes:
    other = deepcopy(MANIFEST)
    edit(other)
    return json.dumps(other, indent=1).encode()


@pytest.mark.parametrize("what", HARMLESS)
def test_what_dbt_writes_anew_in_each_run_is_no_difference(what: str) -> None:
    assert not compare(json.dumps(MANIFEST).encode(), edited(HARMLESS[what]))


@pytest.mark.parametrize("what", HARMFUL)
def test_everything_else_is_a_difference_both_ways(what: str) -> None:
    edit, named = HARMFUL[what]
    for pair in ((json.dumps(MANIFEST).encode(), edited(edit)), (edited(edit), json.dumps(MANIFEST).encode())):
        found = compare(*pair)
        assert (found.named, found.count) == (named, len(named))


def test_of_many_differences_a_few_are_named() -> None:
    found = compare(b'{"nodes": {}}', json.dumps({"nodes": {f"{number:05}{'x' * 300}": {} for number in range(1000)}}).encode())
    assert (len(found.named), found.count) == (MAX_NAMED, 1000)
    assert all(len(name) <= MAX_NAME for name in found.named)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff", b'{"nodes": {"a": }}'])
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(DECODE_ERRORS):
        compare(b'{"nodes": {}}', text)


def test_depth_without_end_is_a_difference_not_a_crash() -> None:
    deep = ("[" * 5000 + "]" * 5000).encode()
    try:
        found = compare(b'{"nodes": {"a": %s}}' % deep, b'{"nodes": {"a": [%s]}}' % deep)
    except DECODE_ERRORS:
        return
    assert found.count == 1
