"""The Markdown of a check run: what stands below its title, from values alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.images import Wish
from app.inference.project import Layout
from app.jobs import STAGES, Extraction, Problem, Stage, StageTime
from app.remarks import Remark
from app.settings import PATH
from app.wording.markdown import code, fenced, plain, prose, table

MAX_ANNOTATIONS = 50
"""GitHub takes as many at once."""
LISTED_REMARKS = 20
LISTED_PROJECTS = 10
LISTED_PLACEHOLDERS = 50
SHOWN_OUTPUT_LINES = 40
SHOWN_OUTPUT_BYTES = 8_000
STAGE_WORDS: Mapping[Stage, str] = {
    "cloning": "Fetch the commit",
    "installing_deps": "Install packages",
    "parsing": "Parse with dbt",
    "columns": "Trace columns",
    "storing": "Store the lineage",
}

_SECRET = re.compile(
    r"PASS(?:WORD|WD|PHRASE)|SECRET|TOKEN|CREDENTIAL|PRIVATE|(?:API|ACCESS)_?KEY|(?:^|_)(?:PASS|KEY|PWD|PAT)$", re.IGNORECASE
)
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 takes for something else than text: https://yaml.org/type/bool.html."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_BARE = re.compile(r"-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?|true|false")
"""What YAML reads as a number or a boolean."""


def blocks(extraction: Extraction) -> Iterator[str]:
    """Yield the blocks of a summary, the most important first; some may be empty."""
    if extraction.problem:
        yield from _problem(extraction.problem)
    if extraction.status == "cancelled":
        yield "It was cancelled before it ended. Re-run it to extract this commit all the same."
    if extraction.status == "superseded":
        yield "A newer commit of this branch arrived before this one's turn: its check run has the lineage."
    if extraction.status == "succeeded":
        of = extraction.result
        yield _found(of)
        yield _changed(of)
        yield from (f"> {prose(note)}" for note in of.get("notes", ()))
        yield from _placeholders(of.get("placeholders", ()))
        yield _remarks(remarks_of(extraction))
    if (unshown := sum(1 for remark in remarks_of(extraction) if remark.path) - MAX_ANNOTATIONS) > 0:
        yield f"{unshown:,} more places have an annotation that is not shown: {MAX_ANNOTATIONS} are."
    if extraction.stages or extraction.status in ("queued", "running"):
        yield table(["stage", ""], stage_rows(extraction))


def remarks_of(extraction: Extraction) -> tuple[Remark, ...]:
    """Return what is said of an extraction place by place, the worst first."""
    if extraction.problem:
        found = extraction.problem.remarks
    else:
        stored = extraction.result.get("remarks", ())
        found = tuple(Remark(**{key: of.get(key) for key in ("level", "title", "message", "path", "line")}) for of in stored)
    order = ("failure", "warning", "notice")
    return tuple(sorted(found, key=lambda remark: order.index(remark.level)))


def stage_rows(extraction: Extraction) -> list[tuple[str, str]]:
    """Return the stages in order with their state or duration: ("Parse with dbt", "2.1 s")."""
    done = {stage.stage: stage for stage in extraction.stages}
    shown = [stage for stage in STAGES if stage in done or (stage != "installing_deps" and not extraction.finished_at)]
    return [(STAGE_WORDS[stage], _stage_state(done.get(stage))) for stage in shown]


def place_words(path: str | None, line: int | None) -> str:
    """Return "`models/a.sql`, line 3", nothing without a path."""
    return f"{code(path)}{f', line {line}' if line else ''}" if path else ""


def lines_to_paste(placeholders: Iterable[Mapping[str, Any]]) -> str:
    """Return the YAML that sets these values in `.github/freshet.yml`; names that look like secrets are left out."""
    lines: dict[str, list[str]] = {"env": [], "vars": []}
    for one in placeholders:
        name, value = plain(one["name"], 200), plain(one["value"], 200)
        key = "env" if one["kind"] == "env_var" else "vars"
        if is_secret(name) or (key == "env" and not _NAME.fullmatch(name)):
            continue  # one line that the file may not have, and nothing of it holds
        shown = value if key == "vars" and _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
        lines[key].append(
            f"  {name if _NAME.fullmatch(name) and name.lower() not in _WORDS else json.dumps(name, ensure_ascii=False)}: {shown}"
        )
    return "\n".join("\n".join([f"{key}:", *dict.fromkeys(rows)]) for key, rows in lines.items() if rows)


def is_secret(name: str) -> bool:
    """Tell whether a variable's name is one that people give to secrets."""
    return _SECRET.search(name) is not None


def notes(layout: Layout, adapter_type: str, dbt_version: str, image: str) -> list[str]:
    """Return sentences on what was inferred and what was left out; names in them are in code."""
    found = [
        f"Parsed for {adapter_type} with the target {code(layout.warehouse.target)}: {layout.warehouse.evidence}.",
        f"dbt {dbt_version} in the image {code(image)}: {_asked(layout.dbt)}.",
    ]
    others = [directory for directory in layout.found.projects if directory != layout.project_dir]
    if others:
        found.append(f"More dbt projects of this repository, each with a check run of its own: {_listed([_named(one) for one in others])}.")
    # A project that somebody names is extracted wherever it lies.
    if left_out := [one for one in layout.found.left_out if one.directory != layout.project_dir]:
        reasons = [f"{_named(one.directory)} {one.reason.rstrip('.')}" for one in left_out]
        found.append(f"Left out, since no project of its own: {_listed(reasons, '; ')}.")
    return found


def _problem(found: Problem) -> Iterator[str]:
    yield prose(found.message)
    where = place_words(found.path, found.line)
    yield f"**{where}**" if where else ""
    yield fenced(_head(found.output, SHOWN_OUTPUT_LINES), SHOWN_OUTPUT_BYTES) if found.output else ""
    yield prose(found.next_step)
    yield _remarks([remark for remark in found.remarks if not (found.output and remark.level == "failure" and remark.path)])


def _remarks(found: Sequence[Remark]) -> str:
    lines = []
    for remark in found[:LISTED_REMARKS]:
        where = place_words(remark.path, remark.line)
        lines.append(f"- {prose(remark.title)}{f' ({where})' if where else ''}: {prose(remark.message)}")
    if len(found) > LISTED_REMARKS:
        lines.append(f"- {len(found) - LISTED_REMARKS:,} more")
    return "\n".join(lines)


def _placeholders(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not found:
        return
    yield (
        f"**Values were invented for {len(found):,} {'name' if len(found) == 1 else 'names'}** that the project reads and that have no "
        "default. Most do not change the lineage; set those that do."
    )
    rows = [(code(one["name"]), one["kind"], code(one["value"]), place_words(one.get("path"), one.get("line"))) for one in found]
    yield table(["name", "kind", "value used", "where"], rows[:LISTED_PLACEHOLDERS])
    if len(found) > LISTED_PLACEHOLDERS:
        yield f"{len(found) - LISTED_PLACEHOLDERS:,} more names are on the page."
    if text := lines_to_paste(found[:LISTED_PLACEHOLDERS]):
        yield f"To set real values, put these lines into `{PATH}` and change them. The file is no place for secrets."
        yield fenced(text, 12_000, "yaml")
    if secret := [one["name"] for one in found if is_secret(one["name"])][:10]:
        yield f"{', '.join(code(name, 80) for name in secret)}: parsing needs no real secret, leave it as it is."


def _found(of: Mapping[str, Any]) -> str:
    rows = [(kind.replace("_", " "), f"{count:,}") for kind, count in of["counts"].items()]
    where = f" in {code(of['project_dir'])}" if of["project_dir"] else ""
    rows.append(("edges", f"{of['edges']:,}"))
    head = f"Project {code(of['project_name'] or '')}{where}, dbt {prose(of['dbt_version'])}, {prose(of['adapter_type'] or 'no adapter')}."
    return f"{head}\n\n{table(['found', ''], rows)}"


def _changed(of: Mapping[str, Any]) -> str:
    change = of["change"]
    if change is None:
        return "This is the first lineage of the project."
    if of.get("carried_from") and not change["total"]:
        return f"Nothing that dbt reads changed: the lineage of `{of['carried_from'][:7]}` still holds, and dbt did not run."
    if not change["total"]:
        return "Nothing changed against the lineage before."
    lines = ["**What changed against the lineage before**", ""]
    for key, sign in (("nodes_added", "added"), ("nodes_removed", "removed"), ("nodes_changed", "changed")):
        lines += [f"- {sign} {code(name)}" for name in change[key]]
        if (rest := change["counts"][key] - len(change[key])) > 0:
            lines.append(f"- {sign}: {rest:,} more")
    edges = [f"{change['counts'][key]:,} {word}" for key, word in (("edges_added", "added"), ("edges_removed", "removed"))]
    lines.append(f"- edges: {', '.join(edges)}")
    return "\n".join(lines)


def _asked(wish: Wish) -> str:
    if wish.required:
        return f"{wish.evidence or 'the project'} asks for {', '.join(code(one) for one in wish.required)}"
    return f"{wish.evidence or 'the project'} names {code(wish.locked)}" if wish.locked else "the project asks for no version"


def _named(directory: str) -> str:
    return code(directory) if directory else "the root"


def _listed(names: Sequence[str], between: str = ", ") -> str:
    rest = len(names) - LISTED_PROJECTS
    return between.join([*names[:LISTED_PROJECTS], *([f"and {rest:,} more"] if rest > 0 else [])])


def _stage_state(stage: StageTime | None) -> str:
    if stage is None:
        return "waiting"
    return "under way" if stage.seconds is None else f"{stage.seconds:.1f} s"


def _head(text: str, lines: int) -> str:
    kept = text.strip().splitlines()
    return "\n".join(kept[:lines]) + (f"\n… {len(kept) - lines} more lines" if len(kept) > lines else "")
