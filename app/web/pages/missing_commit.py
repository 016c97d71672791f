"""What the explorer and the page of a node show where a commit has no lineage: none yet, not any more, or several commits are meant."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from app.core.models.connections import Connection
from app.web.api.lineage import COMMIT_AMBIGUOUS, LINEAGE_NOT_FOUND
from app.web.http.problems import HttpProblem
from app.web.pages import frame

TITLES = (LINEAGE_NOT_FOUND, COMMIT_AMBIGUOUS)


def page(request: web.Request, connection: Connection, problem: HttpProblem, address_of: Callable[[str, str | None], str]) -> web.Response:
    """The page. `address_of(PARAMETER, COMMIT)` leads to what was asked for, at another commit. Raises what is another problem."""
    if problem.title not in TITLES:
        raise problem
    field = problem.more.get("field")
    if not isinstance(field, str):
        return frame.render(request, "explorer_empty.html", {"connection": connection})
    detail, commits = problem.detail.removeprefix(f"`{field}`: "), problem.more.get("candidates")
    context = {
        "connection": connection,
        "detail": f"{detail[:1].upper()}{detail[1:]}",
        "newest": address_of(field, None),
        "commits": [(address_of(field, sha), sha) for sha in (commits if isinstance(commits, list) else ())],
        "status": problem.status,
    }
    return frame.render(request, "commit_missing.html", context, status=problem.status)
