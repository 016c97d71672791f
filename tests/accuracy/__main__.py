"""`make accuracy`: measure column lineage and impact, write the numbers into `docs/accuracy.md`, and fail where a target is missed.

python -m tests.accuracy [--queries 5000] [--watched 300] [--peers 1000] [--changes 1500] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from tests.accuracy import constructed, digests, observed, page, peers, projects
from tests.accuracy.engine import claims
from tests.accuracy.generator import Generated, queries, query
from tests.accuracy.hand import hand_set
from tests.accuracy.impact import generated, public, report
from tests.accuracy.metamorphic import MUTATIONS, mutations
from tests.accuracy.observed import Asked, Watch
from tests.accuracy.scores import percent

RIGHT, SURE, RUN = 0.97, 0.995, 0.8
"""Targets: precision and recall of each class of edges; precision of what is marked exact and certain; models that can be watched."""
DATABASES, TRIES = 2, 4


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.accuracy")
    for name, default in (("queries", 5000), ("watched", 300), ("peers", 1000), ("changes", 1500), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args(arguments)
    print(f"comparing {options.queries} generated queries", flush=True)
    compared = constructed.compare(queries(options.queries, options.seed))
    print(f"changing cells under the hand set and {options.watched} generated queries", flush=True)
    watched = watch(options.watched, options.seed)
    print("changing cells under whole projects, which runner containers read", flush=True)
    whole = projects.measure()
    print("changing texts", flush=True)
    changed = change(queries(options.watched * 4, options.seed))
    rewritten = digests.rewritten(queries(options.watched * 4, options.seed))
    own = (query(options.seed * 1_000_000 + number, "duckdb") for number in range(options.watched * 4))
    judged = digests.judged(own, digests.databases(DATABASES))
    print(f"changing {options.changes} small projects", flush=True)
    both = generated.measure(options.changes, options.seed * 1_000_000)
    print("editing public projects, which runner containers read before and after", flush=True)
    edited = public.measure(seed=options.seed)
    print(f"asking other readers about {options.peers} generated queries and the hand set", flush=True)
    others = {name: peers.standings(asked) for name, asked in peers.questions([*queries(options.peers, options.seed)]).items()}
    page.write(
        [
            page.constructed(compared),
            page.observed(watched),
            page.projects(whole),
            page.texts(changed),
            page.digests(rewritten, judged),
            peers.section(others),
            *report.sections(both, edited),
        ]
    )
    tell_missing(others, [*whole, *edited])
    watched |= {f"{one.name}, {name}": part for one in whole for name, part in one.parts.items()}
    run = {f"models watched of {one.name}": (one.direct.queries / one.models, RUN) for one in whole if not one.missing}
    impact = report.shares(both, edited)
    print(*report.faults(both, edited), sep="\n")
    return tell(
        {**shares(compared, watched), **run, "changes of the text": (unchanged(changed), 1.0), **of_digests(rewritten, judged), **impact},
        watched,
    )


def watch(count: int, seed: int) -> dict[str, Watch]:
    """Watch the hand set and generated queries; the last row judges what the construction says, not the engine."""
    databases = observed.oracles(DATABASES)
    written = [Asked(case.name, case.sql, case.edges) for case in hand_set()]
    made = [query(seed * 1_000_000 + number, "duckdb") for number in range(count)]
    asked = [Asked(one.duckdb, one.duckdb, constructed.truth_of(one)) for one in made]
    return {
        "the hand set": observed.watch(written, databases, TRIES),
        "generated": observed.watch(asked, databases, TRIES),
        "generated, the construction's own edges": observed.watch(asked, databases, TRIES, of_truth=True),
    }


def change(made: Iterable[Generated]) -> dict[str, tuple[int, int]]:
    """How many queries each change was made to, and how many have other edges then."""
    counts = dict.fromkeys(MUTATIONS, (0, 0))
    for one in made:
        known = claims(one.sql, one.dialect).edges
        for name, text in mutations(one.sql, one.dialect).items():
            count, differ = counts[name]
            counts[name] = (count + 1, differ + (claims(text, one.dialect).edges != known))
    return counts


def unchanged(changed: dict[str, tuple[int, int]]) -> float:
    """The share of changed texts with the same edges."""
    total = sum(count for count, _ in changed.values())
    return 1 - sum(differ for _, differ in changed.values()) / total


def of_digests(rewritten: dict[str, tuple[int, int]], judged: digests.Judged) -> dict[str, tuple[float, float]]:
    """What has targets: digests that stay where only the text changes, and those that DuckDB confirms."""
    for name, before, after in judged.wrong[:5]:
        print(f"equal digests, other results after {name}:\n{before}\n{after}")
    confirmed = 1 - len(judged.wrong) / max(1, judged.partly)
    return {"digests after changes of the text": (unchanged(rewritten), 1.0), "equal digests that DuckDB confirms": (confirmed, 1.0)}


def shares(compared: constructed.Compared, watched: dict[str, Watch]) -> dict[str, tuple[float, float]]:
    """What has targets: the share reached, and the target."""
    board = compared.boards["all"]
    found: dict[str, tuple[float, float]] = {}
    for name, tally in board.tallies.items():
        found |= {f"precision of {name}": (tally.precision, RIGHT), f"recall of {name}": (tally.recall, RIGHT)}
    found["precision of what is marked exact and certain"] = (board.sure.precision, SURE)
    found["the same, with open tables"] = (compared.opened.sure.precision, SURE)
    for name, seen in watched.items():
        found[f"row-set dependences seen in {name}"] = (seen.rows_covered / seen.rows if seen.rows else 1.0, RIGHT)
        found[f"value dependences seen in {name}"] = (seen.values_covered / seen.values if seen.values else 1.0, RIGHT)
    return found


def tell_missing(others: dict[str, list[peers.Standing]], whole: Iterable[projects.WatchedProject | public.EditedSides]) -> None:
    """Say aloud which readers could not be asked, and which projects could not be watched or edited."""
    for one in {one.name: one for standings in others.values() for one in standings if one.missing}.values():
        print(f"NOT MEASURED  {one.name}: {one.missing}")
    for project in whole:
        left_out = project.left_out if isinstance(project, projects.WatchedProject) else []
        for reason in [project.missing] if project.missing else left_out:
            print(f"NOT MEASURED  {project.name}: {reason}")


def tell(found: dict[str, tuple[float, float]], watched: dict[str, Watch]) -> int:
    """Print all shares and what no edge covers; 1 where a target is missed."""
    for name, (share, target) in found.items():
        print(f"{'reached' if share >= target else 'MISSED '}  {name}: {percent(share)} (target {percent(target)})")
    for name, seen in watched.items():
        for fault in seen.faults[:5]:
            print(f"not covered in {name}: {fault}")
    return 0 if all(share >= target for share, target in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
