"""No answer of a tool is longer than 20,000 tokens, and what is left out is counted, whatever it is made of."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.web.mcp.budget import HEADING, ITEM, PAGE, Item, cost, cut, encoded, shortened, tokens

TEXTS = st.text(max_size=20) | st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=3), st.sampled_from([400, 9000]))
LEAVES = st.none() | st.integers(-(2**63), 2**63) | TEXTS
JSON = (
    LEAVES
    | st.lists(LEAVES | st.lists(TEXTS, max_size=3), max_size=5)
    | st.dictionaries(st.sampled_from(["meta", "config", "sql"]), LEAVES | st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=5)
    | st.builds(lambda one, times: [[one] * times], TEXTS, st.sampled_from([60, 300]))
)
FEW = settings(max_examples=40, deadline=None, phases=[Phase.generate])


def test_tokens_are_counted_high() -> None:
    assert tokens(b"select customer id from orders") == 16
    assert tokens(b'{"a":1}') == 7
    assert tokens("日本".encode()) == 6


@FEW
@given(JSON, st.sampled_from([HEADING, ITEM]))
def test_a_value_is_shortened_to_its_limit_and_says_so(value: Any, most: int) -> None:
    found, used, cuts = shortened(value, most)
    assert cost(found) == used <= most
    assert (cuts > 0) == (encoded(found) != encoded(value))


def item(name: str, value: Any) -> Item:
    return Item(f"{name}s", name, lambda: value)


@FEW
@given(st.lists(st.tuples(st.sampled_from(["node", "edge"]), JSON), max_size=6), st.integers(0, HEADING))
def test_pages_hold_all_items_in_order(made: list[tuple[str, Any]], used: int) -> None:
    made *= 5
    items = [item(*one) for one in made]
    total, begin, held = Counter(name for name, _ in made), 0, Counter[str]()
    while True:
        page = cut(items, total, begin=begin, used=used)
        assert used + sum(cost(one) for values in page.lists.values() for one in values) <= PAGE
        held.update({name.removesuffix("s"): len(values) for name, values in page.lists.items()})
        left = {name: number for name, number in page.left.items() if name != "shortened"}
        assert left == dict(total - held)
        assert (page.next is None) == (not left)
        if page.next is None:
            break
        assert page.next > begin
        begin = page.next


def test_a_list_can_have_a_limit() -> None:
    items = [item("node", one) for one in range(5)]
    page = cut(items, {"node": 5}, most={"nodes": 2})
    assert (page.lists, page.left, page.next) == ({"nodes": [0, 1]}, {"node": 3}, 2)
    assert cut(items, {"node": 5}, begin=4, most={"nodes": 2}).next is None
