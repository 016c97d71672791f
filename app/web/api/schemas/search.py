"""Search, in requests and responses."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from app.lineage.search.matches import MatchedField
from app.lineage.search.queries import FILTERS, MAX_QUERY, MAX_TERMS
from app.web.api.schemas.common import Model, Page, Paged, Text, example
from app.web.api.schemas.lineages import HEAD, ORDERS

FOUND: dict[str, Any] = {
    "connection_id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "repository": "octo/shop",
    "project_dir": "transform",
    "project_name": "shop",
    **{name: ORDERS[name] for name in ("unique_id", "resource_type", "name", "description", "tags", "owner", "original_file_path")},
    "column": None,
    "matched": "name",
    "sha": HEAD,
}
WORDS = (
    f"Words, at most {MAX_TERMS}: a result has all of them, or words that begin with them, in its name, columns, tags, owner, path or "
    f"description. Filters are words too: {', '.join(f'`{name}:`' for name in FILTERS)} and a value, as in `type:model`"
)


class SearchParameters(Paged):
    """What to search for, and where."""

    q: Annotated[Text, StringConstraints(max_length=MAX_QUERY), Field(description=WORDS)]
    connection: Annotated[UUID | None, Field(description="Only in this connection (UUID)")] = None


class SearchResult(Model):
    """A node of a connection's lineage."""

    model_config = example(**FOUND)

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    project_dir: Annotated[str | None, Field(description="Directory of the project, empty for the repository's root")]
    project_name: Annotated[str | None, Field(description="`name` in `dbt_project.yml`")]
    sha: Annotated[str, Field(description="Commit of the connection's lineage")]
    unique_id: Annotated[str, Field(description="dbt's id of the node")]
    resource_type: Annotated[str, Field(description="dbt's resource type")]
    name: Annotated[str, Field(description="dbt's name of the node")]
    column: Annotated[str | None, Field(description="The column that matches best; null: no column was searched for, or none matched")]
    description: Annotated[str, Field(description="The beginning of its description, or the part with the words: 200 characters")]
    tags: Annotated[list[str], Field(description="dbt's tags, at most 20")]
    owner: Annotated[str | None, Field(description="Who owns it; null: nobody is named")]
    original_file_path: Annotated[str, Field(description="Its file, relative to the project's directory")]
    matched: Annotated[MatchedField, Field(description="Where the words were found: of several places, the one that counts least")]


class SearchPage(Page[SearchResult]):
    """Results, the best first."""

    cut: Annotated[bool, Field(description="True: so much begins with these words that some was not looked at; add letters or words")]
