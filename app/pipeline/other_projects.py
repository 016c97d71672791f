"""Looks up the other projects that a commit names: those of its installation that it may use, by their newest lineages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from app.core.models.github import Repository
from app.core.models.other_projects import OtherProject, ProjectState, PublicModel
from app.packages.private import PrivatePackages
from app.store import Store
from app.store.other_projects import FoundProject

MAX_MODELS = 5000
"""Of all other projects of one commit."""


class InstallationProjects:
    """The projects of installations by name (implements `ports.ProjectFinder`)."""

    def __init__(self, store: Store, private: PrivatePackages | None = None) -> None:
        self._store, self._private = store, private or PrivatePackages()

    async def find(self, names: Sequence[str], asking: Repository, project_dir: str) -> tuple[OtherProject, ...]:
        """What is known of projects with these names, for the project at `project_dir` of a repository."""
        found = [
            one
            for one in await self._store.other_projects.named(names, asking)
            if (one.repository.id, one.project_dir or "") != (asking.id, project_dir)
            # First what may be used, then what is chosen: otherwise the choice would say that there is more.
            and self._private.allows_models(asking, one.repository)
        ]
        projects, left = list[OtherProject](), MAX_MODELS
        for name in names:
            state, chosen = choose(asking, [one for one in found if one.name == name])
            read = [] if chosen is None else await self._store.other_projects.public_models(chosen, left + 1)
            models = tuple(without_duplicates(read[:left]))
            projects.append(OtherProject(name, state, models, is_cut=len(read) > left))
            left -= len(models)
        return tuple(projects)


def choose(asking: Repository, found: Sequence[FoundProject]) -> tuple[ProjectState, FoundProject | None]:
    """The project that a name means: one of the same repository, else the only one. Several branches of a project are one."""
    projects: dict[tuple[int, str], FoundProject] = {}
    for one in found:
        projects.setdefault((one.repository.id, one.project_dir or ""), one)
    near = [one for one in projects.values() if one.repository.id == asking.id]
    candidates = near or list(projects.values())
    if not candidates:
        return "unknown", None
    return ("available", candidates[0]) if len(candidates) == 1 else ("ambiguous", None)


def without_duplicates(models: Iterable[PublicModel]) -> Iterator[PublicModel]:
    """The models without what dbt refuses in one project: a version twice, and a name with and without versions."""
    seen = dict[str, set[str | None]]()
    for model in models:
        versions = seen.setdefault(model.name, set())
        version = None if model.version is None else str(model.version)
        if version not in versions and (not versions or (version is None) == (None in versions)):
            versions.add(version)
            yield model
