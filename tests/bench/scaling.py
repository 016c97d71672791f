"""How far Freshet scales, simulated with measured costs: `python -m tests.bench.scaling [--write]`.

10,000 repositories of 500 installations push to deployments of several sizes, an hour each, with the queue's own rules
(`queue_simulation`) and what an extraction was measured to cost (`measured`). It takes about a minute; the numbers do not depend on the
machine. `--write` updates the tables of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench import measured
from tests.bench.simulation import REPOSITORIES, Deployment, Result, Simulation

PAGE = Path(__file__).parents[2] / "docs/scaling.md"
LOAD = 300.0
"""Pushes a minute."""
HOUR_S = 3600.0
DEPLOYMENTS = (
    Deployment("one host, 2 cores, 8 GiB", 1, 2, 12),
    Deployment("one host, 8 cores, 16 GiB", 1, 8, 24),
    Deployment("one host, 32 cores, 64 GiB", 1, 32, 64),
    Deployment("ten hosts, 8 cores, 16 GiB each", 10, 8, 24),
    Deployment("300 nodes: two services, 256 pods each", 2, 256, 64, spare=88.0),
)
RATES = tuple(round(20 * 1.25**step, -1) for step in range(28))
"""Pushes a minute that are tried, from 20 on, each a quarter more than the one before."""
MOST_GIB = {"manifests": REPOSITORIES * (64 << 20) / (1 << 30)}
"""What a table has at most: a connection keeps 64 MiB of older manifests."""
ENOUGH_S = 30.0
"""A rate is sustained if 95 of 100 pushes have their result within this time, and the backlog does not grow."""


def simulate(deployment: Deployment, per_minute: float = LOAD, simulated_s: float = HOUR_S) -> Result:
    """One hour, always with the same pushes."""
    return Simulation(deployment, per_minute, simulated_s).run()


def sustained(deployment: Deployment) -> Result:
    """At the highest rate that is sustained."""
    low, high = 0, len(RATES)
    found = None
    while low < high:
        middle = (low + high) // 2
        result = simulate(deployment, RATES[middle], HOUR_S / 3)
        if result.keeps_up and result.quantile(0.95) <= ENOUGH_S:
            low, found = middle + 1, result
        else:
            high = middle
    assert found is not None
    return found


def load_row(result: Result) -> str:
    """A row about a given load."""
    counts, parsed = result.counts, result.counts["unknown"] + result.counts["known"]
    cells = [
        result.deployment.name,
        *(f"{result.quantile(share):,.1f} s" for share in (0.5, 0.95, 0.99)),
        f"{result.utilisation:.0%}",
        f"{result.most_running}",
        f"{memory_gib(result):.0f} GiB",
        f"{counts['unknown'] / max(parsed, 1):.0%}",
        f"{statements(result):,.0f}",
        f"{result.lock_share:.0%}",
    ]
    if not result.keeps_up:
        cells[1:4] = [f"falls behind by {result.left:,} an hour", "–", "–"]
    return f"| {' | '.join(cells)} |"


def sustained_row(result: Result) -> str:
    """A row about the highest load."""
    limit = "claims" if result.lock_share > 0.5 and result.utilisation < 0.7 else "cores"
    cells = [
        result.deployment.name,
        f"**{result.per_minute:,.0f}**",
        *(f"{result.quantile(share):,.1f} s" for share in (0.5, 0.95, 0.99)),
        f"{result.utilisation:.0%}",
        f"{result.lock_share:.0%}",
        limit,
    ]
    return f"| {' | '.join(cells)} |"


def memory_gib(result: Result) -> float:
    """Of all hosts, at the busiest moment: containers that run and wait, and the processes themselves."""
    mib = result.most_running * measured.RUNNING_MIB + result.most_warm * measured.WARM_MIB + result.deployment.hosts * measured.SERVICE_MIB
    return mib / 1024


def statements(result: Result) -> float:
    """Of PostgreSQL, a second."""
    done = len(result.waited_s) / result.simulated_s
    empty = result.counts["empty"] / result.simulated_s * measured.EMPTY_CLAIM_STATEMENTS
    return done * measured.of_mix(**measured.STATEMENTS) + empty + result.deployment.hosts * measured.IDLE_STATEMENTS_S


def load_table() -> str:
    """What `LOAD` is like for each deployment."""
    head = (
        "| | p50 | p95 | p99 | places used | running at most | memory at most | full parses | statements a second | lock of claims |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    return "\n".join([head, *(load_row(simulate(deployment)) for deployment in DEPLOYMENTS)])


def sustained_table() -> str:
    """The highest load of each deployment."""
    head = "| | pushes a minute | p50 | p95 | p99 | places used | lock of claims | limit |\n|---|--:|--:|--:|--:|--:|--:|---|"
    return "\n".join([head, *(sustained_row(sustained(deployment)) for deployment in DEPLOYMENTS)])


def disk_table() -> str:
    """Rows and bytes of a month at `LOAD`."""
    pushes = LOAD * 60 * 24 * 30
    head = "| table | rows a push | bytes a push | a month of 300 pushes a minute | 90 days |\n|---|--:|--:|--:|--:|"
    lines, total, gib = [], 0.0, {1: 0.0, 3: 0.0}
    for name, (rows, stored) in measured.STORED.items():
        bytes_ = measured.of_mix(**stored)
        total += bytes_
        month, months = (min(number * pushes * bytes_ / (1 << 30), MOST_GIB.get(name, math.inf)) for number in (1, 3))
        gib[1] += month
        gib[3] += months
        lines.append(
            f"| `{name}` | {rows:g} | {bytes_:,.0f} | {pushes * rows / 1e6:,.0f} million rows, {month:,.0f} GiB | {months:,.0f} GiB |"
        )
    lines.append(f"| **all** | | {total:,.0f} | {gib[1]:,.0f} GiB | {gib[3]:,.0f} GiB |")
    return "\n".join([head, *lines])


TABLES = {"load": load_table, "sustained": sustained_table, "disk": disk_table}


def write(name: str, table: str) -> None:
    """Put a table between its markers in the page."""
    begin, end = markers(name)
    text = PAGE.read_text()
    PAGE.write_text(re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{table}\n\n{end}", text, flags=re.DOTALL))


def markers(name: str) -> tuple[str, str]:
    """Between which lines of the page a table is."""
    return f"<!-- {name}: made by `python -m tests.bench.scaling --write` -->", f"<!-- {name}: end -->"


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the tables to docs/scaling.md")
    options = parser.parse_args(arguments)
    for name, make in TABLES.items():
        table = make()
        print(f"{table}\n", flush=True)
        if options.write:
            write(name, table)


if __name__ == "__main__":
    main()
