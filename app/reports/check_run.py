"""The check run of an extraction: https://docs.github.com/en/rest/checks/runs.

GitHub limits `summary` and `text` in bytes, and annotations to 50 a request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from app.core.models.annotations import Annotation
from app.core.models.extractions import RESULT_MISSING, Extraction, Status
from app.core.models.github import EXTRACT_AGAIN, Conclusion
from app.core.plurals import count
from app.lineage.resource_types import label
from app.project.checkout import is_clean
from app.reports import impact_title
from app.reports.markdown import document, fenced, plain
from app.reports.summary import MAX_ANNOTATIONS, STAGE_WORDS, blocks, file_annotations, is_shortened

NAME = "dbt lineage"
MAX_TEXT_BYTES = 65_535
MAX_ANNOTATION_BYTES = 60_000
MAX_ANNOTATION_TITLE_BYTES = 250
DIGEST_DIGITS = 16
REPEATABLE: tuple[Conclusion, ...] = ("neutral", "timed_out", "cancelled")
"""Conclusions that another attempt may change, unless it succeeded: the check run offers a button."""
GITHUB = "https://github.com"
RUNNING = "Fetching the commit and reading it with dbt"


def check_run(extraction: Extraction, url: str, server_url: str = GITHUB) -> dict[str, Any]:
    """The request body that shows an extraction in its current state. `url` is its page, `server_url` the address of GitHub."""
    body: dict[str, Any] = {
        "name": NAME if extraction.siblings == 1 else f"{NAME} ({plain(extraction.project_dir or '', 200) or '.'})",
        "head_sha": extraction.sha,
        "external_id": extraction.id,
        "details_url": url,
        "status": _check_status(extraction.status),
        "output": {"title": _title(extraction), "summary": document(blocks(extraction, url, server_url), MAX_TEXT_BYTES)},
    }
    if extraction.started_at:
        body["started_at"] = _time(extraction.started_at)
    conclusion = conclusion_of(extraction)
    if conclusion:
        body |= {"conclusion": conclusion, "completed_at": _time(extraction.finished_at or extraction.created_at)}
    if conclusion in REPEATABLE and (extraction.status != "succeeded" or extraction.problem):
        body["actions"] = [{"label": "Extract again", "description": "Run dbt on this commit again", "identifier": EXTRACT_AGAIN}]
    if extraction.problem and is_shortened(extraction.problem.output):
        body["output"]["text"] = f"### All of dbt's output\n{fenced(extraction.problem.output, MAX_TEXT_BYTES - 100)}"
    if found := _annotations(extraction):
        body["output"]["annotations"] = found
    return body


def damaged(extraction: Extraction, url: str, server_url: str = GITHUB) -> dict[str, Any]:
    """The same in place of a body that cannot be made of what is stored."""
    problem = RESULT_MISSING if extraction.status in ("succeeded", "failed") else None
    return check_run(replace(extraction, problem=problem, result={}, stages=(), base=None), url, server_url)


def _title(extraction: Extraction) -> str:
    """One update says that an extraction runs, so what it says has to stay true until the end."""
    return RUNNING if extraction.status == "running" else headline(extraction)


def without_identity(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an update, which cannot change the commit."""
    return {key: value for key, value in body.items() if key != "head_sha"}


def has_annotations(body: Mapping[str, Any]) -> bool:
    """True when a body contains annotations."""
    return "annotations" in body["output"]


def annotation_digests(body: Mapping[str, Any]) -> list[str]:
    """One text per annotation of a body: equal annotations have equal ones."""
    return [sha256(msgspec.json.encode(one, order="sorted")).hexdigest()[:DIGEST_DIGITS] for one in body["output"].get("annotations", ())]


def without_annotations(body: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The body without the annotations whose digests are known."""
    annotations = body["output"].get("annotations", ())
    new = [one for one, digest in zip(annotations, annotation_digests(body), strict=True) if digest not in known]
    output = {key: value for key, value in body["output"].items() if key != "annotations"}
    return {**body, "output": {**output, "annotations": new} if new else output}


def headline(extraction: Extraction) -> str:
    """The title: the state of an extraction in a few words of plain text."""
    match extraction.status:
        case "queued":
            return "Queued" if not extraction.attempt else f"Waiting for attempt {extraction.attempt + 1}"
        case "running":
            return STAGE_WORDS[extraction.stage] if extraction.stage else "Starting"
        case "succeeded":
            return extraction.problem.title if extraction.problem else _success_title(extraction.result)
        case "superseded":
            return "Superseded by a newer commit"
        case "cancelled":
            return "Cancelled"
        case "failed":
            return plain(extraction.problem.title, MAX_ANNOTATION_TITLE_BYTES) if extraction.problem else "Failed"


def conclusion_of(extraction: Extraction) -> Conclusion | None:
    """GitHub's conclusion; None until the extraction has ended."""
    match extraction.status:
        case "queued" | "running":
            return None
        case "succeeded":
            return extraction.problem.conclusion if extraction.problem else _success_conclusion(extraction)
        case "superseded":
            return "skipped"
        case "cancelled":
            return "cancelled"
        case "failed":
            return extraction.problem.conclusion if extraction.problem else "neutral"


def _annotations(extraction: Extraction) -> list[dict[str, Any]]:
    """Paths are relative to the repository; GitHub refuses nulls."""
    fails = extraction.status == "succeeded" and _success_conclusion(extraction) == "failure"
    found = [remark for remark in file_annotations(extraction, fails=fails) if remark.path and is_clean(remark.path)]
    problem = extraction.problem
    if problem and problem.path and is_clean(problem.path) and not any(remark.level == "failure" for remark in found):
        message = f"{problem.output or problem.message}\n\n{problem.next_step}"
        found.insert(0, Annotation("failure", problem.title, message, problem.path, problem.line))
    return [
        {
            "path": remark.path,
            "start_line": max(remark.line or 1, 1),
            "end_line": max(remark.line or 1, 1),
            "annotation_level": remark.level,
            "title": plain(remark.title, MAX_ANNOTATION_TITLE_BYTES),
            "message": plain(remark.message, MAX_ANNOTATION_BYTES, lines=True).strip() or remark.level,
        }
        for remark in found[:MAX_ANNOTATIONS]
    ]


def _success_title(result: Mapping[str, Any]) -> str:
    """What the commit does; where that is not known, and for a first lineage, counts."""
    return impact_title.title(result.get("impact")) or f"{_counts(result)}{_change_counts(result)}"


def _success_conclusion(extraction: Extraction) -> Conclusion:
    """What the policy says of what breaks. On the followed branch it has happened: that never fails."""
    conclusion: Conclusion = (extraction.result.get("impact") or {}).get("conclusion", "success")
    return "neutral" if conclusion == "failure" and extraction.followed else conclusion


def _counts(result: Mapping[str, Any]) -> str:
    counts = [count(number, label(kind)) for kind, number in list(result["counts"].items())[:3]]
    return f"{', '.join(counts) or 'No resources'}, {count(result['edges'], 'edge')}"


def _change_counts(result: Mapping[str, Any]) -> str:
    if result["change"] is None:
        return ""
    counts = result["change"]["counts"]
    signs = [f"{sign}{counts[key]}" for key, sign in (("nodes_added", "+"), ("nodes_removed", "−"), ("nodes_changed", "~")) if counts[key]]  # noqa: RUF001
    return f" ({' '.join(signs)})" if signs else " (unchanged)" if not result["change"]["total"] else ""


def _check_status(status: Status) -> str:
    return {"queued": "queued", "running": "in_progress"}.get(status, "completed")


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
