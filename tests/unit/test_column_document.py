"""The columns document: what is read from it, and what a stranger's code cannot do with it."""

from __future__ import annotations

import doctest
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.models.warehouse import TOKEN
from app.lineage import column_digests, column_document, copy_format
from app.lineage.column_document import ColumnContent, MalformedColumnsError, NodeColumns, head_of, nodes_of
from app.pipeline.decoding.document_redaction import DocumentRedaction

HEAD = {"version": 1, "dialect": "duckdb", "engine": "sqlglot 30.30.0", "dbt_version": "1.11.16", "rules": "1", "cache": {"macros": []}}
ORDERS, RAW = "model.shop.orders", "source.shop.raw.orders"
KNOWN = frozenset({ORDERS, RAW, "model.shop.totals"})


def line(unique_id: str = ORDERS, **changed: Any) -> dict[str, Any]:
    """The line of a node, as our program writes it."""
    own = {
        "unique_id": unique_id,
        "status": "exact",
        "reason": None,
        "columns": [["id", "INT", "1kq0Vw2hT3xE"], ["Total Amount", None, None]],
        "open": False,
        "edges": [[RAW, "id", "id", "IDENTITY", True], [RAW, "status", None, "FILTER", False]],
        "hard_coded": ["raw.crm.accounts"],
        "compiled_code": "select 1",
        "compiled_reason": None,
        "rendered": "full",
        "sql": "1bX0Vw2hT3xE",
        "rows": "~1cY0Vw2hT3xE",
        "missing": ["gone"],
        "uneven": True,
        "reused": True,
        "cache": {"render_key": "0"},
    }
    return own | changed


def document(*lines: object, head: object = HEAD) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in (head, *lines))


def found(content: bytes) -> list[NodeColumns]:
    head_of(content)
    return list(nodes_of(content, KNOWN, DocumentRedaction(())))


def test_a_node_is_stored_as_the_container_found_it() -> None:
    [node] = found(document(line()))
    assert (node.unique_id, node.status, node.compiled_code, node.reused, node.edge_count) == (ORDERS, "exact", b"select 1", True, 2)
    wanted = {key: value for key, value in line().items() if key not in {"unique_id", "status", "compiled_code", "reused", "cache"}}
    assert json.loads(node.content) == wanted
    content = msgspec.json.decode(node.content, type=ColumnContent)
    assert [column.name for column in content.columns] == ["id", "Total Amount"]
    assert [(edge.upstream_column, edge.column, edge.subtype, edge.certain) for edge in content.edges] == [
        ("id", "id", "IDENTITY", True),
        ("status", None, "FILTER", False),
    ]


def test_digests_of_two_commits_are_compared_by_what_they_say_of_themselves() -> None:
    assert doctest.testmod(column_digests) == (0, 1)
    assert column_digests.compare("~1bX0Vw2hT3xE", "~1bX0Vw2hT3xE") == "same"
    assert column_digests.compare("1kq0Vw2hT3xE", "1bX0Vw2hT3xE") == "different"
    assert column_digests.compare(None, "1bX0Vw2hT3xE") == "unknown"


INVENTED = """
select o.freshetunknown_column, "freshetunknown_database"."sales"."orders".id, '{freshetunknown_env}', 'freshetunknown_host.org'
from "freshetunknown_database"."sales"."orders" as o
join freshetunknown_database.FRESHETUNKNOWN_SCHEMA_raw.a on true
join `freshetunknown_database.x.b` on true
join `freshetunknown-database`.`x`.`c` on true
join [freshetunknown_schema].[d] on true
join "sales"."freshetunknown_table" on true
join "freshetunknown_database"."freshetunknown_schema"."e" on "sales"."raw_freshetunknown"."f".id
"""
READABLE = """
select o.…, "sales"."orders".id, '{…}', '….org'
from "sales"."orders" as o
join a on true
join `x.b` on true
join `x`.`c` on true
join [d] on true
join "sales"."…" on true
join "e" on "sales"."…"."f".id
"""


def test_compiled_sql_has_only_names_that_the_project_has() -> None:
    [node] = found(document(line(compiled_code=INVENTED)))
    assert node.compiled_code == READABLE.encode()
    assert "left out" in (msgspec.json.decode(node.content, type=ColumnContent).compiled_reason or "")
    [node] = found(document(line(compiled_code=READABLE)))
    assert msgspec.json.decode(node.content, type=ColumnContent).compiled_reason is None


def test_hard_coded_tables_have_only_names_that_the_project_has() -> None:
    names = ["freshetunknown_database.crm.accounts", "crm.accounts", "crm.freshetunknown_table", "a.b"]
    [node] = found(document(line(hard_coded=names)))
    assert msgspec.json.decode(node.content, type=ColumnContent).hard_coded == ("crm.accounts", "a.b")


def test_columns_and_reasons_have_only_names_that_the_project_has() -> None:
    columns = [["id", "freshetunknown_type", "1kq0Vw2hT3xE"], ["freshetunknown_column", None]]
    edges = [[RAW, "id", "id", "IDENTITY", True], [RAW, "freshetunknown_column", "id", "CONDITIONAL", True]]
    missing = ["gone", "freshetunknown_column"]
    [node] = found(document(line(columns=columns, edges=edges, missing=missing, reason="It asks for `freshetunknown_schema.x`.")))
    content = msgspec.json.decode(node.content, type=ColumnContent)
    assert (node.status, content.open, [(column.name, column.type) for column in content.columns], len(content.edges)) == (
        "approximate",
        True,
        [("id", None)],
        1,
    )
    assert (content.columns[0].value, content.missing) == ("1kq0Vw2hT3xE", ("gone",))
    assert content.reason == (
        "It asks for `….x`. Columns whose names the repository does not have are left out. "
        "`…` stands for a value that the repository does not have."
    )


@pytest.mark.growth
@pytest.mark.parametrize("repeated", ["a", "a.", '"', "[", "`freshetunknown", "freshetunknown_", "freshetunknown.", "- "])
def test_taking_placeholders_out_of_hostile_sql_takes_linear_time(repeated: str) -> None:
    before = time.process_time()
    found(document(line(compiled_code=repeated * (2_000_000 // len(repeated)) + "freshetunknown")))
    assert time.process_time() - before < 5


def test_what_is_left_out_has_defaults() -> None:
    [node] = found(document({"unique_id": ORDERS, "status": "unknown"}))
    content = msgspec.json.decode(node.content, type=ColumnContent)
    assert (content.columns, content.edges, content.reason, node.compiled_code) == ((), (), None, None)


def test_nodes_and_edges_from_outside_the_lineage_are_left_out() -> None:
    elsewhere = line(edges=[["model.evil.x", "a", "b", "IDENTITY", True], [RAW, "id", "id", "IDENTITY", True]])
    [node] = found(document(line("model.evil.x"), elsewhere, line("model.evil.x")))
    assert node.unique_id == ORDERS
    assert [edge.upstream for edge in msgspec.json.decode(node.content, type=ColumnContent).edges] == [RAW]


def test_the_hash_changes_with_what_is_stored_and_with_nothing_else() -> None:
    [node] = found(document(line()))
    for same in ({"reused": False}, {"cache": {"another": 1}}, {"edges": [*line()["edges"], ["model.evil.x", "a", "b", "SORT", True]]}):
        assert found(document(line(**same)))[0].hash == node.hash, same
    changes: tuple[dict[str, Any], ...] = (
        {"unique_id": RAW},
        {"status": "approximate"},
        {"reason": "x"},
        {"columns": [["id", None]]},
        {"open": True},
        {"edges": []},
        {"hard_coded": []},
        {"compiled_code": None},
        {"compiled_code": ""},
        {"rendered": None},
    )
    hashes = {found(document(line(**changed)))[0].hash for changed in changes}
    assert len(hashes | {node.hash}) == len(changes) + 1


def test_the_row_has_what_the_store_copies() -> None:
    [node] = found(document(line(compiled_code="select 'ü'")))
    values = copy_format.values(node.row())
    assert values == [node.hash, ORDERS.encode(), b"exact", node.content, "select 'ü'".encode()]


def test_nul_can_be_stored_nowhere_and_gets_nowhere() -> None:
    [node] = found(document(line(columns=[["a\0b", "x\0"]], reason="\0", compiled_code="select '\0\\u0000'", hard_coded=["\0"])))
    assert b"\\u0000" not in node.content
    assert msgspec.json.decode(node.content, type=ColumnContent).columns[0].name == "a\N{REPLACEMENT CHARACTER}b"
    assert node.compiled_code == "select '\N{REPLACEMENT CHARACTER}\\u0000'".encode()


def texts(size: int) -> st.SearchStrategy[str]:
    """Without placeholders, which Hypothesis finds in the code."""
    return st.text(max_size=size).filter(lambda text: TOKEN not in text.casefold())


@given(st.lists(st.tuples(texts(20), texts(20) | st.none()), max_size=5), texts(50))
def test_any_text_of_a_project_is_read(columns: list[tuple[str, str | None]], code: str) -> None:
    [node] = found(document(line(columns=columns, compiled_code=code, reason=code)))
    clean = [(name.replace("\0", "\ufffd"), kind and kind.replace("\0", "\ufffd")) for name, kind in columns]
    assert [(column.name, column.type) for column in msgspec.json.decode(node.content, type=ColumnContent).columns] == clean
    assert node.compiled_code == code.replace("\0", "\ufffd").encode()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "line 1"),
        (b"<html>", "line 1"),
        (document(head={"version": 2}), "line 1: it is of version 2, not 1"),
        (document(head={"version": "1"}), "line 1"),
        (document(head=[]), "line 1"),
        (document(line(), line()), "line 3: model.shop.orders is there twice"),
        (document(line(), {"unique_id": RAW}), "line 3.*status"),
        (document(line()) + b"\n", "line 3"),
        (document(line())[:-30], "line 2"),
        (document(line()) + b'{"unique_id": "\xff"}', "line 3"),
        (document(line(status="certain")), "line 2.*certain"),
        (document(line(unique_id="x" * 1001)), "line 2"),
        (document(line(reason="x" * 501)), "line 2"),
        (document(line(columns=[["x" * 1001, None]])), "line 2"),
        (document(line(columns=[["a", None]] * 10_001)), "line 2"),
        (document(line(columns={"a": None})), "line 2"),
        (document(line(edges=[[RAW, "a", "b", "GUESS", True]])), "line 2"),
        (document(line(edges=[[RAW, "a", "b", "SORT"]])), "line 2"),
        (document(line(edges=[[RAW, "a", "b", "SORT", 1]])), "line 2"),
        (document(line(edges=[[RAW, "a", "b", "SORT", True]] * 200_001)), "line 2"),
        (document(line(hard_coded=["x" * 1001])), "line 2"),
        (document(line(compiled_code=3)), "line 2"),
        (document(HEAD) + b"[" * 100_000, "line 3|line 2"),
        (document() + b'{"cache": ' + b"[" * 1_000_000, "line 2"),
    ],
    ids=range(24),
)
def test_what_our_program_would_not_write_is_refused_with_its_line(content: bytes, what: str) -> None:
    with pytest.raises(MalformedColumnsError, match=what) as caught:
        found(content)
    assert len(str(caught.value)) <= 1000


def test_a_line_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_document, "MAX_LINE", 1000)
    with pytest.raises(MalformedColumnsError, match="line 2: it is longer than"):
        found(document(line(compiled_code="x" * 1000)))


@pytest.mark.growth
@pytest.mark.parametrize(
    "part",
    [
        json.dumps(line("model.evil.x")).encode() + b"\n",
        b'{"unique_id":"x","status":"exact"}\n',
        json.dumps(line("model.evil.x", edges=line()["edges"] * 500)).encode() + b"\n",
    ],
    ids=["nodes", "short nodes", "edges"],
)
def test_reading_takes_time_in_proportion_to_the_size(part: bytes) -> None:
    """Quadratic work would take 16 times as long for 4 times the size."""

    def seconds(size: int) -> float:
        content = document() + part * (size // len(part))
        since = time.process_time()
        assert list(nodes_of(content, KNOWN, DocumentRedaction(()))) == []
        return time.process_time() - since

    assert min(seconds(8 << 20) for _ in range(3)) < 10 * min(seconds(2 << 20) for _ in range(3))


def test_the_subtypes_that_make_values_are_openlineages_direct_ones() -> None:
    assert sorted(column_document.DIRECT) == ["AGGREGATION", "IDENTITY", "TRANSFORMATION"]
