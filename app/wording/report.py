"""What people read of an extraction: what is kept of how it ended, and its check run, from values alone.

https://docs.github.com/en/rest/checks/runs; `summary` and `text` are limited in bytes, annotations to 50 a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, cast

from app.errors import BranchLeftOutError, CommitGoneError, ContainerTimedOutError, DbtError, FreshetError, NoProjectError, ProjectError
from app.inference.project import Layout, is_clean
from app.jobs import Conclusion, Extraction, LeftOut, Problem, Status
from app.lineage import LISTED, Difference, StorableLineage
from app.remarks import Placeholder, Remark
from app.settings import PATH, Settings
from app.texts import is_below
from app.wording import advice
from app.wording.markdown import code, document, fenced, plain
from app.wording.summary import MAX_ANNOTATIONS, STAGE_WORDS, blocks, notes, remarks_of

NAME = "dbt lineage"
MAX_TEXT_BYTES = 65_535
MAX_ANNOTATION_BYTES = 60_000
MAX_ANNOTATION_TITLE_BYTES = 250
MAX_LEFT_OUT = 100
MAX_LOG_SHOWN = 4000
"""Characters of a log's end that go with an error that dbt did not put into words."""
AGAIN: tuple[Conclusion, ...] = ("neutral", "timed_out", "cancelled")
"""How it ended when doing it again may end otherwise: then a button offers it."""


@dataclass(frozen=True, slots=True)
class Run:
    """How dbt was run."""

    layout: Layout
    adapter_type: str
    """What it was parsed for: the project's own adapter, or the one that stood in for it."""
    image: str
    usage: Mapping[str, object]
    placeholders: tuple[Placeholder, ...] = ()
    remarks: tuple[Remark, ...] = ()


def result(run: Run, lineage: StorableLineage, change: Difference | None) -> dict[str, Any]:
    """Return what is kept of a success. `change` None: it is the first lineage of its connection."""
    layout = run.layout
    kept = {
        "project_dir": layout.project_dir,
        "project_name": lineage.project_name or layout.project_name,
        "dbt_version": lineage.dbt_version,
        "adapter_type": lineage.adapter_type,
        "target": layout.warehouse.target,
        "evidence": layout.warehouse.evidence,
        "image": run.image,
        "counts": dict(lineage.counts()),
        "nodes": lineage.node_count,
        "edges": lineage.edge_count,
        "change": None if change is None else _change(change),
        "notes": notes(layout, run.adapter_type, lineage.dbt_version, run.image),
        "placeholders": [asdict(placeholder) for placeholder in run.placeholders],
        "remarks": [asdict(_in_repository(remark, layout)) for remark in (*complaints(layout.settings), *run.remarks)],
        "usage": dict(run.usage),
    }
    return cast("dict[str, Any]", _encodable(kept))


def carried(of: Mapping[str, Any], sha: str, change: Difference | None) -> dict[str, Any]:
    """Return what is kept of a success that took over the lineage of `sha`, of which `of` was kept."""
    return {**of, "change": None if change is None else _change(change), "carried_from": sha, "usage": {}}


def chosen(layout: Layout, adapter_type: str, image: str, dbt_version: str) -> dict[str, Any]:
    """Return what a project is extracted with, as fields of `Facts`."""
    facts = {
        "project_dir": layout.project_dir,
        "profile": layout.profile,
        "target": layout.warehouse.target,
        "adapter_type": adapter_type,
        "evidence": layout.warehouse.evidence,
        "image": image,
        "dbt_version": dbt_version,
    }
    # A project that somebody names is extracted wherever it lies.
    left_out = [one for one in layout.found.left_out if one.directory != layout.project_dir]
    kept = tuple(LeftOut(_utf8(one.directory), _utf8(one.reason)) for one in left_out[:MAX_LEFT_OUT])
    return cast("dict[str, Any]", _encodable(facts)) | {"left_out": kept}


def invented(placeholders: Iterable[Placeholder]) -> tuple[Placeholder, ...]:
    """Return placeholders as they can be stored."""
    return tuple(Placeholder(**cast("dict[str, Any]", _encodable(asdict(one)))) for one in placeholders)


def complaints(settings: Settings) -> tuple[Remark, ...]:
    """Return what is wrong with `.github/freshet.yml`, line by line."""
    title = f"{PATH} was not used"
    note = "Nothing of the file holds until it is mended."
    return tuple(Remark("warning", title, f"{found.message.rstrip('.')}. {note}", PATH, found.line) for found in settings.complaints)


def problem(error: FreshetError, *, chosen: bool = True) -> Problem:
    """Return why an extraction did not succeed, for people.

    `chosen`: somebody chose this repository for the App; else nobody wants to hear a failure of it for having no dbt project.
    """
    message = f"While {error.doing}: {error.reason.rstrip('.')}."
    output = error.log.strip()[-MAX_LOG_SHOWN:] if isinstance(error, ProjectError) else ""
    found = Problem(error.title, message, error.next_step, output, remarks=error.remarks)
    if isinstance(error, DbtError):
        advised = advice.advise(advice.parts(error.output)[0])
        path, line = error.place or (None, None)
        remarks = (*error.remarks, *(_invented(placeholder) for placeholder in error.placeholders))
        found = Problem(advised.title, message, advised.next_step, error.output, path, line, remarks=remarks)
    kept: dict[str, Any] = {
        name: _encodable(getattr(found, name)) for name in ("title", "message", "next_step", "output", "path", "remarks")
    }
    return replace(found, **kept, conclusion=_conclusion(error, chosen=chosen))


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
        "name": NAME if extraction.siblings == 1 else f"{NAME} ({plain(extraction.project_dir or '', 200) or '.'})",
        "head_sha": extraction.sha,
        "external_id": extraction.id,
        "details_url": url,
        "status": _check_status(extraction.status),
        "output": {"title": headline(extraction), "summary": document(blocks(extraction), MAX_TEXT_BYTES)},
    }
    if extraction.started_at:
        body["started_at"] = _time(extraction.started_at)
    conclusion = conclusion_of(extraction)
    if conclusion:
        body |= {"conclusion": conclusion, "completed_at": _time(extraction.finished_at or extraction.created_at)}
    if conclusion in AGAIN:
        body["actions"] = [{"label": "Extract again", "description": "Run dbt on this commit once more", "identifier": "extract"}]
    if extraction.problem and extraction.problem.output:
        body["output"]["text"] = f"### dbt's message\n{fenced(extraction.problem.output, MAX_TEXT_BYTES - 100)}"
    if annotations := _annotations(extraction):
        body["output"]["annotations"] = annotations
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
            return plain(extraction.problem.title, MAX_ANNOTATION_TITLE_BYTES) if extraction.problem else "Failed"


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


def _invented(placeholder: Placeholder) -> Remark:
    name, where = code(placeholder.name), "env" if placeholder.kind == "env_var" else "vars"
    message = f"{name} has no value and no default, so {code(placeholder.value)} was used. Set a real one under `{where}:` in `{PATH}`."
    return Remark("notice", f"A value was invented for {placeholder.kind}", message, placeholder.path, placeholder.line)


def _in_repository(remark: Remark, layout: Layout) -> Remark:
    """Return a remark whose path is one of the commit: files of packages that were installed are named in the text instead."""
    if remark.path is None or not is_below(remark.path, layout.install_dir) or remark.path in {member.path for member in layout.members}:
        return remark
    return replace(remark, message=f"{remark.message} (in {code(remark.path)})", path=None, line=None)


def _annotations(extraction: Extraction) -> list[dict[str, Any]]:
    """https://docs.github.com/en/rest/checks/runs#create-a-check-run: the path is in the repository, there are no nulls."""
    found = [remark for remark in remarks_of(extraction) if remark.path and is_clean(remark.path)]
    of = extraction.problem
    if of and of.path and is_clean(of.path) and not any(remark.level == "failure" for remark in found):
        found.insert(0, Remark("failure", of.title, f"{of.output or of.message}\n\n{of.next_step}", of.path, of.line))
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


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _encodable(value: object) -> object:
    """Return values whose texts are UTF-8: a name that is none in git would stop the store and GitHub."""
    match value:
        case str():
            return _utf8(value)
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list():
            return [_encodable(item) for item in value]
        case tuple():
            return tuple(_encodable(item) for item in value)
        case Remark():
            return replace(value, title=_utf8(value.title), message=_utf8(value.message), path=value.path and _utf8(value.path))
    return value


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
    counts = {key: len(names) + change.more.get(key, 0) for key, names in lists.items()}
    return {**{key: list(names[:LISTED]) for key, names in lists.items()}, "counts": counts, "total": sum(counts.values())}


def _conclusion(error: FreshetError, *, chosen: bool) -> Conclusion:
    if isinstance(error, NoProjectError) and not chosen:
        return "neutral"
    if isinstance(error, ContainerTimedOutError):
        return "timed_out"
    if isinstance(error, CommitGoneError):
        return "cancelled"
    if isinstance(error, BranchLeftOutError):
        return "skipped"
    return "failure" if isinstance(error, ProjectError) else "neutral"


def _check_status(status: Status) -> str:
    return {"queued": "queued", "running": "in_progress"}.get(status, "completed")


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
