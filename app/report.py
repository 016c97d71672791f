"""What people read of an extraction: the texts of its check run, from values alone.

https://docs.github.com/en/rest/checks/runs; `summary` and `text` are limited in bytes, annotations to 50 a call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.errors import CommitGoneError, ContainerTimedOutError, DbtError, FreshetError, NoProjectError, ProjectError
from app.jobs import STAGES, Conclusion, Extraction, Problem, Stage, StageTime, Status
from app.lineage import Difference, Lineage
from app.project import Layout
from app.warehouse import DEFAULT_ADAPTER

NAME = "dbt lineage"
MAX_TEXT_BYTES = 65_535
MAX_ANNOTATION_BYTES = 60_000
LISTED = 50
"""Changed nodes that are named one by one; the rest is counted."""
AGAIN: tuple[Conclusion, ...] = ("neutral", "timed_out", "cancelled")
"""How it ended when doing it again may end otherwise: then a button offers it."""
LISTED_PROJECTS = 10
STAGE_WORDS: Mapping[Stage, str] = {
    "cloning": "Fetch the commit",
    "installing_deps": "Install packages",
    "parsing": "Parse with dbt",
    "columns": "Trace columns",
    "storing": "Store the lineage",
}


def result(
    layout: Layout, lineage: Lineage, adapter_type: str, change: Difference | None, *, image: str, usage: Mapping[str, object]
) -> dict[str, Any]:
    """Return what is kept of a success. `change` None: it is the first lineage of its connection."""
    warehouse = layout.warehouse
    notes = [f"Parsed for {adapter_type} with the target `{warehouse.target}`: {warehouse.evidence}."]
    if adapter_type != warehouse.adapter_type:
        stand_in = f"The project is for {warehouse.adapter_type}, which this runner image does not hold: {DEFAULT_ADAPTER} stood in for it."
        notes.append(
            f"{stand_in} SQL that depends on the adapter may differ; build an image with dbt-{warehouse.adapter_type} to be exact."
        )
    if layout.others:
        named = ", ".join(_code(other or "the root") for other in layout.others[:LISTED_PROJECTS])
        notes.append(f"More dbt projects of this repository, each with a check run of its own: {named}.")
    return {
        "project_dir": layout.project_dir,
        "project_name": lineage.project_name or layout.project_name,
        "dbt_version": lineage.dbt_version,
        "adapter_type": lineage.adapter_type,
        "target": warehouse.target,
        "image": image,
        "counts": lineage.counts(),
        "nodes": len(lineage.nodes),
        "edges": lineage.edge_count,
        "change": None if change is None else _change(change),
        "notes": notes,
        "usage": dict(usage),
    }


def carried(of: Mapping[str, Any], sha: str, change: Difference | None) -> dict[str, Any]:
    """Return what is kept of a success that took over the lineage of `sha`, of which `of` was kept."""
    return {**of, "change": None if change is None else _change(change), "carried_from": sha, "usage": {}}


def problem(error: FreshetError, *, chosen: bool = True) -> Problem:
    """Return why an extraction did not succeed, for people.

    `chosen`: somebody chose this repository for the App; else nobody wants to hear a failure of it for having no dbt project.
    """
    path, line = (error.place or (None, None)) if isinstance(error, DbtError) else (None, None)
    output = error.output if isinstance(error, DbtError) else getattr(error, "log", "")
    message = f"While {error.doing}: {error.reason.rstrip('.')}."
    return Problem(error.title, message, error.next_step, output, path, line, _conclusion(error, chosen=chosen))


def removed(of: Problem) -> Problem:
    """Return the problem of a project that was taken out of a repository which has others."""
    return replace(
        of, title="The dbt project was removed", next_step="Its connection is hidden; it comes back with the project.", conclusion="skipped"
    )


def crash(error: BaseException) -> Problem:
    """Return the problem of an error that nobody foresaw."""
    message = f"Freshet itself stumbled ({type(error).__name__}). The commit is not to blame."
    return Problem("Something went wrong in Freshet", message, "Re-run it; the operator finds the cause in the log.", conclusion="neutral")


def check_run(extraction: Extraction, url: str) -> dict[str, Any]:
    """Return the body of the check run that shows an extraction as it is now. `url` is its page."""
    body: dict[str, Any] = {
        "name": NAME if extraction.siblings == 1 else f"{NAME} ({extraction.project_dir or '.'})",
        "head_sha": extraction.sha,
        "external_id": extraction.id,
        "details_url": url,
        "status": _check_status(extraction.status),
        "output": {"title": headline(extraction), "summary": _cut(_summary(extraction))},
    }
    if extraction.started_at:
        body["started_at"] = _time(extraction.started_at)
    conclusion = conclusion_of(extraction)
    if conclusion:
        body |= {"conclusion": conclusion, "completed_at": _time(extraction.finished_at or extraction.created_at)}
    if conclusion in AGAIN:
        body["actions"] = [{"label": "Extract again", "description": "Run dbt on this commit once more", "identifier": "extract"}]
    if extraction.problem and extraction.problem.output:
        body["output"]["text"] = _cut(f"### dbt's message\n{_fenced(extraction.problem.output)}")
    if extraction.problem and extraction.problem.path:
        body["output"]["annotations"] = [_annotation(extraction.problem, extraction.problem.path)]
    return body


def without_identity(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for an update: what a check run is of cannot change."""
    return {key: value for key, value in body.items() if key != "head_sha"}


def annotated(body: Mapping[str, Any]) -> bool:
    """Tell whether a check run's body has annotations."""
    return "annotations" in body["output"]


def without_annotations(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body without its annotations."""
    return {**body, "output": {key: value for key, value in body["output"].items() if key != "annotations"}}


def headline(extraction: Extraction) -> str:
    """Return the one line that says how it stands."""
    match extraction.status:
        case "queued":
            return "Queued" if not extraction.attempt else f"Waiting for try {extraction.attempt + 1}"
        case "running":
            return STAGE_WORDS[extraction.stage] if extraction.stage else "Starting"
        case "succeeded":
            return f"{_counted(extraction.result)}{_change_words(extraction.result)}"
        case "superseded":
            return "Superseded by a newer commit"
        case "cancelled":
            return "Cancelled"
        case "failed":
            return extraction.problem.title if extraction.problem else "Failed"


def conclusion_of(extraction: Extraction) -> Conclusion | None:
    """Return GitHub's conclusion, None while there is none."""
    match extraction.status:
        case "queued" | "running":
            return None
        case "succeeded":
            return "success"
        case "superseded":
            return "skipped"
        case "cancelled":
            return "cancelled"
        case "failed":
            return extraction.problem.conclusion if extraction.problem else "neutral"


def stage_rows(extraction: Extraction) -> list[tuple[str, str]]:
    """Return the stages in order with their state or duration: ("Parse with dbt", "2.1 s")."""
    done = {stage.stage: stage for stage in extraction.stages}
    shown = [stage for stage in STAGES if stage in done or (stage != "installing_deps" and not extraction.finished_at)]
    return [(STAGE_WORDS[stage], _stage_state(done.get(stage))) for stage in shown]


def _summary(extraction: Extraction) -> str:
    parts = []
    if extraction.problem:
        parts.append(_problem_text(extraction.problem))
    if extraction.status == "cancelled":
        parts.append("It was cancelled before it ended. Re-run it to extract this commit all the same.")
    if extraction.status == "superseded":
        parts.append("A newer commit of this branch arrived before this one's turn: its check run has the lineage.")
    if extraction.status == "succeeded":
        parts += [_found(extraction.result), _changed(extraction.result)]
        parts += [f"> {note}" for note in extraction.result.get("notes", ())]
    if extraction.stages or extraction.status in ("queued", "running"):
        rows = "\n".join(f"| {name} | {state} |" for name, state in stage_rows(extraction))
        parts.append(f"| stage | |\n|---|---|\n{rows}")
    return "\n\n".join(part for part in parts if part)


def _problem_text(found: Problem) -> str:
    where = f"**`{found.path}`{f', line {found.line}' if found.line else ''}**" if found.path else ""
    first = _fenced(_head(found.output, 40)) if found.output else ""
    return "\n\n".join(part for part in (found.message, where, first, found.next_step) if part)


def _found(of: Mapping[str, Any]) -> str:
    counts = "\n".join(f"| {kind.replace('_', ' ')} | {count:,} |" for kind, count in of["counts"].items())
    where = f" in `{of['project_dir']}`" if of["project_dir"] else ""
    head = f"Project `{of['project_name']}`{where}, dbt {of['dbt_version']}, {of['adapter_type']}."
    return f"{head}\n\n| found | |\n|---|---|\n{counts}\n| edges | {of['edges']:,} |"


def _changed(of: Mapping[str, Any]) -> str:
    change = of["change"]
    if change is None:
        return "This is the first lineage of the project."
    if of.get("carried_from") and not change["total"]:
        return f"Nothing that dbt reads changed: the lineage of `{of['carried_from'][:7]}` still holds, and dbt did not run."
    if not change["total"]:
        return "Nothing changed against the lineage before."
    lines = ["**What changed against the lineage before**"]
    for key, sign in (("nodes_added", "added"), ("nodes_removed", "removed"), ("nodes_changed", "changed")):
        lines += [f"- {sign} {_code(name)}" for name in change[key]]
        if (rest := change["counts"][key] - len(change[key])) > 0:
            lines.append(f"- {sign}: {rest:,} more")
    edges = [f"{change['counts'][key]:,} {word}" for key, word in (("edges_added", "added"), ("edges_removed", "removed"))]
    lines.append(f"- edges: {', '.join(edges)}")
    return "\n".join(lines)


def _counted(of: Mapping[str, Any]) -> str:
    shown = [f"{count:,} {kind.replace('_', ' ')}{'' if count == 1 else 's'}" for kind, count in list(of["counts"].items())[:3]]
    return f"{', '.join(shown) or 'No resources'}, {of['edges']:,} edges"


def _change_words(of: Mapping[str, Any]) -> str:
    if of["change"] is None:
        return ""
    counts = of["change"]["counts"]
    signs = [f"{sign}{counts[key]}" for key, sign in (("nodes_added", "+"), ("nodes_removed", "−"), ("nodes_changed", "~")) if counts[key]]  # noqa: RUF001
    return f" ({' '.join(signs)})" if signs else " (unchanged)" if not of["change"]["total"] else ""


def _change(change: Difference) -> dict[str, Any]:
    lists = {key: getattr(change, key) for key in ("nodes_added", "nodes_removed", "nodes_changed", "edges_added", "edges_removed")}
    counts = {key: len(names) for key, names in lists.items()}
    return {**{key: list(names[:LISTED]) for key, names in lists.items()}, "counts": counts, "total": sum(counts.values())}


def _conclusion(error: FreshetError, *, chosen: bool) -> Conclusion:
    if isinstance(error, NoProjectError) and not chosen:
        return "neutral"
    if isinstance(error, ContainerTimedOutError):
        return "timed_out"
    if isinstance(error, CommitGoneError):
        return "cancelled"
    return "failure" if isinstance(error, ProjectError) else "neutral"


def _check_status(status: Status) -> str:
    return {"queued": "queued", "running": "in_progress"}.get(status, "completed")


def _stage_state(stage: StageTime | None) -> str:
    if stage is None:
        return "waiting"
    return "under way" if stage.seconds is None else f"{stage.seconds:.1f} s"


def _annotation(found: Problem, path: str) -> dict[str, Any]:
    line = found.line or 1
    message = _cut(_head(found.output, 60) or found.message, MAX_ANNOTATION_BYTES)
    return {"path": path, "start_line": line, "end_line": line, "annotation_level": "failure", "title": found.title, "message": message}


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.strip()}\n{fence}"


def _code(text: str) -> str:
    return f"`{text.replace('`', ' ')}`"


def _head(text: str, lines: int) -> str:
    kept = text.strip().splitlines()
    return "\n".join(kept[:lines]) + (f"\n… {len(kept) - lines} more lines" if len(kept) > lines else "")


def _cut(text: str, limit: int = MAX_TEXT_BYTES) -> str:
    """Return `text` within `limit` bytes of UTF-8, with its code fence closed again if the cut opened it."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    note = "\n```\n… cut here: the page has the whole."
    return encoded[: limit - len(note.encode())].decode(errors="ignore") + note


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
