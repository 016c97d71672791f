"""Every format is parsed again, by a parser of another project or, where there is none, strictly by the format's grammar."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lineage.formats import dot, edges_csv, graphml, json_document, mermaid
from app.lineage.formats.chunks import PIECE_BYTES, pieces
from app.lineage.formats.heading import Heading
from app.lineage.formats.labels import visible
from app.lineage.formats.relation_names import unquoted
from app.lineage.graph import Graph, GraphFilter, GraphNode, Selection

HEADING = Heading(
    connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    repository="octo/shop",
    branch="main",
    project_dir="transform",
    project_name="shop",
    sha="6dcb09b5b57875f334f61aebed695e2e4193db5e",
    head_sha=None,
    state=None,
    stale=False,
    stale_reason=None,
    extracted_at=datetime(2026, 11, 2, 9, 0, 9, 120000, tzinfo=UTC),
    dbt_version="1.11.16",
    adapter_type="snowflake",
    manifest_schema="v12",
)
NASTY = (
    'a"b',
    '"]; evil',
    "a\\",
    'a\\"; x -> y; "',
    "a\nb\r\nc",
    "%% comment",
    "<script>alert(1)</script>",
    "]]><x/>",
    "&amp; &#35; #35;",
    "=1+1",
    "@SUM(A1)",
    "\N{FULLWIDTH EQUALS SIGN}1",
    "-->",
    "end",
    "`**bold**`",
    "1. one",
    "\N{RIGHT-TO-LEFT OVERRIDE}sredro",
    "\x00\x07\x1b[31m\x7f\x85",
    "ünï 日本語 \U0001f600",
    "\ufffe\uffff",
    "|x|y",
    "a,b;c",
    "",
)
NAMES = st.text() | st.sampled_from(NASTY)
KINDS = ("model", "source", "seed", "exposure", "metric", "test")
XML = "{http://graphml.graphdrawing.org/xmlns}"
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def selection(*names: str, relation: str | None = None) -> Selection:
    """A chain of nodes with these names: each depends on the previous one."""
    nodes = []
    for number, name in enumerate(names):
        kind = KINDS[number % len(KINDS)]
        content = {"unique_id": f"{name}.{number}", "resource_type": kind, "name": name, "package_name": name, "relation_name": relation}
        nodes.append(GraphNode(f"{name}.{number}", kind, name, name, orjson.dumps(content | {"description": name})))
    return Graph(nodes, [[nodes[number - 1].unique_id] if number else [] for number in range(len(nodes))]).select(GraphFilter())


def ids(names: list[str]) -> list[str]:
    return [f"{name}.{number}" for number, name in enumerate(names)]


def chain(of: list[str]) -> list[tuple[str, str]]:
    return list(pairwise(of))


lists = st.lists(NAMES, max_size=7)


@given(lists)
def test_json_has_the_heading_nodes_and_edges(names: list[str]) -> None:
    found = json.loads(b"".join(json_document.render(HEADING, selection(*names))))
    assert list(found)[:3] == ["connection_id", "repository", "branch"]
    assert found["extracted_at"] == "2026-11-02T09:00:09.120000Z"
    assert [node["unique_id"] for node in found["nodes"]] == ids(names)
    assert [(edge["upstream"], edge["downstream"]) for edge in found["edges"]] == chain(ids(names))


@given(lists)
def test_an_xml_parser_reads_graphml(names: list[str]) -> None:
    root = ET.fromstring(b"".join(graphml.render(HEADING, selection(*names))))  # noqa: S314 - ours
    keys = {key.attrib["id"]: key.attrib["attr.name"] for key in root.iter(f"{XML}key")}
    (graph,) = root.iter(f"{XML}graph")
    assert {keys[data.attrib["key"]]: data.text for data in graph.findall(f"{XML}data")}["repository"] == "octo/shop"
    nodes: dict[str, dict[str, str]] = {}
    for node in graph.findall(f"{XML}node"):
        assert re.fullmatch(r"n\d+", node.attrib["id"])
        nodes[node.attrib["id"]] = {keys[data.attrib["key"]]: data.text or "" for data in node}
    possible = [xml(name) for name in ids(names)]
    assert [node["unique_id"] for node in nodes.values()] == possible
    assert [node["description"] for node in nodes.values()] == [xml(name) for name in names]
    edges = [(nodes[edge.attrib["source"]]["unique_id"], nodes[edge.attrib["target"]]["unique_id"]) for edge in graph.findall(f"{XML}edge")]
    assert edges == chain(possible)


def xml(text: str) -> str:
    """The text with characters that XML 1.0 cannot represent replaced: https://www.w3.org/TR/xml/#charsets."""
    ranges = ((0x9, 0xA), (0xD, 0xD), (0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
    return "".join(char if any(low <= ord(char) <= high for low, high in ranges) else "\ufffd" for char in text)


@given(lists)
def test_a_csv_parser_reads_csv_without_formulas(names: list[str]) -> None:
    text = b"".join(edges_csv.render(HEADING, selection(*names))).decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["upstream", "downstream"]
    assert [tuple(map(without_apostrophe, row)) for row in rows] == chain(ids(names))
    assert not [cell for row in rows for cell in row if cell.strip(" ")[:1] in tuple("=+-@\t\r＝＋－＠")]


def without_apostrophe(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].lstrip(" ")[:1] in tuple("=+-@\t\r\n＝＋－＠") else cell


DOT = re.compile(
    r"\s*(?:(digraph|rankdir|node|shape|style|filled|fillcolor|white|label|labelloc|class|LR|b|box|cylinder|note|house|hexagon)\b"
    r'|(->|<.*</table>>|[{}\[\];=])|"((?:[^"\\]|\\.)*)")',
    re.DOTALL,
)
"""The tokens that we use of https://graphviz.org/doc/info/lang.html; a quote ends a string unless a backslash is before it."""


def dot_tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while text[place:].strip():
        match = DOT.match(text, place)
        assert match, text[place:]
        yield ("word", match[1]) if match[1] else ("sign", match[2]) if match[2] else ("text", match[3])
        place = match.end()


@given(lists)
def test_dot_has_the_nodes_and_edges_only(names: list[str]) -> None:
    tokens = list(dot_tokens(b"".join(dot.render(HEADING, selection(*names))).decode()))
    assert tokens[0] == ("word", "digraph")
    ends = [number for number, token in enumerate(tokens) if token == ("sign", ";")]
    statements = [tokens[begin + 1 : end] for begin, end in zip([2, *ends], ends, strict=False)]
    above = 4 if names else 2
    nodes = [statement for statement in statements[above:] if ("sign", "->") not in statement]
    assert [dot_text(statement[0]) for statement in nodes] == ids(names)
    labels = [statement[statement.index(("word", "label")) + 2] for statement in nodes]
    assert [dot_text(label) for label in labels] == distinct(names)
    assert not any(HIDDEN.search(label) for _, label in labels)
    edges = [(dot_text(first), dot_text(last)) for first, _, last, *_ in (one for one in statements[above:] if ("sign", "->") in one)]
    assert edges == chain(ids(names))
    assert tokens[-1] == ("sign", "}")


def dot_text(token: tuple[str, str]) -> str:
    assert token[0] == "text"
    return re.sub(r"\\(.)", r"\1", token[1], flags=re.DOTALL)


def distinct(names: list[str]) -> list[str]:
    """The labels of `selection(*names)`: the unique_id, if another node of the same type has the same name."""
    kinds = [KINDS[number % len(KINDS)] for number in range(len(names))]
    pairs = list(zip(kinds, names, strict=True))
    return [
        visible(f"{name}.{number}" if pairs.count(pair) > 1 else name) for number, (pair, name) in enumerate(zip(pairs, names, strict=True))
    ]


MERMAID_NODE = re.compile(r'  n(\d+)(\[|\[\(|\(\[|\{\{|>)"((?:[^\W]| |#\d+;)+)"(\]|\)\]|\]\)|\}\})')
MERMAID_EDGE = re.compile(r"  n(\d+) --> n(\d+)")


@given(lists)
def test_mermaid_labels_contain_letters_digits_and_entities_only(names: list[str]) -> None:
    first, *lines = b"".join(mermaid.render(HEADING, selection(*names))).decode().removesuffix("\n").split("\n")
    assert first == "flowchart LR"
    nodes = [match for line in lines[: len(names)] if (match := MERMAID_NODE.fullmatch(line))]
    assert [int(match[1]) for match in nodes] == list(range(len(names)))
    assert [re.sub(r"#(\d+);", lambda found: chr(int(found[1])), match[3]) for match in nodes] == [one or " " for one in distinct(names)]
    edges = [(int(match[1]), int(match[2])) for line in lines[len(names) :] if (match := MERMAID_EDGE.fullmatch(line))]
    assert edges == list(pairwise(range(len(names))))
    assert len(lines) == len(nodes) + len(edges)


def test_what_has_the_same_name_is_told_apart_in_every_format() -> None:
    rows = [
        ("model.ver.orders.v1", "model", "orders", "ver"),
        ("model.ver.orders.v2", "model", "orders", "ver"),
        ("source.ver.erp.orders", "source", "orders", "ver"),
        ("source.ver.crm.orders", "source", "orders", "ver"),
        ("unit_test.ver.orders.adds", "unit_test", "adds", "ver"),
        ("model.utils.days", "model", "days", "utils"),
        ("model.ver.days", "model", "days", "ver"),
        ("test.ver.same.1a", "test", "same", "ver"),
        ("test.ver.same.2b", "test", "same", "ver"),
        ("semantic_model.ver.orders", "semantic_model", "orders", "ver"),
        ("metric.ver.orders", "metric", "orders", "ver"),
    ]
    nodes = [GraphNode(*row, orjson.dumps({"unique_id": row[0], "version": 1 if "v1" in row[0] else None})) for row in rows]
    shown = Graph(nodes, [[], [rows[0][0]], *([] for _ in rows[2:])]).select(GraphFilter())
    labels = ["orders.v1", "orders.v2", "erp.orders", "crm.orders", "orders.adds", "utils.days", "ver.days"]
    labels += ["test.ver.same.1a", "test.ver.same.2b", "orders", "orders"]
    drawn = b"".join(dot.render(HEADING, shown)).decode()
    assert re.findall(r'\[label="([^"]*)"', drawn) == labels
    assert '"semantic_model.ver.orders" [label="orders" class="semantic_model" shape=component fillcolor="#d5f2f2"];' in drawn
    assert '"model.ver.orders.v1" -> "model.ver.orders.v2" [class="model model"];' in drawn
    assert ">semantic model</td>" in drawn
    lines = b"".join(mermaid.render(HEADING, shown)).decode().replace("#46;", ".").splitlines()
    assert [re.sub(r'.*?"(.*)".*', r"\1", line) for line in lines[1 : len(rows) + 1]] == labels
    assert len({*lines[1 : len(rows) + 1]}) == len(rows)
    assert lines[10:12] == ['  n9[/"orders"/]', '  n10{{"orders"}}']
    text = b"".join(graphml.render(HEADING, shown)).decode()
    assert re.findall(r'<data key="node_label">([^<]*)<', text) == labels
    assert text.count('<data key="node_version">1</data>') == 1


@given(NAMES)
def test_all_characters_of_a_label_are_visible(name: str) -> None:
    assert not HIDDEN.search(visible(name))
    assert len(visible(name)) == len(name)


@pytest.mark.parametrize(
    ("relation_name", "name"),
    [
        ('"db"."main"."orders"', "db.main.orders"),
        ("`project-1`.`data`.`orders`", "project-1.data.orders"),
        ("[db].[dbo].[orders]", "db.dbo.orders"),
        ("DB.SCHEMA.ORDERS", "DB.SCHEMA.ORDERS"),
        ('db."my "" table"', 'db.my " table'),
        ('"db"."a.b"', "db.a.b"),
        ('"db".', '"db".'),
        ('"db"."main', '"db"."main'),
        ("read_csv('x.csv')", "read_csv('x.csv')"),
        ("", ""),
    ],
)
def test_relation_names_lose_their_quotes(relation_name: str, name: str) -> None:
    assert unquoted(relation_name) == name


def test_pieces_are_lazy_and_of_similar_size() -> None:
    asked: list[int] = []

    def texts() -> Iterator[bytes]:
        for number in range(1000):
            asked.append(number)
            yield b"x" * 1000

    found = pieces(texts())
    first = next(found)
    assert PIECE_BYTES <= len(first) < PIECE_BYTES + 1000
    assert len(asked) == len(first) // 1000
    assert len(first) + sum(map(len, found)) == 1_000_000


def test_a_project_without_a_name_is_exported() -> None:
    nameless: Any = replace(HEADING, project_name=None, adapter_type=None, project_dir=None)
    assert b'digraph "octo/shop" {' in b"".join(dot.render(nameless, selection("a")))
    assert b"adapter_type</" not in b"".join(graphml.render(nameless, selection("a")))
