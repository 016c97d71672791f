"""The page of search: the form in the header of every page leads here, without JavaScript too."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlencode

from aiohttp import web
from pydantic import Field

from app.lineage.search.queries import FILTERS
from app.web.api.schemas.common import Whole
from app.web.api.schemas.search import SearchPage, SearchParameters, SearchResult
from app.web.api.search import search
from app.web.http import requests
from app.web.http.problems import HttpProblem
from app.web.pages import frame, visitor

RESULTS = 25


class SearchForm(SearchParameters):
    """The form; empty: nothing is searched for yet."""

    q: str = ""
    limit: Annotated[Whole, Field(ge=1, le=RESULTS)] = RESULTS


async def show(request: web.Request) -> web.Response:
    """`GET /search`."""
    await visitor.of(request)
    asked = requests.query(request, SearchForm)
    page: SearchPage | None = None
    problem = None
    try:
        if asked.q.strip():
            page = await search(await visitor.call(request, SearchParameters.model_validate(asked.model_dump())))
    except HttpProblem as error:
        if error.more.get("field") != "q":
            raise
        problem = error.detail
    context = {
        "asked": asked,
        "results": page,
        "problem": problem,
        "filters": FILTERS,
        "link": lambda result: frame.url_for(request, _path(result)),
        "following": None if page is None or page.next_cursor is None else _following(asked, page.next_cursor),
    }
    return frame.render(request, "search.html", context, status=200 if problem is None else 400)


def _path(result: SearchResult) -> str:
    return f"/connections/{result.connection_id}/nodes/{quote(result.unique_id, safe='')}"


def _following(asked: SearchForm, cursor: str) -> str:
    connection = {} if asked.connection is None else {"connection": str(asked.connection)}
    return urlencode({"q": asked.q, **connection, "cursor": cursor})
