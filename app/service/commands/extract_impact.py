"""What `extract --base` prints: what the change since another commit does."""

from __future__ import annotations

import hashlib

import msgspec
from rich.console import Console

from app.core.errors import ColumnsError
from app.core.plurals import count
from app.lineage.column_document import NodeColumns
from app.lineage.impact.compute import ImpactComputation
from app.lineage.impact.mentions import MAX_TEXT
from app.lineage.impact.model import Impact
from app.lineage.impact.versions import ImpactPair, ImpactSide, ImpactVersion, SideName
from app.lineage.nodes import Node
from app.reports import impact_listing
from app.reports.command_line import for_command_line
from app.reports.impact_places import Places
from app.service.commands.extract_columns import print_lines
from app.service.commands.extracted import Extracted, TracedColumns


def print_impact(console: Console, base: Extracted, head: Extracted) -> None:
    """Print what the change does, and what else differs between both lineages."""
    impact, different = compute(base, head)
    console.print(f"\nChanges since {base.label}", style="bold", highlight=False, markup=False)
    layout = head.refreshed.layout
    places = Places(head.graph, base.graph, layout.project_dir, head.lineage.project_name)
    print_lines(console, impact_listing.lines(impact, base.source.sha, places))
    for extracted in (base, head):
        if isinstance(extracted.traced, ColumnsError):
            print_lines(console, [((f"{extracted.label}: {for_command_line(extracted.traced.user_text)}", "yellow"),)])
    others = different - {one.unique_id for one in impact.changes}
    added, removed = (_edges(one) - _edges(other) for one, other in ((head, base), (base, head)))
    console.print()
    if others:
        text = f"{count(len(others), 'other node')} {'differs' if len(others) == 1 else 'differ'} in what does not touch data"
        console.print(f"{text}, such as tests and descriptions.", style="dim", highlight=False)
    console.print(f"edges: {len(added):,} added, {len(removed):,} removed", highlight=False)


def compute(base: Extracted, head: Extracted) -> tuple[Impact, set[str]]:
    """What the change does, and the unique_ids of all nodes that differ."""
    sides: dict[SideName, Extracted] = {"base": base, "head": head}
    without = tuple(name for name, one in sides.items() if not isinstance(one.traced, TracedColumns))
    computation = ImpactComputation(_side(base), _side(head), without)
    old, new = ({node.unique_id: node for node in one.lineage.nodes} for one in (base, head))
    different = {one for one in old.keys() | new.keys() if one not in old or one not in new or old[one].hash != new[one].hash}
    traced = {one for one in old.keys() | new.keys() if computation.has_columns and _hash(base, one) != _hash(head, one)}
    for unique_id in sorted(different | traced):
        is_traced = unique_id in traced
        before = _version(base, old.get(unique_id), with_columns=is_traced)
        after = _version(head, new.get(unique_id), with_columns=is_traced)
        computation.add([ImpactPair(before, after, same_columns=not is_traced)])
    codes = {unique_id: (_code(base, unique_id), _code(head, unique_id)) for unique_id in computation.codes}
    named = [head.graph.nodes[position].unique_id for position in computation.definitions]
    return computation.finish(codes, {unique_id: new[unique_id].definition for unique_id in named}), different


def _side(extracted: Extracted) -> ImpactSide:
    return ImpactSide(extracted.graph, extracted.traced.graph if isinstance(extracted.traced, TracedColumns) else None)


def _version(extracted: Extracted, node: Node | None, *, with_columns: bool) -> ImpactVersion | None:
    if node is None:
        return None
    found = _traced(extracted, node.unique_id) if with_columns else None
    version = ImpactVersion(node.unique_id, node.content, node.upstream, node.definition, node.sql_hash)
    if found is None:
        return version
    code_hash = None if found.compiled_code is None else hashlib.sha256(found.compiled_code).digest()
    return msgspec.structs.replace(version, status=found.status, columns=found.content, code_hash=code_hash)


def _traced(extracted: Extracted, unique_id: str) -> NodeColumns | None:
    return extracted.traced.nodes.get(unique_id) if isinstance(extracted.traced, TracedColumns) else None


def _hash(extracted: Extracted, unique_id: str) -> bytes | None:
    found = _traced(extracted, unique_id)
    return None if found is None else found.hash


def _code(extracted: Extracted, unique_id: str) -> str | None:
    found = _traced(extracted, unique_id)
    code = None if found is None else found.compiled_code
    return None if code is None or len(code) > MAX_TEXT else code.decode()


def _edges(extracted: Extracted) -> set[tuple[str, str]]:
    return {(upstream, node.unique_id) for node in extracted.lineage.nodes for upstream in node.upstream}
