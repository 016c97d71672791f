"""The summary of a check run, in Markdown: what happened, where, and what to do; then the details.

Of a success, that is what the commit breaks, reaches and changes; then what was inferred; totals come last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.core.models.annotations import Annotation
from app.core.models.extractions import STAGES, Extraction, Problem, Stage, StageTime
from app.core.plurals import count, plural
from app.lineage.resource_types import label
from app.reports import column_lineage, impact_annotations, impact_blocks, placeholders, quality_line
from app.reports.github_links import RepositoryLinks
from app.reports.impact_lists import Where
from app.reports.markdown import code, fenced, folded, location, prose, table

MAX_ANNOTATIONS = 50
"""GitHub's limit for one request."""
MAX_LISTED_REMARKS = 20
MAX_LISTED_FAILURES = 10
MAX_OUTPUT_LINES = 40
MAX_OUTPUT_BYTES = 8_000
STAGE_WORDS: Mapping[Stage, str] = {
    "cloning": "Fetch the commit",
    "installing_deps": "Install packages",
    "parsing": "Parse with dbt",
    "columns": "Trace columns",
    "storing": "Store the lineage",
}


def blocks(extraction: Extraction, page: str, server_url: str) -> Iterator[str]:
    """The blocks of a summary, the most important first; some may be empty. For links: our `page` of it, and GitHub's address."""
    if extraction.problem:
        yield from _problem(extraction.problem)
    if extraction.status == "cancelled":
        yield _cancelled(extraction)
    if extraction.status == "superseded":
        yield "A newer commit was pushed to this branch before this one was extracted. The check run of the newer commit has the lineage."
    succeeded = extraction.status == "succeeded" and not extraction.problem
    if succeeded:
        yield from _success(extraction, page, server_url)
    if (hidden := len(file_annotations(extraction)) - MAX_ANNOTATIONS) > 0:
        yield f"{count(hidden, 'more annotation')} cannot be shown: GitHub allows {MAX_ANNOTATIONS}."
    if succeeded:
        yield folded("Totals and times", [table(["lineage", "count"], _count_rows(extraction.result)), *_stages(extraction)])
    else:
        yield from _stages(extraction)


def _cancelled(extraction: Extraction) -> str:
    if "impact" in extraction.result:
        return "This extraction was cancelled after its lineage was stored: it was not compared with another commit."
    if extraction.result:
        return "This extraction was cancelled after its lineage was stored: only the columns are missing. To get them, re-run the check."
    return "This extraction was cancelled. To extract this commit, re-run the check."


def _stages(extraction: Extraction) -> Iterator[str]:
    if extraction.stages or extraction.status in ("queued", "running"):
        yield table(["stage", "time"], stage_rows(extraction))


def file_annotations(extraction: Extraction, *, fails: bool = False) -> tuple[Annotation, ...]:
    """Remarks on files and what breaks where, the most severe first. `fails`: the check run fails because of what breaks.

    GitHub adds the annotations of an update to those that it has, so there are none until the comparison is final.
    """
    impact = extraction.result.get("impact") or {} if extraction.status == "succeeded" else {}
    if impact.get("state") == "waiting":
        return ()
    return _in_order((*impact_annotations.of_check_run(impact, fails=fails), *(one for one in remarks(extraction) if one.path)))


def remarks(extraction: Extraction) -> tuple[Annotation, ...]:
    """The annotations and general remarks of an extraction, the most severe first, without one that only repeats the problem."""
    if problem := extraction.problem:
        failures = [remark for remark in problem.remarks if remark.level == "failure"]
        repeats = bool(problem.output) and [(one.path, one.line) for one in failures] == [(problem.path, problem.line)]
        found = tuple(remark for remark in problem.remarks if not (repeats and remark in failures))
    else:
        stored = extraction.result.get("remarks", ()) if extraction.status == "succeeded" else ()
        found = tuple(Annotation(**{key: one.get(key) for key in ("level", "title", "message", "path", "line")}) for one in stored)
    return _in_order(found)


def _in_order(found: Sequence[Annotation]) -> tuple[Annotation, ...]:
    order = ("failure", "warning", "notice")
    return tuple(sorted(found, key=lambda remark: order.index(remark.level)))


def stage_rows(extraction: Extraction) -> list[tuple[str, str]]:
    """The stages in order with their state or duration: ("Parse with dbt", "2.1 s")."""
    entered = {stage.stage: stage for stage in extraction.stages}
    listed = [stage for stage in STAGES if stage in entered or (stage != "installing_deps" and not extraction.finished_at)]
    return [(STAGE_WORDS[stage], _stage_state(entered.get(stage))) for stage in listed]


def is_shortened(output: str) -> bool:
    """True when a summary may not show all of dbt's output: the fences around it take up to half of the bytes."""
    return len(output.strip().splitlines()) > MAX_OUTPUT_LINES or len(output.encode(errors="replace")) > MAX_OUTPUT_BYTES // 2


def _success(extraction: Extraction, page: str, server_url: str) -> Iterator[str]:
    result = extraction.result
    yield from _what_changed(extraction, page, server_url)
    yield quality_line.line(extraction)
    yield _list_remarks(remarks(extraction))
    yield "### How Freshet read the project"
    where = f" in {code(result['project_dir'])}" if result["project_dir"] else ""
    adapter = prose(result["adapter_type"] or "no adapter")
    yield f"Lineage of project {code(result['project_name'] or '')}{where}, parsed with dbt {code(result['dbt_version'])} for {adapter}."
    yield _carried_from(result)
    yield from column_lineage.blocks(result)
    yield "\n".join(f"- {prose(note)}" for note in result.get("notes", ()))
    yield from placeholders.blocks(result.get("placeholders", ()))


def _what_changed(extraction: Extraction, page: str, server_url: str) -> Iterator[str]:
    """What the commit does; without a comparison, how the lineage differs from the connection's previous one."""
    result = extraction.result
    impact = result.get("impact")
    if impact and not (impact["state"] == "none" and result["change"] is None):
        where = Where(page, RepositoryLinks(server_url, extraction.repository.full_name), extraction.sha, extraction.followed)
        yield from impact_blocks.blocks(impact, where)
    if not impact or impact["state"] in ("none", "failed") or (impact["state"] == "off" and result["change"] is None):
        yield _changes(result["change"])


def _count_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [*((plural(label(kind)), f"{number:,}") for kind, number in result["counts"].items()), ("edges", f"{result['edges']:,}")]


def _carried_from(result: Mapping[str, Any]) -> str:
    if not (sha := result.get("carried_from")):
        return ""
    return f"The files that dbt reads are identical to commit {code(sha[:7])}, so Freshet reused its lineage and dbt did not run."


def _changes(change: Mapping[str, Any] | None) -> str:
    if change is None:
        return "This is the project's first lineage."
    if not change["total"]:
        return "The lineage has not changed."
    lines = ["**Changes since the previous lineage**", ""]
    for key, verb in (("nodes_added", "added"), ("nodes_removed", "removed"), ("nodes_changed", "changed")):
        lines += [f"- {verb} {code(name)}" for name in change[key]]
        if (rest := change["counts"][key] - len(change[key])) > 0:
            lines.append(f"- {verb} {count(rest, 'more node')}")
    lines += [
        f"- {verb} {count(change['counts'][key], 'edge')}"
        for key, verb in (("edges_added", "added"), ("edges_removed", "removed"))
        if change["counts"][key]
    ]
    return "\n".join(lines)


def _problem(problem: Problem) -> Iterator[str]:
    failures = [remark for remark in problem.remarks if problem.output and remark.level == "failure" and remark.path]
    message = prose(problem.message)
    if not problem.output:
        yield message
        yield _bold(location(problem.path, problem.line))
        yield prose(problem.next_step)
    elif ": " in problem.message:
        # The container ended without a message of dbt: the output is the end of the log.
        yield message
        yield prose(problem.next_step)
        yield "The end of dbt's log:"
        yield _output(problem.output)
    else:
        yield f"{message.removesuffix('.')}:"
        yield _list_failures(failures) if len(failures) > 1 else _bold(location(problem.path, problem.line))
        yield _output(problem.output)
        yield prose(problem.next_step) if len({failure.title for failure in failures}) <= 1 else "Each annotation says what to do."
    yield _list_remarks([remark for remark in problem.remarks if remark not in failures])


def _list_failures(failures: Sequence[Annotation]) -> str:
    lines = [f"- {prose(failure.title)}: {location(failure.path, failure.line)}" for failure in failures[:MAX_LISTED_FAILURES]]
    rest = len(failures) - MAX_LISTED_FAILURES
    return "\n".join([*lines, *([f"- {rest:,} more"] if rest > 0 else [])])


def _list_remarks(found: Sequence[Annotation]) -> str:
    lines = []
    for remark in found[:MAX_LISTED_REMARKS]:
        where = location(remark.path, remark.line)
        if where and where in remark.message:
            lines.append(f"- {prose(remark.message)}")  # a full sentence that says what and where
        else:
            lines.append(f"- {prose(remark.title)}{f' ({where})' if where else ''}: {prose(remark.message)}")
    if len(found) > MAX_LISTED_REMARKS:
        lines.append(f"- {len(found) - MAX_LISTED_REMARKS:,} more")
    return "\n".join(lines)


def _output(text: str) -> str:
    lines = text.strip().splitlines()
    rest = f"\n… {count(len(lines) - MAX_OUTPUT_LINES, 'more line')}" if len(lines) > MAX_OUTPUT_LINES else ""
    return fenced("\n".join(lines[:MAX_OUTPUT_LINES]) + rest, MAX_OUTPUT_BYTES)


def _bold(markdown: str) -> str:
    return f"**{markdown}**" if markdown else ""


def _stage_state(stage: StageTime | None) -> str:
    if stage is None:
        return "waiting"
    return "running" if stage.seconds is None else f"{stage.seconds:.1f} s"
