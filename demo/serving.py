"""`make demo-serve`: a second repository that reads a table of the first one, a failing push, and links to all that there is to see."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from rich.console import Console

from demo import parking
from tests.double import CheckRun, GitHubDouble, Repository
from tests.service import TOKEN, Service

PORT = 3111
PERSON = "you"
"""Who is signed in on the stand-in for GitHub, and operates the service."""

Follow = Callable[[GitHubDouble, Repository, str], Awaitable[CheckRun]]


def require_port(port: int) -> None:
    """Raise RuntimeError that says what to do if somebody else listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"port {port} of 127.0.0.1 is not free ({error.strerror}), perhaps because of another `make demo-serve`"
            raise RuntimeError(f"{reason}. Stop that one, or choose a port: make demo-serve PORT={port + 1}") from error


async def second_repository(github: GitHubDouble, first: Repository, service: Service, console: Console, follow: Follow) -> bool:
    """Add the App to a second repository, push there, read a table of the first one, and push what dbt cannot parse."""
    repository = await github.create_repository(parking.REPOSITORY, {"README.md": parking.README})
    added = await github.push(repository, parking.FILES, message=parking.MESSAGE, deliver=False)
    [installation] = github.state.installations.values()
    await github.add_repositories(installation, [repository])
    console.print(f"\n[bold]6. Adding {parking.REPOSITORY} to the installation: it reads a table of {first.full_name}[/bold]")
    works = (await follow(github, repository, added)).conclusion == "success"
    for hosted, files, message in (
        (first, parking.NAMES, parking.NAMES_MESSAGE),
        (repository, parking.STATIONS, parking.STATIONS_MESSAGE),
    ):
        works &= (await follow(github, hosted, await github.push(hosted, files, message=message))).conclusion == "success"
    await _show_joins(service, first.full_name.partition("/")[0], console)
    console.print(f"\n[bold]7. Pushing to {parking.REPOSITORY} what dbt cannot parse[/bold]")
    broken = await github.push(repository, parking.BROKEN, message=parking.BROKEN_MESSAGE)
    return works and (await follow(github, repository, broken)).conclusion == "failure"


async def _show_joins(service: Service, owner: str, console: Console) -> None:
    console.print(f"\n   How the projects of {owner} are joined: GET /api/metadata/graph?owner={owner}")
    for join in (await service.get("/graph", owner=owner))["joins"]:
        certainty = "certain" if join["certain"] else "perhaps"
        console.print(f"   {join['upstream']} → {join['downstream']} ({certainty}: {join['detail']})", markup=False)


async def links(github: GitHubDouble, service: Service, repository: str, node: str, column: str) -> list[tuple[str, str]]:
    """What there is to see, and where."""
    connection = await service.connection(repository)
    page = f"{service.url}/connections/{connection['id']}"
    found = (await service.get(f"/connections/{connection['id']}/nodes/{node}"))["unique_id"]
    pages = {hosted.full_name: github.check_runs(hosted)[-1].details_url or "" for hosted in github.state.repositories.values()}
    return [
        ("sign in, and see the repositories", f"{service.url}/sign-in"),
        ("one of them, with its history", page),
        ("its lineage", f"{page}/lineage"),
        ("one node and its neighbors", f"{page}/lineage?node={node}"),
        ("the way of a column to its sources", f"{page}/lineage?node={node}&column={column}"),
        ("a node's page", f"{page}/nodes/{quote(found)}"),
        ("search", f"{service.url}/search?q=rental"),
        ("the branch that breaks something", pages[repository]),
        ("the push that dbt cannot parse", pages[parking.REPOSITORY]),
        ("the whole service, for operators", f"{service.url}/operations"),
        ("the App's state", f"{service.url}/setup"),
        ("the API", f"{service.url}/docs"),
    ]


def show_links(console: Console, found: list[tuple[str, str]], api: str, paths: list[tuple[str, str]]) -> None:
    """Print the links, and requests for the terminal."""
    width = max(len(name) for name, _ in found)
    console.print(f"\n[bold]8. Running until Ctrl-C: open {found[0][1]}[/bold]")
    console.print(f"   Each link leads through sign-in: you are “{PERSON}” on the stand-in for GitHub, which sends you back at once.\n")
    for name, address in found:
        console.print(f"   {name:{width}}  {address}", markup=False)
    console.print("\n   The same for programs:")
    for name, path in paths:
        console.print(f"   {name}: curl -H 'Authorization: Bearer {TOKEN}' '{api}/{path}'", markup=False)
