"""`make demo`: install the App, push, show the lineage, push again and to another branch, show what both changes do.

`--serve` adds a second repository, and keeps the pages up afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.tree import Tree

from app.core.interruption import InterruptedBySignal, heard, until_interrupted
from app.core.models.quality import DIMENSIONS
from app.core.plurals import count
from app.lineage.graph import Graph, GraphNode
from app.lineage.impact.model import Impact
from app.lineage.resource_types import in_order, label
from app.reports import impact_listing
from app.reports.column_words import FROM
from app.reports.impact_places import Places
from app.service.commands.extract_columns import print_lines
from demo import agent, nightly, second_push, side_push
from demo import serving as serving_demo
from tests.double import CheckRun, GitHubDouble, Repository
from tests.service import Service, serving

PROJECT = Path(__file__).parent / "project"
REPOSITORY = "acme/bikes"
FOLDER = "transform"
NODE, COLUMN = "bike_profitability", "profit_eur"
COLUMN_PATH = f"columns?node={NODE}&column={COLUMN}&direction=upstream"
PUSH_TIMEOUT_S = 180.0

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep running afterwards, until Ctrl-C")
    parser.add_argument("--port", type=int, default=serving_demo.PORT, help="where the pages are, with --serve (%(default)s)")
    options = parser.parse_args()
    try:
        return asyncio.run(until_interrupted(_demo(options.port if options.serve else None)))
    except InterruptedBySignal as interruption:
        return interruption.status
    except (RuntimeError, TimeoutError) as error:
        console.print(f"\nThe demo failed: {error}", style="red", markup=False)
        return 1


async def _demo(port: int | None) -> int:
    """With a `port`, keep the pages up there."""
    began = time.monotonic()
    if port is not None:
        serving_demo.require_port(port)
    with tempfile.TemporaryDirectory(prefix="freshet-demo-") as directory:
        _say("1. Starting a stand-in for GitHub, and Freshet with its own PostgreSQL")
        async with (
            GitHubDouble() as github,
            serving(github, Path(directory), port=port, with_client=port is not None, FRESHET_OPERATORS=serving_demo.PERSON) as service,
        ):
            console.print(f"   Freshet: {service.url}, the stand-in for GitHub: {github.server_url}")
            works = await _walk(github, service)
            if port is not None and works:
                first = next(one for one in github.state.repositories.values() if one.full_name == REPOSITORY)
                works = await serving_demo.second_repository(github, first, service, console, _follow)
                await _stay(github, service)
    console.print(
        f"\nDone in {time.monotonic() - began:.0f} s. Everything that the demo started is stopped." if works else "\nThe demo failed."
    )
    return 0 if works else 1


async def _walk(github: GitHubDouble, service: Service) -> bool:
    repository = await github.create_repository(REPOSITORY, {"README.md": "Bicycles for rent.\n"})
    files = {f"{FOLDER}/{path.relative_to(PROJECT)}": path.read_bytes() for path in sorted(PROJECT.rglob("*")) if path.is_file()}
    first = await github.push(repository, files, message="Add the dbt project", deliver=False)

    _say(f"2. Installing the App on {REPOSITORY}, whose newest commit {first[:7]} has a dbt project in {FOLDER}/")
    await github.install("acme", [repository])
    if not _succeeded(await _follow(github, repository, first)):
        return False
    connection = await service.connection(REPOSITORY)
    before = await service.get(f"/connections/{connection['id']}/lineage")
    _show_lineage(before)
    _show_column(await service.get(f"/connections/{connection['id']}/{COLUMN_PATH}"))

    changed = {f"{FOLDER}/{path}": content for path, content in second_push.FILES.items()}
    second = await github.push(repository, changed, message=second_push.MESSAGE)
    _say(f"3. Pushed {second[:7]}: {second_push.MESSAGE}")
    if not _succeeded(await _follow(github, repository, second)):
        return False
    after = await service.get(f"/connections/{connection['id']}/lineage")
    _show_lineage(after)
    await _show_impact(service, connection["id"], before, after)
    _show_quality(await service.get(f"/connections/{connection['id']}/quality"))
    await agent.ask(service, console, REPOSITORY)

    renamed = {f"{FOLDER}/{path}": content for path, content in side_push.FILES.items()}
    third = await github.push(repository, renamed, branch=side_push.BRANCH, message=side_push.MESSAGE)
    _say(f"4. Pushed {third[:7]} to the branch {side_push.BRANCH}: {side_push.MESSAGE}")
    if not _succeeded(await _follow(github, repository, third)):
        return False
    await _show_impact(service, connection["id"], after, await service.get(f"/connections/{connection['id']}/lineage", sha=third))
    await _show_results(service, connection["id"], after)
    if github.violations:
        console.print("Requests that violate GitHub's schema:", *github.violations, sep="\n  ", style="red")
    return not github.violations


async def _follow(github: GitHubDouble, repository: Repository, sha: str) -> CheckRun:
    """Print the states of a check run until it is completed."""
    began, shown = time.monotonic(), 0
    while time.monotonic() - began < PUSH_TIMEOUT_S:
        for run in github.check_runs(repository, sha):
            for step in run.history[shown:]:
                ended = f" → {step.conclusion}" if step.conclusion else ""
                console.print(
                    f"   {time.monotonic() - began:5.1f} s  check run “{run.name}”: {step.status}{ended}: {step.title}", markup=False
                )
            shown = len(run.history)
            if run.status == "completed":
                return run
        await asyncio.sleep(0.05)
    raise TimeoutError(f"no check run of {sha[:7]} completed within {PUSH_TIMEOUT_S:.0f} s")


def _succeeded(run: CheckRun) -> bool:
    if run.conclusion not in {"success", "neutral"}:
        console.print(run.summary or "", markup=False)
        return False
    stages = itertools.takewhile(bool, (run.summary or "").partition("| stage |")[2].splitlines()[2:])
    console.print("           " + ", ".join(" ".join(line.strip("| ").split(" | ")) for line in stages), markup=False)
    return True


def _show_lineage(lineage: dict[str, Any]) -> None:
    counts: dict[str, int] = {}
    for node in lineage["nodes"]:
        counts[node["resource_type"]] = counts.get(node["resource_type"], 0) + 1
    console.print(
        f"\n   The lineage of {lineage['sha'][:7]}: " + ", ".join(count(number, label(kind)) for kind, number in in_order(counts).items()),
        f"and {count(len(lineage['edges']), 'edge')}\n",
    )
    console.print(_tree(lineage))


def _tree(lineage: dict[str, Any]) -> Tree:
    """The upstream nodes of the exposures, each once."""
    upstream: dict[str, list[str]] = {}
    for edge in lineage["edges"]:
        upstream.setdefault(edge["downstream"], []).append(edge["upstream"])
    names = {node["unique_id"]: f"{node['name']} [dim]{node['resource_type']}[/dim]" for node in lineage["nodes"]}
    seen: set[str] = set()

    def grow(branch: Tree, unique_id: str) -> None:
        again = unique_id in seen and upstream.get(unique_id)
        seen.add(unique_id)
        twig = branch.add(names[unique_id] + (" …" if again else ""))
        for parent in () if again else upstream.get(unique_id, ()):
            grow(twig, parent)

    root = Tree("   upstream of the exposures")
    for node in lineage["nodes"]:
        if node["resource_type"] == "exposure":
            grow(root, node["unique_id"])
    return root


def _show_column(columns: dict[str, Any]) -> None:
    """The columns that one column is made of, up to its sources."""
    if columns["columns_state"] != "ready":
        console.print(f"\n   There are no columns: {columns['columns_reason']}", markup=False)
        return
    upstream: dict[tuple[str, str], list[tuple[tuple[str, str], str]]] = {}
    rows: set[tuple[str, str]] = set()
    for edge in columns["edges"]:
        above, below = ((end["unique_id"], end["column"]) for end in (edge["upstream"], edge["downstream"]))
        if below[1] is None:
            rows.add(above)
        else:
            upstream.setdefault(below, []).append((above, FROM.get(edge["subtype"], f"{edge['subtype']} ")))

    def grow(branch: Tree, column: tuple[str, str]) -> None:
        for parent, words in upstream.get(column, ()):
            kind, _, node = parent[0].split(".", 2)
            end = "" if parent in upstream else f" [dim]{kind}[/dim]"
            grow(branch.add(f"[dim]{words}[/dim]{node}.{parent[1]}{end}"), parent)

    root = Tree(f"   {NODE}.{COLUMN}, to its sources")
    for start in upstream:
        if start[0].endswith(f".{NODE}"):
            grow(root, start)
    console.print(f"\n   One column: GET …/{COLUMN_PATH}\n", markup=False)
    console.print(root)
    console.print(f"   {count(len(rows), 'column')} on the way decide which rows there are")


def _show_quality(found: dict[str, Any]) -> None:
    """The score, what it is made of, and what the push changed of it."""
    console.print("\n   How well it is described, tested and owned: GET …/quality\n", markup=False)
    before = f", {found['changes']['score']} before the push" if found["changes"] else ""
    console.print(f"   [bold]{found['score']}[/bold] of 100{before}")
    for one in found["counts"].values():
        console.print(f"   {one['satisfied']:3} of {one['total']:3}  {one['description']}", markup=False)
    for one in (found["changes"] or {"items": []})["items"]:
        words = DIMENSIONS[one["dimension"]].lacks[abs(one["missing"]) != 1]
        number, comparison = abs(one["missing"]), "more" if one["missing"] > 0 else "fewer"
        console.print(f"   {one['unique_id']}: {number} {comparison} {words}", markup=False)
    for one in found["findings"].values():
        if one["count"]:
            console.print(f"   {one['count']:3} {one['description']}: {one['items'][0]['subject']}", markup=False)


async def _show_impact(service: Service, connection_id: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """What the commits between two lineages do, reach and break."""
    path = f"impact?base={before['sha'][:7]}&head={after['sha'][:7]}"
    found = msgspec.convert(await service.get(f"/connections/{connection_id}/{path}"), Impact)
    console.print(f"\n   What it does: GET …/{path}\n", markup=False)
    places = Places(_graph(after), _graph(before), FOLDER, after["project_name"])
    print_lines(console, impact_listing.lines(found, before["sha"], places))


async def _show_results(service: Service, connection_id: str, lineage: dict[str, Any]) -> None:
    """What a night of dbt's own runs said."""
    _say("5. The job that runs dbt at night sends its run_results.json: POST …/results")
    sent = await service.post(f"/connections/{connection_id}/results", nightly.artifact(lineage), status=200)
    console.print(f"   {sent['taken']} of {count(sent['results'], 'result')} taken")
    for one in (await service.get(f"/connections/{connection_id}/results", state="failed"))["items"]:
        console.print(f"   {one['unique_id']}: {one['status']}: {one['message']}", markup=False)


def _graph(lineage: dict[str, Any]) -> Graph:
    nodes = [
        GraphNode(node["unique_id"], node["resource_type"], node["name"], node["package_name"], msgspec.json.encode(node))
        for node in lineage["nodes"]
    ]
    upstream: dict[str, list[str]] = {node.unique_id: [] for node in nodes}
    for edge in lineage["edges"]:
        upstream[edge["downstream"]].append(edge["upstream"])
    return Graph(nodes, [*upstream.values()])


async def _stay(github: GitHubDouble, service: Service) -> None:
    github.sign_in(serving_demo.PERSON, dict.fromkeys(github.state.repositories.values(), "push"))
    connection = await service.connection(REPOSITORY)
    paths = [
        ("lineage", "lineage"),
        ("upstream of a model", "lineage?focus=%2Bfct_rentals"),
        ("one node", "nodes/fct_rentals"),
        ("what a column is made of", COLUMN_PATH),
        ("quality", "quality"),
        ("tests that failed", "results?state=failed"),
        ("what a branch changes", f"impact?head={side_push.BRANCH}"),
    ]
    found = await serving_demo.links(github, service, REPOSITORY, NODE, COLUMN)
    serving_demo.show_links(console, found, f"{service.url}/api/metadata/connections/{connection['id']}", paths)
    stop = asyncio.Event()
    for number in heard():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _say(text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


if __name__ == "__main__":
    sys.exit(main())
