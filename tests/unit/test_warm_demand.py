"""How many warm containers are kept, from the times of jobs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.runner.warm_demand import CROWD_S, CROWDS_S, Demand, WarmKind

DUCKDB, SNOWFLAKE, ANY = (
    WarmKind("dbt-runner:latest", "duckdb"),
    WarmKind("dbt-runner:latest", "snowflake"),
    WarmKind("dbt-runner:latest", None),
)


def crowd(demand: Demand, kind: WarmKind, jobs: int, at_s: float, apart_s: float = 0.0) -> None:
    """Let jobs run one after the other."""
    for number in range(jobs):
        demand.begin(kind, at_s + number * apart_s)
        demand.end(kind, at_s + number * apart_s)


def test_a_crowd_that_waits_for_its_turns_gets_as_many_containers_the_next_day_too() -> None:
    demand = Demand()
    crowd(demand, DUCKDB, 10, 0.0, apart_s=20.0)
    assert demand.containers(180.0, limit=40) == {DUCKDB: 10}
    crowd(demand, DUCKDB, 2, 3600.0)
    assert demand.containers(CROWDS_S, limit=40) == {DUCKDB: 10}
    assert demand.containers(CROWDS_S, limit=6) == {DUCKDB: 6}
    assert demand.containers(180.1 + CROWDS_S, limit=40) == {DUCKDB: 2}
    assert demand.containers(10 * CROWDS_S, limit=40) == {DUCKDB: 1}


def test_jobs_that_are_no_crowd_need_one_container() -> None:
    demand = Demand()
    crowd(demand, DUCKDB, 20, 0.0, apart_s=CROWD_S + 1)
    assert demand.containers(20 * CROWD_S, limit=40) == {DUCKDB: 1}


def test_a_kind_that_is_no_longer_used_is_dropped_unless_it_was_the_last() -> None:
    demand = Demand()
    crowd(demand, SNOWFLAKE, 1, 0.0)
    crowd(demand, DUCKDB, 1, 10.0)
    assert demand.containers(CROWDS_S, limit=8) == {DUCKDB: 1, SNOWFLAKE: 1}
    assert demand.containers(0.1 + CROWDS_S, limit=8) == {DUCKDB: 1}
    assert demand.containers(100 * CROWDS_S, limit=8) == {DUCKDB: 1}


def test_within_a_low_limit_kinds_take_turns_the_last_used_first() -> None:
    demand = Demand()
    crowd(demand, SNOWFLAKE, 2, 0.0)
    crowd(demand, DUCKDB, 40, 1.0)
    assert demand.containers(2.0, limit=1) == {DUCKDB: 1}
    assert demand.containers(2.0, limit=3) == {DUCKDB: 2, SNOWFLAKE: 1}
    assert demand.containers(2.0, limit=10) == {DUCKDB: 8, SNOWFLAKE: 2}
    assert demand.containers(2.0, limit=0) == {}


def test_a_kind_without_an_adapter_is_replaced_by_known_ones() -> None:
    demand = Demand()
    demand.expect(ANY, 0.0)
    assert demand.containers(1.0, limit=2) == {ANY: 1}
    demand.begin(DUCKDB, 2.0)
    assert demand.containers(3.0, limit=2) == {DUCKDB: 1}


@given(st.lists(st.tuples(st.sampled_from([DUCKDB, SNOWFLAKE]), st.booleans(), st.floats(0, 200)), max_size=40), st.integers(0, 6))
def test_never_more_than_the_limit_or_than_the_largest_crowd(jobs: list[tuple[WarmKind, bool, float]], limit: int) -> None:
    demand, now_s = Demand(), 0.0
    running = dict.fromkeys((DUCKDB, SNOWFLAKE), 0)
    began: list[tuple[WarmKind, float]] = []
    largest = dict(running)
    for kind, begins, after_s in jobs:
        now_s += after_s
        if begins:
            demand.begin(kind, now_s)
            running[kind] += 1
            began.append((kind, now_s))
            largest[kind] = max(largest[kind], sum(one == kind and now_s - at_s <= CROWD_S for one, at_s in began))
        elif running[kind]:
            demand.end(kind, now_s)
            running[kind] -= 1
        assert demand.running == sum(running.values())
        wanted = demand.containers(now_s, limit)
        assert sum(wanted.values()) == min(limit, sum(largest.values()))
        assert all(1 <= count <= largest[kind] for kind, count in wanted.items())
        # Nobody gets two before somebody else has one.
        assert len(wanted) == min(limit, sum(count > 0 for count in largest.values()))
