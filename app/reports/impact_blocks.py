"""What a change does, in Markdown: what it breaks, what it reaches, and what changed, in this order; then a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.plurals import count, plural
from app.lineage.resource_types import label
from app.project.repository_settings import PATH
from app.reports import impact_picture
from app.reports.github_links import RepositoryLinks, link
from app.reports.impact_title import NO_CHANGE
from app.reports.markdown import code, prose

MAX_SHOWN = 25
"""Breaks, and nodes that changed: the details page lists more."""
MAX_EXPOSURES = 20
MAX_NAMES = 12
"""Nodes that one line names."""
MAX_NAME_BYTES = 100
LABELS: Mapping[str, str] = {
    "removed": "removed",
    "renamed": "renamed",
    "retyped": "other type",
    "rows": "other rows",
    "logic": "other values",
    "added": "added",
    "moved": "moved",
    "none": "same data",
}
KINDS = ("metric", "semantic_model", "saved_query")
"""That are listed after the exposures, and before the marts."""

Stored = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """The commit that a check run is about."""

    links: RepositoryLinks
    sha: str
    followed: bool
    """Whether its branch is the followed one."""


def blocks(found: Stored, where: Where) -> Iterator[str]:
    """Blocks of Markdown about a stored comparison; some may be empty."""
    if "totals" not in found:
        yield _not_compared(found, where)
        return
    nodes = _Nodes(found, where)
    yield _base(found, where)
    yield _outcome(found, where)
    yield from _breaks(found, nodes)
    yield from _reached(found, nodes)
    yield from _changed(found, nodes)
    yield from impact_picture.blocks(found)


class _Nodes:
    """How the nodes of a comparison are written."""

    def __init__(self, found: Stored, where: Where) -> None:
        self._nodes: Mapping[str, Mapping[str, Any]] = found["nodes"]
        self._base: str = found["base"]["sha"] or where.sha
        self._where = where
        self._lines = {one["unique_id"]: one["line"] for one in found["annotations"] if one["line"]}

    def get(self, unique_id: str) -> Mapping[str, Any]:
        return self._nodes.get(unique_id) or {"name": unique_id, "resource_type": unique_id.partition(".")[0]}

    def link(self, unique_id: str) -> str:
        """The name, with a link to the file, at the base if the node is gone."""
        node = self.get(unique_id)
        path, gone = node.get("path"), node.get("is_gone", False)
        sha, line = (self._base, None) if gone else (self._where.sha, self._lines.get(unique_id))
        return link(_cut(node["name"]), self._where.links.file(sha, path, line) if path else None)

    def facts(self, unique_id: str) -> str:
        """What it is, whose it is, and where: "exposure, dashboard, owner `Ann`, at `https://bi.example/1`"."""
        node = self.get(unique_id)
        owner, group, url = (node.get(key) for key in ("owner", "group", "url"))
        facts = [label(_word(node["resource_type"])), _word(node.get("kind") or "")]
        facts += [f"owner {code(owner)}"] if owner else [f"group {code(group)}"] if group else []
        facts += [f"at {code(url)}"] if url else []
        return ", ".join(filter(None, facts))


def _not_compared(found: Stored, where: Where) -> str:
    reason, base = found.get("reason"), found["base"]
    if found["state"] == "waiting" and (sha := base["wanted_sha"] or base["sha"]):
        return f"What this commit changes follows: Freshet is extracting {_commit(sha, where)}, {_branch_point(base, where)}."
    if found["state"] == "failed":
        return f"What this commit changes is not known. {prose(reason or '')}".strip()
    return prose(reason or "")


def _base(found: Stored, where: Where) -> str:
    base = found["base"]
    compared = f"Compared with {_commit(base['sha'], where)}"
    if base["kind"] == "nearest" and base["wanted_sha"]:
        wanted = f"{_commit(base['wanted_sha'], where)}, {_branch_point(base, where)}"
        if found["state"] == "waiting":
            return f"{compared} for now, the nearest earlier commit with a lineage. Freshet is extracting {wanted}, and then corrects this."
        return f"{compared}, the nearest earlier commit with a lineage, instead of {wanted}. {prose(found.get('reason') or '')}".strip()
    behind = base["behind_by"] or 0
    newer = (
        f" {code(base['branch'])} has {count(behind, 'newer commit')}, which count for nothing here." if behind and base["branch"] else ""
    )
    return f"{compared}, {_branch_point(base, where)}.{newer}"


def _branch_point(base: Mapping[str, Any], where: Where) -> str:
    branch = code(base["branch"]) if base["branch"] else "the followed branch"
    if base["kind"] == "previous_head":
        return f"the previous head of {branch}"
    number = base["pull_request"]
    of = f", the base of [pull request {number}]({where.links.pull_request(number)})" if number else ""
    return f"the merge base with {branch}{of}"


def _commit(sha: str, where: Where) -> str:
    return link(sha[:7], where.links.commit(sha))


def _outcome(found: Stored, where: Where) -> str:
    """What made the check fail, or would have; empty if nothing did."""
    if found["conclusion"] != "failure":
        return ""
    if where.followed:
        return "On the followed branch, this check does not fail because of breaks."
    mine = found["policy"]["breaks"] == "fail"
    at = "" if mine else " of the commit that it is compared with"
    return f"This check fails because `impact` in `{PATH}`{at} says so."


def _breaks(found: Stored, nodes: _Nodes) -> Iterator[str]:
    for certain, heading in ((True, "What breaks"), (False, "What may break")):
        lines = [_break(one, nodes) for one in found["breaks"] if one["certain"] == certain]
        number = sum(found["totals"]["certain" if certain else "possible"].values())
        if lines or number:
            yield f"### {heading}"
            distinct = {one["unique_id"] for one in found["breaks"][:MAX_SHOWN] if one["certain"] == certain}
            yield _list(lines, max(number - len(distinct), len(lines) - MAX_SHOWN))


def _break(one: Mapping[str, Any], nodes: _Nodes) -> str:
    elsewhere = " of another project" if one.get("connection_id") else ""
    return f"- {nodes.link(one['unique_id'])} ({nodes.facts(one['unique_id'])}{elsewhere}): {prose(one['reason'])}"


def _reached(found: Stored, nodes: _Nodes) -> Iterator[str]:
    counts = found["counts"].get("reached", {})
    if not counts:
        return
    yield "### What is reached"
    yield f"{_reached_counts(found)}."
    broken = {one["unique_id"] for one in found["breaks"]}
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in found["reached"]:
        groups.setdefault(_group(one, nodes), []).append(one)
    lines = []
    if exposures := groups.pop("exposure", []):
        shown = [one for one in exposures if one["unique_id"] not in broken]
        lines += [f"- {nodes.link(one['unique_id'])} ({nodes.facts(one['unique_id'])}){_through(one)}" for one in shown[:MAX_EXPOSURES]]
        rest = counts.get("exposure", 0) - len(exposures) + max(len(shown) - MAX_EXPOSURES, 0)
        lines += [f"- {count(rest, 'more exposure')}"] if rest > 0 else []
    order = (*KINDS, "mart", "other model")
    for kind in sorted(groups, key=lambda kind: order.index(kind) if kind in order else len(order)):
        lines.append(_names(kind, groups[kind], _number(kind, found), nodes))
    yield "\n".join(lines)
    yield _owners(found["counts"])


def _group(one: Mapping[str, Any], nodes: _Nodes) -> str:
    kind = _word(one["resource_type"])
    if kind != "model":
        return kind
    return "mart" if nodes.get(one["unique_id"]).get("is_mart") else "other model"


def _number(kind: str, found: Stored) -> int:
    """How many nodes of a group there are in all."""
    counts: Mapping[str, int] = found["counts"]["reached"]
    marts: int = found["totals"]["marts"]
    return {"mart": marts, "other model": counts.get("model", 0) - marts}.get(kind, counts.get(kind, 0))


def _reached_counts(found: Stored) -> str:
    kinds = dict.fromkeys(("exposure", *KINDS, "mart", "other model", *(kind for kind in found["counts"]["reached"] if kind != "model")))
    numbers = {kind: _number(kind, found) for kind in kinds}
    if not numbers["mart"]:
        numbers = {"model" if kind == "other model" else kind: number for kind, number in numbers.items()}
    return ", ".join(count(number, label(_word(kind))) for kind, number in numbers.items() if number)


def _names(kind: str, group: Sequence[Mapping[str, Any]], number: int, nodes: _Nodes) -> str:
    names = [nodes.link(one["unique_id"]) for one in group[:MAX_NAMES]]
    rest = max(number, len(group)) - len(names)
    noun = plural(label(kind))
    return f"- {noun[0].upper()}{noun[1:]}: {', '.join(names)}{f' and {rest:,} more' if rest > 0 else ''}"


def _through(one: Mapping[str, Any]) -> str:
    return f", through {_columns(one)}" if one["columns"] else ""


def _owners(counts: Mapping[str, Mapping[str, int]]) -> str:
    lists = []
    for key, words in (("owners", "By owner"), ("groups", "By group")):
        if numbers := counts.get(key):
            lists.append(f"{words}: {', '.join(f'{code(name, MAX_NAME_BYTES)} {number:,}' for name, number in numbers.items())}.")
    return " ".join(lists)


def _changed(found: Stored, nodes: _Nodes) -> Iterator[str]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in found["changes"]:
        groups.setdefault(one["unique_id"], []).append(one)
    if all(one["class"] == "none" for one in found["changes"]):
        yield f"{NO_CHANGE}."
    if not groups:
        return
    yield "### What changed"
    yield _list([_changes(unique_id, group, nodes) for unique_id, group in groups.items()], _changed_more(found, len(groups)))


def _changed_more(found: Stored, listed: int) -> int:
    totals = found["totals"]
    number = sum(sum(totals[name].values()) for name in ("changed", "added", "removed")) + totals["inherited"]
    return max(number, listed) - min(listed, MAX_SHOWN)


def _changes(unique_id: str, group: Sequence[Mapping[str, Any]], nodes: _Nodes) -> str:
    """One node with its changes; those that it inherits are short."""
    name, kind = f"- {nodes.link(unique_id)}", nodes.get(unique_id)["resource_type"]
    name += "" if kind == "model" else f" ({label(_word(kind))})"
    if all(one["inherited"] for one in group):
        return f"{name} inherits: {'; '.join(_short_change(one) for one in group)}"
    if len(group) == 1:
        return f"{name}: {_change(group[0])}"
    return "\n".join([name, *(f"  - {_change(one)}" for one in group)])


def _change(one: Mapping[str, Any]) -> str:
    """The class and why: "**removed**: `amount` is no longer a column of `orders`."."""
    return f"**{_label(one)}**{'' if one['certain'] else ' (possible)'}: {prose(one['reason'])}"


def _short_change(one: Mapping[str, Any]) -> str:
    columns = _columns(one)
    if one["class"] == "renamed" and one["new_columns"]:
        pairs = zip(one["columns"], one["new_columns"], strict=False)
        columns = f"{', '.join(f'{_code(old)} to {_code(new)}' for old, new in pairs)}{_more(one)}"
    return f"{_label(one)}{f' {columns}' if columns else ''}"


def _label(one: Mapping[str, Any]) -> str:
    return LABELS.get(one["class"]) or _word(one["class"])


def _columns(one: Mapping[str, Any]) -> str:
    return f"{', '.join(map(_code, one['columns']))}{_more(one)}"


def _more(one: Mapping[str, Any]) -> str:
    return f" and {one['more_columns']:,} more" if one.get("more_columns") else ""


def _list(lines: Sequence[str], more: int) -> str:
    return "\n".join([*lines[:MAX_SHOWN], *([f"- {more:,} more"] if more > 0 else [])])


def _word(name: str) -> str:
    """A word that a stored value has in place of one of ours: only letters and `_`."""
    return "".join(character for character in name if character.isalpha() or character in "_ ")[:40]


def _code(name: str) -> str:
    return code(name, MAX_NAME_BYTES)


def _cut(name: str) -> str:
    return name[:MAX_NAME_BYTES]
