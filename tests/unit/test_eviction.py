"""Fairness between the tenants of a cache, for any contents."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from app.core.eviction import Cached, evicted

FILES = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 50), st.integers(0, 100)), max_size=40)


@given(FILES, st.integers(0, 2000))
def test_the_rest_fits_and_nobody_within_an_equal_share_loses_anything(files: list[tuple[str, int, int]], max_bytes: int) -> None:
    cached = [Cached(number, owner, used_at, size) for number, (owner, used_at, size) in enumerate(files)]
    gone = set(evicted(cached, max_bytes))
    kept = [one for one in cached if one.item not in gone]
    assert sum(one.size_bytes for one in kept) <= max_bytes
    used = Counter[object]()
    for one in cached:
        used[one.owner] += one.size_bytes
    losers = {cached[number].owner for number in gone}
    assert all(used[owner] * len(used) > max_bytes for owner in losers)
    for owner in losers:
        lost = [one.used_at for one in cached if one.owner == owner and one.item in gone]
        left = [one.used_at for one in kept if one.owner == owner]
        assert max(lost) <= min(left, default=50)


def test_nothing_is_deleted_without_need() -> None:
    assert evicted([Cached("a", 1, 0.0, 50), Cached("b", 2, 0.0, 50)], 100) == []
    assert evicted([Cached("a", 1, 0.0, 50), Cached("b", 2, 0.0, 51)], 100) == ["b"]
