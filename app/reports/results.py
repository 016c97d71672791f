"""How an extraction ended, as it is stored: results, problems, and the facts of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from app.core.errors import (
    BranchLeftOutError,
    CommitGoneError,
    ContainerError,
    ContainerTimedOutError,
    DbtError,
    FreshetError,
    NoProjectError,
    PackagesError,
    ProjectError,
)
from app.core.models.annotations import Annotation, IgnoredCheck, Placeholder
from app.core.models.extractions import LeftOut, Problem
from app.core.models.github import Conclusion
from app.core.yaml_text import is_below
from app.lineage.nodes import MAX_LISTED, ChangeSummary, StorableLineage
from app.project.layout import ProjectLayout
from app.project.repository_settings import PATH, RepositorySettings
from app.reports.command_line import for_command_line
from app.reports.dbt_errors import classify, split_errors
from app.reports.markdown import code
from app.reports.notes import notes, unread

MAX_LEFT_OUT = 100
MAX_UNREAD = 10
MAX_LOG_CHARACTERS = 4000
"""Of the end of dbt's log, shown when a container ended without a message."""


@dataclass(frozen=True, slots=True)
class Run:
    """How dbt was run."""

    layout: ProjectLayout
    adapter_type: str
    """The adapter that dbt parsed for: the project's own, or its stand-in."""
    image: str
    usage: Mapping[str, object]
    placeholders: tuple[Placeholder, ...] = ()
    remarks: tuple[Annotation, ...] = ()


def success(run: Run, lineage: StorableLineage, change: ChangeSummary | None) -> dict[str, Any]:
    """The result of an extraction that ran dbt; `change` is None for the connection's first lineage."""
    layout = run.layout
    result = {
        "project_dir": layout.project_dir,
        "project_name": lineage.project_name or layout.project_name,
        "dbt_version": lineage.dbt_version,
        "adapter_type": lineage.adapter_type,
        "target": layout.adapter.target,
        "evidence": layout.adapter.evidence,
        "image": run.image,
        "counts": dict(lineage.counts()),
        "nodes": lineage.node_count,
        "edges": lineage.edge_count,
        "change": None if change is None else _change(change),
        "notes": notes(layout, run.adapter_type, run.image, lineage),
        "placeholders": [asdict(placeholder) for placeholder in run.placeholders],
        "remarks": [asdict(_in_repository(remark, layout)) for remark in (*settings_warnings(layout.settings), *run.remarks)],
        "usage": dict(run.usage),
    }
    return cast("dict[str, Any]", _encodable(result))


def carried_forward(result: Mapping[str, Any], sha: str, change: ChangeSummary | None) -> dict[str, Any]:
    """The result of an extraction that reused the lineage of `sha`; `result` is the one stored for `sha`."""
    own = {key: value for key, value in result.items() if key not in {"impact", "quality"}}  # those of the other commit
    return {**own, "change": None if change is None else _change(change), "carried_from": sha, "usage": {}}


def run_facts(layout: ProjectLayout, adapter_type: str, image: str, dbt_version: str) -> dict[str, Any]:
    """What dbt is run with, as fields of `Facts`."""
    facts = {
        "project_dir": layout.project_dir,
        "profile": layout.profile,
        "target": layout.adapter.target,
        "adapter_type": adapter_type,
        "evidence": layout.adapter.evidence,
        "image": image,
        "dbt_version": dbt_version,
    }
    # A project that was requested explicitly is extracted even if discovery leaves it out.
    left_out = [one for one in layout.discovered.left_out if one.directory != layout.project_dir]
    reported = tuple(LeftOut(_utf8(one.directory), _utf8(one.reason)) for one in left_out[:MAX_LEFT_OUT])
    return cast("dict[str, Any]", _encodable(facts)) | {"left_out": reported}


def storable_placeholders(placeholders: Iterable[Placeholder]) -> tuple[Placeholder, ...]:
    """The placeholders with all texts in UTF-8."""
    return tuple(Placeholder(**cast("dict[str, Any]", _encodable(asdict(one)))) for one in placeholders)


def settings_warnings(settings: RepositorySettings) -> tuple[Annotation, ...]:
    """One warning for each mistake in `.github/freshet.yml`."""
    note = "Freshet ignores the whole file until this is fixed."
    return tuple(
        Annotation("warning", f"{PATH} is ignored", f"{found.message.rstrip('.')}. {note}", PATH, found.line)
        for found in settings.complaints
    )


def ignored_checks(ignored: Iterable[IgnoredCheck], dbt_version: str | None = None) -> tuple[Annotation, ...]:
    """One notice for each check that the project asks dbt for, and that was not made."""
    return tuple(_ignored_check(check, f"dbt {dbt_version}" if dbt_version else "another dbt") for check in ignored)


def unread_warnings(layout: ProjectLayout) -> tuple[Annotation, ...]:
    """A warning about files that dbt would read in a checkout, for an extraction that fails: they may be the cause."""
    if not layout.omitted:
        return ()
    named = "; ".join(unread(layout)[:MAX_UNREAD])
    more = f"; and {len(layout.omitted) - MAX_UNREAD:,} more" if len(layout.omitted) > MAX_UNREAD else ""
    step = "Commit regular files with ordinary names in their place, or request a submodule's package by its `git:` address."
    return (Annotation("warning", "Some files were not read", f"{named}{more}. This may be the cause. {step}"),)


def problem(
    error: FreshetError, annotations: Iterable[Annotation] = (), *, expected: bool = True, on_command_line: bool = False
) -> Problem:
    """Why an extraction did not succeed, with additional `annotations`.

    `expected`: there was a dbt project, or somebody said so. A repository that never had one does not fail for having none.
    `on_command_line`: nobody pushes, and there is no check run.
    """
    facts = error.facts if isinstance(error, ContainerError) else None
    own = error.annotations if isinstance(error, PackagesError | DbtError) else ()
    if isinstance(error, DbtError):
        known = classify(split_errors(error.output)[0])
        title, next_step = error.explained or (known.title, known.next_step)
        path, line = error.place or (None, None)
        notices = [_placeholder_notice(placeholder) for placeholder in (facts.placeholders if facts else ())]
        remarks = (*own, *annotations, *notices, *(ignored_checks(facts.ignored) if facts else ()))
        found = Problem(title, _dbt_stopped(error.doing), next_step, error.output, path, line, remarks=remarks)
    else:
        output = facts.log.strip()[-MAX_LOG_CHARACTERS:] if facts else ""
        message = f"While {error.doing}: {error.reason.rstrip('.')}."
        found = Problem(error.title, message, error.next_step, output, remarks=(*own, *annotations))
    texts: dict[str, Any] = {
        name: _encodable(getattr(found, name)) for name in ("title", "message", "next_step", "output", "path", "remarks")
    }
    if on_command_line:
        texts["next_step"] = for_command_line(texts["next_step"])
        texts["remarks"] = tuple(replace(remark, message=for_command_line(remark.message)) for remark in texts["remarks"])
    return replace(found, **texts, conclusion=_conclusion(error, expected=expected))


def project_removed(problem: Problem) -> Problem:
    """The problem of a project that was removed from a repository with other projects."""
    step = "Freshet hid its connection. If the project comes back, so does the connection."
    return replace(problem, title="The dbt project was removed", next_step=step, conclusion="skipped")


def project_is_gone(project_dir: str | None) -> Problem:
    """The problem of an extraction that waited when another one saw that its project was removed."""
    found = Problem("", f"At the newest commit of the branch, there is no dbt project in {code(project_dir or '.')}.")
    return project_removed(found)


def internal_error(error: BaseException) -> Problem:
    """The problem of an unexpected error."""
    message = f"Freshet stopped with an internal error ({type(error).__name__}). Your commit is not the cause."
    step = "Re-run this check. If it fails again, ask the operator to look at Freshet's log."
    return Problem("Something went wrong in Freshet", message, step, conclusion="neutral")


def _dbt_stopped(doing: str) -> str:
    """Turn "parsing octo/shop at 1a2b3c4" into "dbt could not parse octo/shop at 1a2b3c4."."""
    verb, _, rest = doing.partition(" ")
    infinitive = {"parsing": "parse", "installing": "install"}.get(verb)
    return f"dbt could not {infinitive} {rest}." if infinitive else f"dbt stopped while {doing}."


def _ignored_check(check: IgnoredCheck, dbt: str) -> Annotation:
    if check.kind == "version":
        message = (
            f"{code(check.name)} requires dbt {code(check.value)}. It was parsed with {dbt} all the same, "
            "as with dbt's own `--no-version-check`."
        )
        return Annotation("notice", "A required dbt version was not checked", message)
    message = f"The project sets {code(check.name)}, which turns warnings into errors. Here they stayed warnings: see dbt's log."
    return Annotation("notice", "Warnings did not stop dbt", message)


def _placeholder_notice(placeholder: Placeholder) -> Annotation:
    where = "env" if placeholder.kind == "env_var" else "vars"
    used = f"{code(placeholder.name)} has no value or default, so Freshet used the placeholder {code(placeholder.value)}."
    message = f"{used} If it caused this error, set a real value under `{where}:` in `{PATH}`."
    return Annotation("notice", f"A placeholder was used for {placeholder.kind}", message, placeholder.path, placeholder.line)


def _in_repository(remark: Annotation, layout: ProjectLayout) -> Annotation:
    """A remark about a file of an installed package, which is not in the commit, names the file in its text instead."""
    if remark.path is None or not is_below(remark.path, layout.install_dir) or remark.path in {member.path for member in layout.members}:
        return remark
    return replace(remark, message=f"{remark.message} (in {code(remark.path)})", path=None, line=None)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _encodable(value: object) -> object:
    """Values with all texts in UTF-8: git allows other names, which PostgreSQL and GitHub refuse."""
    match value:
        case str():
            return _utf8(value)
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list():
            return [_encodable(item) for item in value]
        case tuple():
            return tuple(_encodable(item) for item in value)
        case Annotation():
            return replace(value, title=_utf8(value.title), message=_utf8(value.message), path=value.path and _utf8(value.path))
    return value


def _change(change: ChangeSummary) -> dict[str, Any]:
    lists = {key: getattr(change, key) for key in ("nodes_added", "nodes_removed", "nodes_changed", "edges_added", "edges_removed")}
    counts = {key: len(names) + change.more.get(key, 0) for key, names in lists.items()}
    return {**{key: list(names[:MAX_LISTED]) for key, names in lists.items()}, "counts": counts, "total": sum(counts.values())}


def _conclusion(error: FreshetError, *, expected: bool) -> Conclusion:
    if isinstance(error, NoProjectError) and not expected:
        return "neutral"
    if isinstance(error, ContainerTimedOutError):
        return "timed_out"
    if isinstance(error, CommitGoneError):
        return "cancelled"
    if isinstance(error, BranchLeftOutError):
        return "skipped"
    return "failure" if isinstance(error, ProjectError) else "neutral"
