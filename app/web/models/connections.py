"""Connections as they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from app.following import NO_BRANCH, is_branch
from app.inference.project import is_clean
from app.jobs import Connection
from app.texts import join
from app.web.models.common import MAX_TEXT, Body, Model, Paged, Text, Time, example
from app.web.models.extractions import EXTRACTION, ExtractionView

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
    "stale": False,
    "stale_reason": None,
    "stale_since": None,
    "lag_seconds": 0.0,
    "settings": {"project_dir": None, "branch": None},
}
NO_DIRECTORY = "^/|[\\x00-\\x1f\\x7f\\\\]|(^|/)\\.\\.(/|$)|(^|/)\\.git(/|$)"
MAX_BRANCH = 255


def _branch(name: str) -> str:
    if not is_branch(name):
        msg = "is no name that git takes for a branch"
        raise ValueError(msg)
    return name


def directory(path: str) -> str:
    """Return a directory of a repository in its one spelling, empty for the root. Raises ValueError."""
    cleaned = join("", path) if ".." not in path.split("/") else None
    if cleaned is None or "\\" in path or (cleaned and not is_clean(cleaned)):
        msg = "is a directory inside of the repository, from its root: `transform/shop`, or `.` for the root"
        raise ValueError(msg)
    return cleaned


Branch = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_BRANCH),
    AfterValidator(_branch),
    Field(description="Null: the default branch, whichever that is", json_schema_extra={"not": {"pattern": NO_BRANCH}}),
]
Directory = Annotated[
    str,
    StringConstraints(max_length=MAX_TEXT),
    AfterValidator(directory),
    Field(
        description="Where the `dbt_project.yml` is; empty for the root of the repository. Null: the extraction finds it",
        json_schema_extra={"not": {"pattern": NO_DIRECTORY}},
    ),
]
FullName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$")]


class ConnectRequest(Body):
    """Body of `POST …/connections`."""

    model_config = example(repository="octo/shop", project_dir="transform", branch="release")

    repository: Annotated[FullName, Field(description="`owner/name` of a repository that the App is installed on")]
    project_dir: Directory | None = None
    branch: Branch | None = None


class ChangeRequest(Body):
    """Body of `PATCH …/connections/{id}`: what is not named stays as it is."""

    model_config = example(branch="release")

    project_dir: Directory | None = None
    branch: Branch | None = None


class SettingsView(Model):
    """What somebody set; null is left to Freshet."""

    project_dir: Annotated[str | None, Field(description="Null: where the project is, whichever directory that becomes")]
    branch: Annotated[str | None, Field(description="Null: the default branch, whichever that is")]


class ConnectionsQuery(Paged):
    """Which connections."""

    owner: Annotated[Text | None, Field(description="The account on GitHub, whatever its case")] = None
    repository: Annotated[Text | None, Field(description="`owner/name`")] = None
    q: Annotated[Text | None, Field(description="Words in the names of repository and project, and in the project's directory")] = None


class ConnectionView(Model):
    """One connection as it stands in lists."""

    model_config = example(**CONNECTION)

    id: str
    repository: str
    repository_id: str
    private: bool
    project_dir: Annotated[str | None, Field(description="Null until the first extraction has found it; empty for the repository's root")]
    project_name: str | None
    branch: Annotated[str | None, Field(description="The branch that is followed")]
    created_at: Time
    head_sha: Annotated[str | None, Field(description="The newest commit of the branch that is known")]
    lineage_sha: Annotated[str | None, Field(description="The commit that the lineage is of")]
    extracted_at: Time | None
    stale: bool
    stale_reason: Annotated[str | None, Field(description="Why the lineage is not of the newest commit")]
    stale_since: Annotated[Time | None, Field(description="Since when it is not")]
    lag_seconds: Annotated[float, Field(description="For how long it is not; 0 when it is")]
    settings: SettingsView

    @classmethod
    def fields_of(cls, connection: Connection) -> dict[str, Any]:
        """Return the values of the fields."""
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
            "stale": connection.stale,
            "stale_reason": connection.stale_reason,
            "stale_since": connection.stale_since,
            "lag_seconds": connection.lag_s(datetime.now(UTC)),
            "settings": SettingsView(project_dir=connection.project_dir if connection.by_hand else None, branch=connection.branch),
        }


class ConnectionDetail(ConnectionView):
    """One connection with its last extraction."""

    model_config = example(**CONNECTION, last_extraction=EXTRACTION)

    last_extraction: ExtractionView | None
