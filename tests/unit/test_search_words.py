"""What a node is found by, and what a query asks for."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lineage.search import entries, queries, tiers
from app.lineage.search.entries import SearchedColumn, SearchedNode, entry, node_id, read_node, traced_names
from app.lineage.search.matches import MAX_SNIPPET, match
from app.lineage.search.queries import QueryError, SearchQuery
from app.lineage.search.words import MAX_TEXT, MAX_WORD, found_by, key_of, words_of

ORDERS = SearchedNode(
    unique_id="model.shop.fct_orders_daily",
    resource_type="model",
    name="fct_orders_daily",
    package_name="shop",
    original_file_path="models/marts/fct_orders_daily.sql",
    description="What was ordered.",
    tags=("nightly run",),
    owner="Data Team",
    columns=(SearchedColumn("order_id"), SearchedColumn("amountPaid")),
)
WORD = st.text(st.characters(codec="utf-8"), max_size=80)


@given(WORD)
def test_words_are_letters_and_digits_in_lower_case(text: str) -> None:
    for word in found_by(text):
        assert word == word.casefold()
        assert word
        assert len(word) <= MAX_WORD
        assert not set(word) & set("_'\\&|!():*% \0")


@given(WORD, WORD)
def test_a_name_is_found_by_its_own_words_however_it_is_written(first: str, second: str) -> None:
    name = f"{first} {second}"
    assert set(words_of(name)) <= set(found_by(name))
    assert set(words_of(f"{first}.{second}")) == set(words_of(name))
    assert set(words_of(first)) <= set(words_of(name))


@given(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=6))
def test_snake_camel_and_dots_are_the_same_name(parts: list[str]) -> None:
    camel = "".join(part.title() if len(part) > 1 else part for part in parts)
    assert words_of("_".join(parts)) == words_of(".".join(parts)) == words_of(" ".join(parts)) == parts
    if all(len(part) > 1 for part in parts):
        assert words_of(camel) == parts
    assert key_of("_".join(parts)) == "_".join(parts)


@given(st.text())
def test_whatever_is_typed_means_nothing_to_the_database(text: str) -> None:
    with suppress(QueryError):
        for tier in tiers.tiers_of(queries.parse(text)):
            assert not {"\0", "\\", "<"} & {*tier.condition}
            assert all("\0" not in end for choice in tier.choices for one in choice for end in one)


def test_hostile_texts_take_linear_time() -> None:
    for turn in ("a", "A", "aA", "a1", "_", "é", "\u0315\u0300", "\N{ARABIC LETTER ALEF}\u0651", "İ", "1 "):
        took = []
        for size in (MAX_TEXT * 10, MAX_TEXT * 1000):
            began = time.process_time()
            found_by(turn * size)
            took.append(time.process_time() - began)
        assert took[1] < 10 * took[0] + 0.02, "texts are cut"


def test_a_node_is_found_by_all_that_people_know_of_it() -> None:
    found = entry(ORDERS, 7, ["traced_only"])
    assert node_id(found.hit) == 7
    expected = {
        *("nfct", "norders", "ndaily", "=fct_orders_daily", "corder", "cid", "camount", "cpaid", "camountpaid", "ctraced", "conly"),
        *("gnightly", "grun", "odata", "oteam", "pmodels", "pmarts", "psql", "pshop", "dwhat", "dwas", "dordered", "ymodel", "kshop"),
    }
    assert set(found.words) == expected
    assert len(found.words) == len(expected)


def test_what_people_use_comes_first() -> None:
    def rank(kind: str, name: str, path: str = "models/a.sql") -> int:
        return entry(SearchedNode(unique_id="", resource_type=kind, name=name, original_file_path=path), 1).hit

    ordered = [
        rank("exposure", "orders"),
        rank("model", "orders_daily", "models/marts/a.sql"),
        rank("metric", "orders"),
        rank("model", "orders", "models/martsy.sql"),
        rank("source", "orders"),
        rank("new kind", "orders"),
        rank("test", "orders"),
        rank("test", "orders" * 100),
    ]
    assert ordered == sorted(ordered)
    assert all(0 < one < 1 << 63 for one in ordered)


def test_contents_of_other_forms_leave_the_name() -> None:
    known = SearchedNode(unique_id="a", resource_type="model", name="a")
    for content in (
        None,
        "{",
        '{"unique_id": 1}',
        "[" * 100_000,
        '{"unique_id": "a", "resource_type": "b", "name": "c", "tags": 7}',
        b"\xff",
    ):
        assert read_node(content, known) is known
    for content in (None, b"{", b"{}", b'{"columns": [[1]]}', b'{"columns": {}}'):
        assert traced_names(content) == []


def test_limits_hold_for_one_node() -> None:
    many = tuple(SearchedColumn(f"column{letter}x{number}") for number in range(3000) for letter in "ab")
    node = SearchedNode(
        unique_id="m", resource_type="model", name="word " * 5000, description="é1 " * 10**6, tags=("t",) * 10**6, columns=many
    )
    words = entry(node, 1).words
    assert len(words) < sum(entries.MAX_WORDS.values()) + 10
    assert max(map(len, words)) <= 201


def test_words_and_filters_are_told_apart() -> None:
    assert queries.parse("Ord cust").words == ("ord", "cust")
    found = queries.parse("fctOrders type:unit_test TAG:night-run path:marts/core")
    assert found.words == ("fct", "orders")
    assert [(one.fields, one.word, one.whole) for one in found.filters] == [
        ("y", "unit_test", True),
        ("g", "night", False),
        ("g", "run", False),
        ("pn", "marts", False),
        ("pn", "core", False),
    ]
    assert not queries.parse("%_'&|!():*")
    assert tiers.tiers_of(queries.parse("%")) == []


@pytest.mark.parametrize("text", ["kind:model", "tag:", "type:%", "a:b:c", " ".join("abcdefghijklmnopq"), "https://x.example/a"])
def test_what_cannot_be_searched_for_is_refused_by_name(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        queries.parse(text)
    assert text.partition(":")[0] in str(caught.value) or "16 words" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "tier", "field", "column"),
    [
        ("fct", tiers.IN_NAME, "name", None),
        ("amount", tiers.IN_COLUMNS, "column", "amountPaid"),
        ("order id", tiers.IN_COLUMNS, "column", "order_id"),
        ("fct traced", tiers.IN_COLUMNS, "column", "traced"),
        ("fct nightly", tiers.IN_PLACES, "tag", None),
        ("fct data", tiers.IN_PLACES, "owner", None),
        ("marts", tiers.IN_PLACES, "path", None),
        ("ordered", tiers.IN_DESCRIPTION, "description", None),
        ("owner:data", tiers.IN_NAME, "owner", None),
        ("type:model", tiers.IN_NAME, "name", None),
        ("fct column:paid", tiers.IN_NAME, "name", "amountPaid"),
    ],
)
def test_readers_see_what_matched(text: str, tier: int, field: str, column: str | None) -> None:
    found = match(queries.parse(text), tier, ORDERS, ["traced"])
    assert (found.field, found.column) == (field, column)
    assert found.snippet == "What was ordered."


def test_a_long_description_is_shown_around_the_word() -> None:
    text = "Lorem ipsum " * 40 + "the revenue of refunds " + "dolor sit " * 40
    node = SearchedNode(unique_id="m", resource_type="model", name="m", description=text)
    found = match(SearchQuery(("refunds",)), tiers.IN_DESCRIPTION, node).snippet
    assert "refunds" in found
    assert found.startswith("…")
    assert found.endswith("…")
    assert len(found) <= MAX_SNIPPET + 2
    assert match(SearchQuery(("m",)), tiers.EXACT, node).snippet.startswith("Lorem")
