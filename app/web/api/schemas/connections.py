"""Connections and their settings, in requests and responses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from app.core.models.connections import Connection, State
from app.core.yaml_text import join
from app.pipeline.connection_rules import INVALID_BRANCH, is_branch
from app.project.checkout import is_clean
from app.web.api.schemas.common import Body, Model, Page, Paged, Text, Time, example
from app.web.api.schemas.extractions import EXTRACTION, ExtractionView

CONNECTION: dict[str, Any] = {
    "id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "repository": "octo/shop",
    "repository_id": "1296269",
    "private": True,
    "project_dir": "transform",
    "project_name": "shop",
    "branch": "main",
    "created_at": "2026-11-02T09:00:00Z",
    "head_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    "lineage_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    "extracted_at": "2026-11-02T09:00:09Z",
    "state": "current",
    "stale": False,
    "stale_reason": None,
    "stale_since": None,
    "lag_seconds": 0.0,
    "settings": {"project_dir": None, "branch": None},
}
NO_DIRECTORY = "^/|[\\x00-\\x1f\\x7f\\\\]|(^|/)\\.\\.(/|$)|(^|/)\\.git(/|$)"
MAX_BRANCH, MAX_DIRECTORY = 255, 400
"""Characters; at four bytes each, both together fit into one row of an index."""
WHICH_DIRECTORY = (
    "The directory of `dbt_project.yml`, relative to the root of the repository; empty for the root. Null: the first extraction finds it"
)
WHICH_BRANCH = "The branch to follow. Null: the repository's default branch, even when that changes"


def _branch(name: str) -> str:
    if not is_branch(name):
        msg = "must be a valid branch name in git"
        raise ValueError(msg)
    return name


def directory(path: str) -> str:
    """Normalize a directory of a repository; empty for the root. Raises ValueError."""
    cleaned = join("", path) if ".." not in path.split("/") else None
    if cleaned is None or "\\" in path or (cleaned and not is_clean(cleaned)):
        msg = "must be a directory relative to the root of the repository, such as `transform/shop`, or `.` for the root"
        raise ValueError(msg)
    return cleaned


Branch = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_BRANCH),
    AfterValidator(_branch),
    Field(json_schema_extra={"not": {"pattern": INVALID_BRANCH}}),
]
Directory = Annotated[
    str,
    StringConstraints(max_length=MAX_DIRECTORY),
    AfterValidator(directory),
    Field(json_schema_extra={"not": {"pattern": NO_DIRECTORY}}),
]
FullName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$")]


class ConnectRequest(Body):
    """Which project to follow."""

    model_config = example(repository="octo/shop", project_dir="transform", branch="release")

    repository: Annotated[FullName, Field(description="`owner/name` of a repository that the App is installed on, in any case")]
    project_dir: Annotated[Directory | None, Field(description=WHICH_DIRECTORY)] = None
    branch: Annotated[Branch | None, Field(description=WHICH_BRANCH)] = None


class ChangeRequest(Body):
    """The settings to change. Fields that are left out stay as they are; null lets Freshet decide."""

    model_config = example(branch="release")

    project_dir: Annotated[Directory | None, Field(description=WHICH_DIRECTORY)] = None
    branch: Annotated[Branch | None, Field(description=WHICH_BRANCH)] = None


class ConnectionSettingsView(Model):
    """What somebody set explicitly; null where Freshet decides."""

    project_dir: Annotated[str | None, Field(description="Null: the directory in which Freshet finds the project")]
    branch: Annotated[str | None, Field(description="Null: the repository's default branch, even when that changes")]


class ConnectionsQuery(Paged):
    """Filters; a connection has to match all of them."""

    owner: Annotated[Text | None, Field(description="Account on GitHub that owns the repository, in any case")] = None
    repository: Annotated[Text | None, Field(description="`owner/name` of the repository, in any case")] = None
    q: Annotated[Text | None, Field(description="Part of the repository's name, the project's name or its directory, in any case")] = None


class ConnectionView(Model):
    """One connection."""

    model_config = example(**CONNECTION)

    id: Annotated[str, Field(description="UUID of the connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub; follows a rename or transfer")]
    repository_id: Annotated[str, Field(description="GitHub's id of the repository; never changes")]
    private: Annotated[bool, Field(description="False: the repository is public, and any valid token may read the connection")]
    project_dir: Annotated[
        str | None,
        Field(description="Directory of `dbt_project.yml`, empty for the repository's root; null until the first extraction has found it"),
    ]
    project_name: Annotated[str | None, Field(description="`name` in `dbt_project.yml`; null until there is a lineage")]
    branch: Annotated[str | None, Field(description="The followed branch; null while GitHub has not reported the default branch")]
    created_at: Annotated[Time, Field(description="When the connection was created")]
    head_sha: Annotated[str | None, Field(description="Newest known commit of the followed branch; null while none is known")]
    lineage_sha: Annotated[str | None, Field(description="Commit of the connection's lineage; null until an extraction has succeeded")]
    extracted_at: Annotated[Time | None, Field(description="When that lineage was stored; null while there is none")]
    state: Annotated[
        State,
        Field(
            description="`current`: the lineage is that of `head_sha`; `updating`: `head_sha` is being extracted; `stale`: it is behind "
            "for another reason, or for longer than 10 minutes; `failed`: the extraction of `head_sha` failed; `never`: no lineage yet"
        ),
    ]
    stale: Annotated[bool, Field(description="True: the lineage is not that of `head_sha`, and `state` is not `updating`")]
    stale_reason: Annotated[str | None, Field(description="Why it is behind `head_sha`, in a few words; null when it is not")]
    stale_since: Annotated[Time | None, Field(description="Since when it has been behind `head_sha`; null when it is not")]
    lag_seconds: Annotated[float, Field(description="Seconds since `stale_since`; 0 when it is not behind")]
    settings: Annotated[ConnectionSettingsView, Field(description="What somebody set explicitly")]

    @classmethod
    def fields_of(cls, connection: Connection) -> dict[str, Any]:
        """Field values; subclasses add their own."""
        return {
            "id": connection.id,
            "repository": connection.repository.full_name,
            "repository_id": str(connection.repository.id),
            "private": connection.repository.private,
            "project_dir": connection.project_dir,
            "project_name": connection.project_name,
            "branch": connection.followed_branch,
            "created_at": connection.created_at,
            "head_sha": connection.head_sha,
            "lineage_sha": connection.lineage_sha,
            "extracted_at": connection.extracted_at,
            "state": connection.state(),
            "stale": connection.stale,
            "stale_reason": connection.stale_reason,
            "stale_since": connection.stale_since,
            "lag_seconds": connection.lag_s(datetime.now(UTC)),
            "settings": ConnectionSettingsView(project_dir=connection.project_dir if connection.manual else None, branch=connection.branch),
        }


class ConnectionPage(Page[ConnectionView]):
    """One page of connections."""

    notes: Annotated[list[str], Field(description="Only there if the filter `repository` matches nothing: it says so")] = []  # noqa: RUF012 - pydantic copies it


class ConnectionDetail(ConnectionView):
    """One connection with its newest extraction."""

    model_config = example(**CONNECTION, last_extraction=EXTRACTION)

    last_extraction: Annotated[
        ExtractionView | None, Field(description="The newest extraction, of any branch; null while none has been queued")
    ]
