"""Load the service in every way, and print what was counted: `python -m tests.load [--only NAME]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence

from tests.load import deliveries, flatness, strangers, viewers
from tests.load.part import Outcome, Run

PARTS: Mapping[str, Run] = {
    "deliveries": deliveries.run,
    "viewers": viewers.run,
    "strangers": strangers.run,
    "stubbed-extractions": flatness.stubbed,
    "real-extractions": flatness.in_containers,
}


async def run(names: Sequence[str]) -> int:
    """Run parts one after the other; the exit status."""
    wrong, table = 0, ["| part | what | counted |", "|---|---|---|"]
    for name in names:
        print(f"== {name}", flush=True)
        try:
            outcome = await PARTS[name]()
        except Exception as error:  # noqa: BLE001 - the others still have to run
            outcome = Outcome(violations=[f"{type(error).__name__}: {error}"])
        table += [f"| {name} | {what} | {counted} |" for what, counted in outcome.rows]
        table.append(f"| {name} | violations | {len(outcome.violations)} |")
        for text in outcome.violations:
            print(f"   {text}", flush=True)
        wrong += bool(outcome.violations)
    print("\n".join(["", *table]))
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(PARTS), metavar="NAME", help=", ".join(PARTS))
    return asyncio.run(run(parser.parse_args().only or [*PARTS]))


if __name__ == "__main__":
    sys.exit(main())
