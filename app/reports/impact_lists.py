"""The lists of what a change breaks, reaches and changes, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.plurals import count, plural
from app.lineage.resource_types import label
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
TESTS = ("test", "unit_test")
KINDS = ("metric", "semantic_model", "saved_query")
"""That are listed after the exposures, and before the marts."""

Stored = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """The commit that a check run is about."""

    page: str
    """The address of our page of it, which lists more."""
    links: RepositoryLinks
    sha: str
    followed: bool
    """Whether its branch is the followed one."""


class ReportedNodes:
    """How the nodes of a comparison are written."""

    def __init__(self, found: Stored, where: Where) -> None:
        self._nodes: Mapping[str, Mapping[str, Any]] = found["nodes"]
        self._base: str = found["base"]["sha"] or where.sha
        self._where = where
        self._lines = {one["unique_id"]: one["line"] for one in found["annotations"] if one["line"]}

    def get(self, unique_id: str) -> Mapping[str, Any]:
        """What is stored of a node."""
        return self._nodes.get(unique_id) or {"name": unique_id, "resource_type": unique_id.partition(".")[0]}

    def link(self, unique_id: str) -> str:
        """The name, with a link to the file, at the base if the node is gone."""
        return link(_cut(self.get(unique_id)["name"]), self._address(unique_id))

    def place(self, unique_id: str) -> str:
        """The file, with a link to it, and the line: " in `models/kpis.sql`, line 3"; empty if it is not in the repository."""
        path, line = self.get(unique_id).get("path"), self._lines.get(unique_id)
        return f" in {link(path, self._address(unique_id))}{f', line {line}' if line else ''}" if path else ""

    def more(self, number: int, noun: str = "") -> str:
        """How many are not listed, with a link to our page."""
        return f"[{count(number, f'more {noun}') if noun else f'{number:,} more'}]({self._where.page})"

    def name(self, unique_id: str) -> str:
        """The name alone."""
        return _code(self.get(unique_id)["name"])

    def facts(self, unique_id: str) -> str:
        """What it is, and whose: "exposure, owner `Ann`"."""
        node = self.get(unique_id)
        owner, group = node.get("owner"), node.get("group")
        owned = f", owner {_code(owner)}" if owner else f", group {_code(group)}" if group else ""
        return f"{label(_word(node['resource_type']))}{owned}"

    def _address(self, unique_id: str) -> str | None:
        node = self.get(unique_id)
        path, gone = node.get("path"), node.get("is_gone", False)
        sha, line = (self._base, None) if gone else (self._where.sha, self._lines.get(unique_id))
        return self._where.links.file(sha, path, line) if path else None

    def exposure(self, unique_id: str) -> str:
        """What an exposure is, whose, and where: "dashboard, owner `Ann`, `https://bi.example/1`"."""
        node = self.get(unique_id)
        url, owner = node.get("url"), node.get("owner")
        facts = [_word(node.get("kind") or ""), f"owner {_code(owner)}" if owner else "", code(url) if url else ""]
        return ", ".join(filter(None, facts))


def breaks(found: Stored, nodes: ReportedNodes) -> Iterator[str]:
    """What breaks, and what may: the certain ones first."""
    totals = found["totals"]
    numbers = {True: totals["certain_breaks"], False: totals["breaks"] - totals["certain_breaks"]}
    for certain, heading in ((True, "What breaks"), (False, "What may break")):
        if numbers[certain]:
            lines = [_break(one, nodes) for one in found["breaks"] if one["certain"] == certain][:MAX_SHOWN]
            yield f"### {heading}"
            yield _list(lines, numbers[certain] - len(lines), nodes)
    if found["counts"].get("elsewhere", {}).get("hidden_nodes"):
        yield "" if totals["breaks"] else "### What may break"
    yield from not_named(found)


def not_named(found: Stored) -> Iterator[str]:
    """What breaks in other projects, and is not listed, in sentences."""
    elsewhere = found["counts"].get("elsewhere", {})
    if elsewhere.get("hidden_nodes"):
        repositories = count(elsewhere["hidden_repositories"], "private repository")
        yield f"In {repositories} of this owner that not everybody here may read, {count(elsewhere['hidden_nodes'], 'node')} may break too."
    if elsewhere.get("not_searched"):
        projects = count(elsewhere["not_searched"], "project")
        yield f"Not searched for what breaks: {projects} more of this owner with sources that are tables of this one."


def _break(one: Mapping[str, Any], nodes: ReportedNodes) -> str:
    unique_id = one["unique_id"]
    place = " in another project" if one.get("connection_id") else nodes.place(unique_id)
    return f"- {nodes.name(unique_id)} ({nodes.facts(unique_id)}){place}: {prose(one.get('reason', ''))}"


def reached(found: Stored, nodes: ReportedNodes) -> Iterator[str]:
    """What depends on a change: exposures first."""
    counts = found["counts"].get("reached", {})
    if not counts:
        return
    yield "### What is reached"
    yield f"{reached_counts(found)}."
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in found["reached"]:
        groups.setdefault(_group(one, nodes), []).append(one)
    exposures = groups.pop("exposure", [])[:MAX_EXPOSURES]
    lines = [_exposure(one, nodes) for one in exposures]
    rest = counts.get("exposure", 0) - len(exposures)
    lines += [f"- {nodes.more(rest, 'exposure')}"] if rest > 0 else []
    order = (*KINDS, "mart", "other model")
    for kind in sorted(groups, key=lambda kind: order.index(kind) if kind in order else len(order)):
        lines.append(_names(kind, groups[kind], _number(kind, found), nodes))
    yield "\n".join(lines)
    yield _owners(found["counts"])


def _exposure(one: Mapping[str, Any], nodes: ReportedNodes) -> str:
    title, facts = nodes.get(one["unique_id"]).get("label"), nodes.exposure(one["unique_id"])
    through = f", through {_columns(one)}" if one.get("columns") else ""
    return f"- Exposure {nodes.link(one['unique_id'])}{f' {_code(title)}' if title else ''}{f': {facts}' if facts else ''}{through}"


def _group(one: Mapping[str, Any], nodes: ReportedNodes) -> str:
    kind = _word(one["resource_type"])
    if kind != "model":
        return kind
    return "mart" if nodes.get(one["unique_id"]).get("is_mart") else "other model"


def _number(kind: str, found: Stored) -> int:
    """How many nodes of a group there are in all."""
    counts: Mapping[str, int] = found["counts"].get("reached", {})
    marts: int = found["totals"]["marts"]
    if kind == "mart":
        return marts
    number: int = counts.get("model" if kind == "other model" else kind, 0)
    return number - marts if kind == "other model" else number


def reached_counts(found: Stored) -> str:
    """The numbers of nodes that are reached: "2 exposures, 1 metric, 3 marts"."""
    others = sorted(found["counts"].get("reached", {}).keys() - {"model"}, key=lambda kind: (kind in TESTS, kind))
    kinds = dict.fromkeys(("exposure", *KINDS, "mart", "other model", *others))
    numbers = {kind: _number(kind, found) for kind in kinds}
    if not numbers["mart"]:
        numbers = {"model" if kind == "other model" else kind: number for kind, number in numbers.items()}
    return ", ".join(count(number, label(_word(kind))) for kind, number in numbers.items() if number)


def _names(kind: str, group: Sequence[Mapping[str, Any]], number: int, nodes: ReportedNodes) -> str:
    names = [nodes.link(one["unique_id"]) for one in group[:MAX_NAMES]]
    rest = max(number, len(group)) - len(names)
    noun = plural(label(kind))
    return f"- {noun[0].upper()}{noun[1:]}: {', '.join(names)}{f' and {rest:,} more' if rest > 0 else ''}"


def _owners(counts: Mapping[str, Mapping[str, int]]) -> str:
    lists = []
    for key, words in (("owners", "By owner"), ("groups", "By group")):
        if numbers := counts.get(key):
            lists.append(f"{words}: {', '.join(f'{code(name, MAX_NAME_BYTES)} {number:,}' for name, number in numbers.items())}.")
    return " ".join(lists)


def changed(found: Stored, nodes: ReportedNodes) -> Iterator[str]:
    """What changed, node by node."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in found["changes"]:
        groups.setdefault(one["unique_id"], []).append(one)
    if all(one["class"] == "none" for one in found["changes"]):
        yield f"{NO_CHANGE}."
    if not groups:
        return
    yield "### What changed"
    yield _list([_changes(unique_id, group, nodes) for unique_id, group in groups.items()], _more_changed(found, len(groups)), nodes)


def _more_changed(found: Stored, listed: int) -> int:
    totals = found["totals"]
    number: int = sum(sum(totals[name].values()) for name in ("changed", "added", "removed")) + totals["inherited"]
    return max(number, listed) - min(listed, MAX_SHOWN)


def _changes(unique_id: str, group: Sequence[Mapping[str, Any]], nodes: ReportedNodes) -> str:
    """One node with its changes; those that it inherits are short."""
    name, kind = f"- {nodes.link(unique_id)}", nodes.get(unique_id)["resource_type"]
    name += "" if kind == "model" else f" ({label(_word(kind))})"
    if all(one.get("inherited") for one in group):
        return f"{name} inherits: {'; '.join(_short_change(one) for one in group)}"
    if len(group) == 1:
        return f"{name}: {_change(group[0])}"
    return "\n".join([name, *(f"  - {_change(one)}" for one in group)])


def _change(one: Mapping[str, Any]) -> str:
    """The class and why: "**removed**: `amount` is no longer a column of `orders`."."""
    return f"**{class_label(one['class'])}**{'' if one['certain'] else ' (possible)'}: {prose(one.get('reason', ''))}"


def _short_change(one: Mapping[str, Any]) -> str:
    columns = _columns(one)
    if one["class"] == "renamed" and one.get("new_columns"):
        pairs = zip(one.get("columns", ()), one["new_columns"], strict=False)
        columns = f"{', '.join(f'{_code(old)} to {_code(new)}' for old, new in pairs)}{_more(one)}"
    return f"{class_label(one['class'])}{f' {columns}' if columns else ''}"


def class_label(name: str) -> str:
    """A class of changes in words."""
    return LABELS.get(name) or _word(name)


def _columns(one: Mapping[str, Any]) -> str:
    return f"{', '.join(map(_code, one.get('columns', ())))}{_more(one)}"


def _more(one: Mapping[str, Any]) -> str:
    return f" and {one['more_columns']:,} more" if one.get("more_columns") else ""


def _list(lines: Sequence[str], more: int, nodes: ReportedNodes) -> str:
    return "\n".join([*lines[:MAX_SHOWN], *([f"- {nodes.more(more)}"] if more > 0 else [])])


def _word(name: str) -> str:
    """A word that a stored value has in place of one of ours: only letters and `_`."""
    return "".join(character for character in name if character.isalpha() or character in "_ ")[:40]


def _code(name: str) -> str:
    return code(name, MAX_NAME_BYTES)


def _cut(name: str) -> str:
    return name[:MAX_NAME_BYTES]
