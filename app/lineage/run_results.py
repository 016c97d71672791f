"""What dbt's own runs say of nodes: `run_results.json` and `sources.json`, as their authors send them.

https://docs.getdbt.com/reference/artifacts/run-results-json, https://docs.getdbt.com/reference/artifacts/sources-json
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

import msgspec

ArtifactKind = Literal["run_results", "sources"]
Verdict = Literal["passed", "warned", "failed", "skipped"]
MAX_RESULTS = 50_000
MAX_OBJECTS = 400_000
"""Of a document, by its opening braces: the memory that decoding takes is limited by them. A result has up to seven."""
MAX_MESSAGE_BYTES = 64 << 10
"""A longer message is not decoded."""
MAX_MESSAGE = 1_000
"""Characters of a message that are looked at."""
MAX_ID = 1_000
FIRST_YEAR = 2016
MAX_AMOUNT = 1 << 60
"""Of bytes, slots and failures: more does not fit into the database once it is summed."""
VERSIONS: Mapping[str, tuple[ArtifactKind, frozenset[int]]] = {
    "run-results": ("run_results", frozenset({4, 5, 6})),
    "sources": ("sources", frozenset({3})),
}
"""What is accepted, by the name in `dbt_schema_version`."""
ACCEPTED = "Freshet accepts `run_results.json` (v4 to v6) and `sources.json` (v3)"
NOT_RUNS = frozenset({"compile", "docs", "generate", "list", "ls", "parse", "show"})
"""Commands that write `run_results.json` although they build and test nothing."""
VERDICTS: Mapping[str, Verdict] = {
    **dict.fromkeys(("success", "pass", "no-op", "reused"), "passed"),
    **dict.fromkeys(("error", "fail", "runtime error", "partial success"), "failed"),
    "warn": "warned",
    "skipped": "skipped",
}
"""What dbt's statuses mean; others, of later versions, count as `passed`."""
FAILED = tuple(sorted(status for status, verdict in VERDICTS.items() if verdict == "failed"))
_SCHEMA = re.compile(r"https://schemas\.getdbt\.com/dbt/([a-z-]{1,30})/v(\d{1,3})\.json")
_PLACE = re.compile(r" - at `(?:key in )?\$\.?([^`]{0,200})`\Z")
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Status = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z -]{0,29}\Z")]
_Amount = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]


class NodeResult(NamedTuple):
    """What one run said of one node."""

    unique_id: str
    status: str
    """dbt's word."""
    seconds: float | None
    failures: int | None
    """Rows that a test found."""
    message: str | None
    """As dbt wrote it: it may have secrets, and characters that control a terminal."""
    loaded_at: datetime | None
    """Of a source: when its newest row was loaded."""
    bytes: int | None
    """That the warehouse billed or, if it did not say so, read."""
    slot_ms: int | None
    """BigQuery's slot milliseconds."""


class RunArtifact(NamedTuple):
    """The results of one run of dbt, once per node."""

    kind: ArtifactKind
    invocation_id: str
    generated_at: datetime
    total: int
    """Results in the document; of several of one node, the last one counts."""
    results: Mapping[str, NodeResult]


class ArtifactError(Exception):
    """The document is not an artifact that is accepted; `field` names the place, `reason` continues "`field`: …"."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class _Metadata(msgspec.Struct, gc=False):
    dbt_schema_version: str
    generated_at: _Moment
    invocation_id: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,100}\Z")]


class _Arguments(msgspec.Struct, gc=False):
    which: msgspec.Raw = msgspec.Raw(b"null")


class _Result(msgspec.Struct, gc=False):
    unique_id: _Text
    status: _Status
    execution_time: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None = None
    failures: _Amount | None = None
    message: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    """Of a source that could not be asked."""
    adapter_response: msgspec.Raw = msgspec.Raw(b"null")
    max_loaded_at: _Moment | None = None


class _Head(msgspec.Struct, gc=False):
    metadata: _Metadata
    args: _Arguments | None = None


class _Document(msgspec.Struct, gc=False):
    results: list[_Result]


class _Response(msgspec.Struct, gc=False):
    """https://docs.getdbt.com/reference/artifacts/run-results-json: adapters write what they like."""

    bytes_billed: _Amount | None = None
    bytes_processed: _Amount | None = None
    data_scanned_in_bytes: _Amount | None = None
    slot_ms: _Amount | None = None


_head = msgspec.json.Decoder(_Head).decode
_document = msgspec.json.Decoder(_Document).decode
_response = msgspec.json.Decoder(_Response, strict=False).decode
_message = msgspec.json.Decoder(str | None).decode


def verdict(status: str) -> Verdict:
    """What dbt's word means for a reader."""
    return VERDICTS.get(status, "passed")


def decode(content: bytes | bytearray) -> RunArtifact:
    """Read an artifact. Raises ArtifactError. Its time and memory grow with the size; messages over `MAX_MESSAGE_BYTES` stay unread."""
    if content.count(b"{") > MAX_OBJECTS:
        raise _too_many()
    try:
        head = _head(content)
    except _ERRORS as error:
        raise _malformed(error) from error
    kind, at = _kind(head.metadata.dbt_schema_version), _utc(head.metadata.generated_at)
    if at is None or at.year < FIRST_YEAR:
        raise ArtifactError("metadata.generated_at", "is before there was dbt")
    if head.args is not None and (command := _command(head.args.which)) in NOT_RUNS:
        reason = f"it is of `dbt {command}`, which builds and tests nothing: send that of `dbt build`, `dbt run` or `dbt test`"
        raise ArtifactError("args.which", reason)
    try:
        found = _document(content).results
    except _ERRORS as error:
        raise _malformed(error) from error
    if len(found) > MAX_RESULTS:
        raise _too_many()
    results = {one.unique_id: _result(number, one) for number, one in enumerate(found)}
    return RunArtifact(kind, head.metadata.invocation_id, at, len(found), results)


def _kind(version: str) -> ArtifactKind:
    found = _SCHEMA.fullmatch(version)
    kind, versions = VERSIONS.get(found[1], (None, frozenset[int]())) if found else (None, frozenset[int]())
    if found is None or kind is None or int(found[2]) not in versions:
        what = f"is {found[1]} v{found[2]}" if found else "is not the address of a schema of dbt's artifacts"
        raise ArtifactError("metadata.dbt_schema_version", f"{what}; {ACCEPTED}")
    return kind


def _command(which: msgspec.Raw) -> str | None:
    """The command that dbt names; None for anything else: it is read only to refuse."""
    return next((name for name in NOT_RUNS if bytes(which) == f'"{name}"'.encode()), None) if len(which) < MAX_ID else None


def _result(number: int, one: _Result) -> NodeResult:
    message = _words(number, "message", one.message) or _words(number, "error", one.error)
    response = _spent(one.adapter_response)
    billed = next((spent for spent in (response.bytes_billed, response.bytes_processed, response.data_scanned_in_bytes) if spent), None)
    seconds = one.execution_time if one.execution_time is not None and math.isfinite(one.execution_time) else None
    return NodeResult(one.unique_id, one.status, seconds, one.failures, message, _utc(one.max_loaded_at), billed, response.slot_ms)


def _utc(at: datetime | None) -> datetime | None:
    """None for what no calendar has: the first and the last hours that a datetime can name."""
    try:
        return at and at.astimezone(UTC)
    except OverflowError:
        return None


def _words(number: int, field: str, raw: msgspec.Raw) -> str | None:
    """The beginning of a message."""
    if len(raw) > MAX_MESSAGE_BYTES:
        return f"(a message of {len(raw):,} bytes)"
    try:
        text = _message(raw)
    except _ERRORS as error:
        raise ArtifactError(f"results[{number}].{field}", "must be a text or null") from error
    return text[:MAX_MESSAGE] if text else None


def _spent(raw: msgspec.Raw) -> _Response:
    """What the warehouse said of its work; nothing if it is not said in a way that is known."""
    if len(raw) > MAX_MESSAGE_BYTES:
        return _Response()
    try:
        return _response(raw)
    except _ERRORS:
        return _Response()


def _too_many() -> ArtifactError:
    return ArtifactError("results", f"has more than {MAX_RESULTS:,} results: send it in parts")


def _malformed(error: Exception) -> ArtifactError:
    if isinstance(error, RecursionError):
        return ArtifactError("body", "is nested too deep")
    if not isinstance(error, msgspec.ValidationError):
        return ArtifactError("body", "is not JSON in UTF-8")
    text = str(error)[:MAX_ID]
    place = _PLACE.search(text)
    reason = text[: place.start()] if place else text
    return ArtifactError((place and place[1]) or "body", f"{reason[:1].lower()}{reason[1:]}")
