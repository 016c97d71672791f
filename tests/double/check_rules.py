"""GitHub's rules for check runs, as pure functions.

https://docs.github.com/en/rest/checks/runs. A body that breaks a rule is an :class:`ApiError` 422, whose words are GitHub's
where they are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from tests.double.errors import ApiError
from tests.double.state import CheckRun, Json, Transition

MAX_TEXT_BYTES = 65535
MAX_ANNOTATIONS_PER_CALL = 50
MAX_ACTIONS = 3
MAX_ANNOTATION_BYTES = {"message": 64 * 1024, "raw_details": 64 * 1024}
MAX_ANNOTATION_TITLE_CHARACTERS = 255
MAX_ACTION_CHARACTERS = {"label": 20, "description": 40, "identifier": 20}

# Others (waiting, requested, pending) are for GitHub Actions only, "stale" for GitHub itself.
STATUSES = ("queued", "in_progress", "completed")
CONCLUSIONS = ("action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out")
ANNOTATION_LEVELS = ("notice", "warning", "failure")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_STRINGS = ("name", "head_sha", "details_url", "external_id", "status", "conclusion", "started_at", "completed_at")


def check_body(body: object, run: CheckRun | None) -> Json:
    """Check the body for a new run (None) or an update; raises ApiError as GitHub would respond."""
    if not isinstance(body, dict):
        raise invalid("nil is not an object.")
    _check_nulls(body)
    _check_strings(body, "", _STRINGS)
    if run is None:
        _check_supplied(body, "", ("name", "head_sha"))
    _check_state(body, run)
    if "output" in body:
        _check_output(body["output"], titled=run is not None and run.title is not None)
    _check_actions(body.get("actions", []))
    return body


def invalid(problem: str) -> ApiError:
    """GitHub's response to a body that does not match its schema."""
    return ApiError(422, f"Invalid request.\n\n{problem}")


def no_commit(sha: str) -> ApiError:
    """GitHub's response to a commit that the repository does not have (yet)."""
    return ApiError(422, f"No commit found for SHA: {sha}")


def _nulls(value: object, path: str) -> Iterator[str]:
    """Yield the paths of all nulls."""
    if value is None:
        yield path
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _nulls(item, f"{path}/{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nulls(item, f"{path}/{index}")


def _check_nulls(body: Json) -> None:
    """Reject nulls."""
    for path in _nulls(body, "properties"):
        raise invalid(f"For '{path}', nil is not a string.")


def _check_strings(body: Json, path: str, names: tuple[str, ...]) -> None:
    """Reject values that are not strings."""
    for name in names:
        if name in body and not isinstance(body[name], str):
            raise invalid(f"For 'properties{path}/{name}', {body[name]!r} is not a string.")


def _check_supplied(body: Json, path: str, names: tuple[str, ...]) -> None:
    """Reject a body without a required field."""
    for name in names:
        if body.get(name, "") == "":
            raise invalid(f"For 'properties{path}', \"{name}\" wasn't supplied.")


def _check_state(body: Json, run: CheckRun | None) -> None:
    """Check status, conclusion, times and links against each other and the run's current state."""
    status, conclusion = body.get("status"), body.get("conclusion")
    if status is not None and status not in STATUSES:
        raise invalid(f"For 'properties/status', {status} is not a member of {list(STATUSES)}.")
    if conclusion is not None and conclusion not in CONCLUSIONS:
        raise invalid(f"For 'properties/conclusion', {conclusion} is not a member of {list(CONCLUSIONS)}.")
    if conclusion is None and (status == "completed" or "completed_at" in body):
        raise invalid('"conclusion" wasn\'t supplied.')
    if run is not None and run.status == "completed" and conclusion is None and status is not None:
        raise ApiError(422, "A completed check run cannot be reopened: create a new one.")
    for name in ("started_at", "completed_at"):
        if name in body and not _TIME.fullmatch(body[name]):
            raise invalid(f"For 'properties/{name}', {body[name]} is not a valid date-time.")
    if not body.get("details_url", "https://").startswith(("http://", "https://")):
        raise ApiError(422, "Validation Failed", errors=[_custom("details_url", "must use http or https scheme")])


def _custom(field: str, message: str) -> Json:
    """One entry of GitHub's list of validation errors."""
    return {"resource": "CheckRun", "code": "custom", "field": field, "message": message}


def _check_output(output: object, *, titled: bool) -> None:
    """Check title, texts and annotations; an update may omit the title if the run has one."""
    if not isinstance(output, dict):
        raise invalid("For 'properties/output', it is not an object.")
    _check_strings(output, "/output", ("title", "summary", "text"))
    _check_supplied(output, "/output", ("summary",) if titled else ("title", "summary"))
    for name in ("summary", "text"):
        if len(output.get(name, "").encode()) > MAX_TEXT_BYTES:
            raise ApiError(
                422,
                "Validation Failed",
                errors=[_custom(name, f"{name} exceeds a maximum bytesize of {MAX_TEXT_BYTES}")],
            )
    annotations = output.get("annotations", [])
    if not isinstance(annotations, list):
        raise invalid("For 'properties/output/annotations', it is not an array.")
    if len(annotations) > MAX_ANNOTATIONS_PER_CALL:
        raise invalid(f"No more than {MAX_ANNOTATIONS_PER_CALL} items are allowed; {len(annotations)} were supplied.")
    for index, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            raise invalid(f"For 'properties/output/annotations/{index}', it is not an object.")
        check_annotation(annotation, f"/output/annotations/{index}")


def check_annotation(annotation: Json, path: str) -> None:
    """Check one annotation."""
    _check_supplied(annotation, path, ("path", "start_line", "end_line", "annotation_level", "message"))
    _check_strings(annotation, path, ("path", "message", "title", "raw_details"))
    for name in ("start_line", "end_line", "start_column", "end_column"):
        if name in annotation and (not isinstance(annotation[name], int) or annotation[name] < 0):
            raise invalid(f"For 'properties{path}/{name}', {annotation[name]!r} is not an integer.")
    if annotation["annotation_level"] not in ANNOTATION_LEVELS:
        raise invalid(f"For 'properties{path}/annotation_level', it is not a member of {list(ANNOTATION_LEVELS)}.")
    if annotation["start_line"] > annotation["end_line"]:
        raise invalid(f"For 'properties{path}', start_line is after end_line.")
    if annotation["start_line"] != annotation["end_line"] and {"start_column", "end_column"} & annotation.keys():
        raise invalid(f"For 'properties{path}', columns are for annotations of a single line.")
    for name, limit in MAX_ANNOTATION_BYTES.items():
        if len(annotation.get(name, "").encode()) > limit:
            raise invalid(f"For 'properties{path}/{name}', it is longer than {limit} bytes.")
    if len(annotation.get("title", "")) > MAX_ANNOTATION_TITLE_CHARACTERS:
        raise invalid(f"For 'properties{path}/title', it is longer than {MAX_ANNOTATION_TITLE_CHARACTERS} characters.")


def _check_actions(actions: object) -> None:
    """Check the action buttons."""
    if not isinstance(actions, list) or len(actions) > MAX_ACTIONS:
        raise invalid(f"No more than {MAX_ACTIONS} items are allowed in 'properties/actions'.")
    for index, action in enumerate(actions):
        if not isinstance(action, dict):
            raise invalid(f"For 'properties/actions/{index}', it is not an object.")
        _check_strings(action, f"/actions/{index}", tuple(MAX_ACTION_CHARACTERS))
        _check_supplied(action, f"/actions/{index}", tuple(MAX_ACTION_CHARACTERS))
        for name, limit in MAX_ACTION_CHARACTERS.items():
            if len(action[name]) > limit:
                raise invalid(f"For 'properties/actions/{index}/{name}', it is longer than {limit} characters.")


def apply(run: CheckRun, body: Json, now: datetime) -> None:
    """Apply a valid body to a run, and record the transition if a user would see one.

    A conclusion completes the run. Annotations are appended, everything else is replaced.
    """
    run.name = body.get("name", run.name)
    run.external_id = body.get("external_id", run.external_id)
    run.details_url = body.get("details_url", run.details_url)
    run.actions = body.get("actions", run.actions)
    run.started_at = _time(body, "started_at") or run.started_at
    run.status = body.get("status", run.status)
    if "conclusion" in body:
        run.status, run.conclusion = "completed", body["conclusion"]
        run.completed_at = _time(body, "completed_at") or run.completed_at or now
    output = body.get("output", {})
    run.title = output.get("title", run.title)
    run.summary = output.get("summary", run.summary)
    run.text = output.get("text", run.text)
    run.annotations += output.get("annotations", [])
    step = (run.status, run.conclusion, run.title)
    if not run.history or (run.history[-1].status, run.history[-1].conclusion, run.history[-1].title) != step:
        run.history.append(Transition(now, *step))


def _time(body: Json, name: str) -> datetime | None:
    """A time of the body, in UTC."""
    return datetime.fromisoformat(body[name]).astimezone(UTC) if name in body else None
