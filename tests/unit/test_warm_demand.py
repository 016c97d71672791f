"""How many warm containers are kept, from the times of jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.runner.warm_demand import LATELY_S, RECENTLY_S, Demand, WarmKind

DUCKDB, SNOWFLAKE, ANY = (
    WarmKind("dbt-runner:latest", "duckdb"),
    WarmKind("dbt-runner:latest", "snowflake"),
    WarmKind("dbt-runner:latest", None),
)


def test_as_many_as_recently_ran_at_the_same_time_are_kept_then_one() -> None:
    demand = Demand()
    for _ in range(3):
        demand.begin(DUCKDB, 0.0)
    for _ in range(3):
        demand.end(DUCKDB, 10.0)
    assert demand.containers(10.0 + LATELY_S, limit=8) == {DUCKDB: 3}
    assert demand.containers(10.1 + LATELY_S, limit=8) == {DUCKDB: 1}
    assert demand.containers(10.1 + RECENTLY_S, limit=8) == {DUCKDB: 1}


def test_a_kind_unused_for_an_hour_is_dropped_unless_it_was_the_last() -> None:
    demand = Demand()
    for kind, second in ((SNOWFLAKE, 0.0), (DUCKDB, 10.0)):
        demand.begin(kind, second)
        demand.end(kind, second + 1.0)
    assert demand.containers(1.0 + RECENTLY_S, limit=8) == {DUCKDB: 1, SNOWFLAKE: 1}
    assert demand.containers(1.1 + RECENTLY_S, limit=8) == {DUCKDB: 1}
    assert demand.containers(100 * RECENTLY_S, limit=8) == {DUCKDB: 1}


def test_sequential_jobs_need_one_container() -> None:
    demand = Demand()
    for second in range(100):
        demand.begin(DUCKDB, float(second))
        demand.end(DUCKDB, second + 0.9)
    assert demand.containers(100.0, limit=8) == {DUCKDB: 1}


def test_with_a_low_limit_each_kind_gets_one_the_last_used_first() -> None:
    demand = Demand()
    demand.begin(SNOWFLAKE, 0.0)
    for _ in range(4):
        demand.begin(DUCKDB, 1.0)
    assert demand.containers(2.0, limit=1) == {DUCKDB: 1}
    assert demand.containers(2.0, limit=3) == {DUCKDB: 2, SNOWFLAKE: 1}
    assert demand.containers(2.0, limit=0) == {}


def test_a_kind_without_an_adapter_is_replaced_by_known_ones() -> None:
    demand = Demand()
    demand.expect(ANY, 0.0)
    assert demand.containers(1.0, limit=2) == {ANY: 1}
    demand.begin(DUCKDB, 2.0)
    assert demand.containers(3.0, limit=2) == {DUCKDB: 1}


@given(st.lists(st.tuples(st.sampled_from([DUCKDB, SNOWFLAKE]), st.booleans(), st.floats(0, 200)), max_size=40), st.integers(0, 6))
def test_never_more_than_the_limit_or_than_ran_at_the_same_time(jobs: list[tuple[WarmKind, bool, float]], limit: int) -> None:
    demand, now_s = Demand(), 0.0
    running = dict.fromkeys((DUCKDB, SNOWFLAKE), 0)
    most = dict(running)
    for kind, begins, after_s in jobs:
        now_s += after_s
        if begins:
            demand.begin(kind, now_s)
            running[kind] += 1
        elif running[kind]:
            demand.end(kind, now_s)
            running[kind] -= 1
        most[kind] = max(most[kind], running[kind])
        wanted = demand.containers(now_s, limit)
        assert sum(wanted.values()) <= limit
        assert all(1 <= count <= most[kind] for kind, count in wanted.items())
        # Kinds with a running job are the last used.
        assert len(wanted) >= min(limit, sum(1 for count in running.values() if count))
