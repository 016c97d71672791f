"""Break the service in every way that is listed, and audit what is left: `python -m tests.chaos [--only NAME] [--seed N] [--strikes N]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence

from tests.chaos import of_database, of_docker, of_github, of_process, of_replicas
from tests.chaos.fault import FAULTS, NEEDS_ROOT, Fault, Outcome

MODULES = (of_process, of_database, of_docker, of_github, of_replicas)


async def run(chosen: Sequence[Fault], seed: int, strikes: int | None) -> int:
    """Run faults one after the other; the exit status."""
    rows, wrong = [], 0
    for one in chosen:
        if one.needs == NEEDS_ROOT and os.geteuid() != 0:
            rows.append(f"| {one.says} | not run: needs {one.needs} | |")
            continue
        print(f"== {one.name} --seed {seed}", flush=True)
        began = time.monotonic()
        try:
            outcome = await one.run(seed, strikes or one.strikes)
        except Exception as error:  # noqa: BLE001 - the others still have to run
            outcome = Outcome(0, [f"{type(error).__name__}: {error}"])
        for text in outcome.violations:
            print(f"   {text}", flush=True)
        print(f"   {outcome.strikes} times, {len(outcome.violations)} violations, {time.monotonic() - began:.0f} s", flush=True)
        rows.append(f"| {one.says} | {outcome.strikes} | {len(outcome.violations)} |")
        wrong += bool(outcome.violations or not outcome.strikes)
    print("\n| fault | times | violations |\n|---|---|---|")
    print("\n".join(rows))
    return 1 if wrong else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strikes", type=int, default=None, metavar="N", help="of each fault, instead of its own number")
    options = parser.parse_args(arguments)
    chosen = [FAULTS[name] for name in options.only or FAULTS]
    return asyncio.run(run(chosen, options.seed, options.strikes))


if __name__ == "__main__":
    sys.exit(main())
