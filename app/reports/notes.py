"""The notes of a successful extraction: what Freshet inferred about the project, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from app.core.models.other_projects import OtherProject
from app.core.plurals import count
from app.lineage.nodes import StorableLineage
from app.project.adapters import BY_TYPE
from app.project.layout import ProjectLayout
from app.project.repository_settings import PATH
from app.project.runner_images import RequestedVersion
from app.reports.markdown import code

MAX_LISTED = 10
"""Directories that one note lists; the rest is counted."""


def notes(layout: ProjectLayout, adapter_type: str, image: str, lineage: StorableLineage) -> list[str]:
    """Full sentences; names are in backticks. They are stored with the result."""
    dbt_version, unknown_types = lineage.dbt_version, lineage.unread
    found = [
        f"Parsed for {adapter_type} with target {code(layout.adapter.target)}: {layout.adapter.evidence}.",
        f"Used dbt {dbt_version} from image {code(image)}: {_requirement(layout.dbt)}.",
    ]
    if names := _names(layout):
        found.append(names)
    found += _other_projects(layout.other_projects, lineage.external)
    if unknown_types:
        listed = _listed([f"{number:,} of the type {code(name)}" for name, number in unknown_types.items()])
        found.append(f"Not in the lineage, because this version of Freshet does not know them: resources of dbt's manifest ({listed}).")
    others = [directory for directory in layout.discovered.projects if directory != layout.project_dir]
    if others:
        found.append(f"Other dbt projects in this repository, each with its own check run: {_listed([_named(one) for one in others])}.")
    # A project that was requested explicitly is extracted even if discovery leaves it out.
    if left_out := [one for one in layout.discovered.left_out if one.directory != layout.project_dir]:
        reasons = [f"{_named(one.directory)} {one.reason.rstrip('.')}" for one in left_out]
        found.append(f"Left out: {_listed(reasons, '; ')}.")
    if layout.omitted:
        found.append(f"Not read: {_listed(unread(layout), '; ')}.")
    if layout.long_seeds:
        found.append(
            f"dbt compares long seeds by name only, so changes of their rows do not show: {_listed(list(map(code, layout.long_seeds)))}."
        )
    return found


def unread(layout: ProjectLayout) -> list[str]:
    """What a checkout has for dbt and the container has not, as clauses: "`libs/shared` is a git submodule, …"."""
    return [f"{code(path)} {reason}" for path, reason in layout.omitted.items()]


def _names(layout: ProjectLayout) -> str:
    """What is not known of the names of tables; empty if everything is."""
    adapter = BY_TYPE.get(layout.adapter.adapter_type)
    names = layout.adapter.names
    missing = [
        name
        for name, given, exists in (("database", names.database, adapter is None or adapter.names.database), ("schema", names.schema, True))
        if given is None and exists
    ]
    if not missing:
        return ""
    keys = " and ".join(code(f"{name}:") for name in missing)
    return (
        f"The target's {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not known: no profile in the repository says so. "
        f"Tables whose names depend on that have no `relation_name`. Set {keys} in {code(PATH)} to give them one."
    )


def _other_projects(named: Sequence[OtherProject], external: Collection[str]) -> Iterator[str]:
    """How many models of other projects the lineage has, and why it has none of a project that is known."""
    projects = Counter(unique_id.split(".")[1] for unique_id in external)
    if projects:
        listed = _listed([f"{count(number, 'model')} of {code(project)}" for project, number in sorted(projects.items())])
        yield f"Read from other projects: {listed}. They are external nodes: what they are made of is in the lineage of their project."
    for one in named:
        if one.state == "ambiguous":
            yield f"Several projects have the name {code(one.name)}, so models of none of them were used."
        if one.is_cut:
            yield f"{code(one.name)} has too many public models: the first {len(one.models):,} can be referred to."


def _requirement(version: RequestedVersion) -> str:
    if version.required:
        return f"{version.evidence or 'the project'} requires {', '.join(code(one) for one in version.required)}"
    return f"{version.evidence or 'the project'} pins {code(version.locked)}" if version.locked else "the project requires no version"


def _named(directory: str) -> str:
    return code(directory) if directory else "the repository root"


def _listed(names: Sequence[str], between: str = ", ") -> str:
    rest = len(names) - MAX_LISTED
    return between.join([*names[:MAX_LISTED], *([f"and {rest:,} more"] if rest > 0 else [])])
