"""Edits of YAML files: entries that change, come, go or move between files."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from tests.series.project import Document, Project

SECTIONS = (
    *("models", "models", "sources", "exposures", "metrics", "semantic_models", "saved_queries", "unit_tests", "groups", "seeds"),
    *("snapshots", "analyses", "macros"),
)
TEXTS = ("{n}", "{{{{ doc('about') }}}} {n}", "{{{{ doc('shop', 'more') }}}}", "{{{{ doc('other') }}}} {n}", "{{{{ env_var('TEXT') }}}}",
         "{{{{ env_var('REGION', 'x') }}}}", "{{{{ doc('later_doc') }}}}", "{{{{ var('limit') }}}} {n}", "Straße {n}\n")  # fmt: skip
TESTS: tuple[Any, ...] = (
    *("unique", "not_null", "positive", "odd", {"odd": {"by": 5}}, {"odd": {"by": 7, "config": {"tags": ["t"], "severity": "warn"}}}),
    {"accepted_values": {"values": ["1", "2"], "name": "accepted"}},
    {"relationships": {"to": "ref('stg_b')", "field": "id"}},
    {"relationships": {"to": "source('raw', 'other')", "field": "id", "config": {"enabled": False}}},
    {"tools.positive": {"config": {"where": "id > {{ var('limit') }}"}}},
    {"unique": {"description": "{{ doc('about') }}", "config": {"alias": "alone"}}},
    {"later_test": {}},
)
CONFIGS: tuple[Document, ...] = (
    *({"meta": {"v": 1}}, {"tags": ["y"]}, {"enabled": False}, {"enabled": True}, {"materialized": "table"}, {"alias": "renamed"}),
    *(
        {"group": "finance"},
        {"group": "sales"},
        {"access": "public"},
        {"contract": {"enforced": False}},
        {"schema": "{{ var('by_name') }}"},
    ),
    *({"meta": {"owner": "{{ env_var('OWNER') }}"}}, {"docs": {"show": False}}, {"enabled": "{{ var('flag') }}"}),
)


def any_entry(project: Project, random: Random, sections: tuple[str, ...] = SECTIONS) -> tuple[str, tuple[str, int], Document] | None:
    section = random.choice(sections)
    places = project.entries(section)
    if not places:
        return None
    place = random.choice(places)
    return section, place, project.entry(section, place)


def _described(project: Project, random: Random) -> Document | None:
    """An entry, or something in it, that may have a description."""
    found = any_entry(project, random)
    if found is None:
        return None
    entry = found[2]
    inner = [part for key in ("columns", "tables", "versions", "arguments", "measures", "dimensions") for part in entry.get(key) or ()]
    chosen: Document = random.choice([entry, entry, *inner])
    return chosen


def yaml_describe(project: Project, random: Random, number: int) -> str | None:
    entry = _described(project, random)
    if entry is None:
        return None
    entry["description"] = random.choice(TEXTS).format(n=number)
    return f"{entry.get('name')}: {entry['description']}"


def yaml_meta(project: Project, random: Random, number: int) -> str | None:
    found = any_entry(project, random)
    if found is not None:
        where = found[2].setdefault("config", {}) if random.random() < 0.7 else found[2]
        where["meta"] = {"n": number}
    return found and f"{found[0]} {found[2]['name']}"


def yaml_config(project: Project, random: Random, _number: int) -> str | None:
    found = any_entry(project, random, ("models", "models", "seeds", "sources", "exposures", "metrics", "saved_queries", "semantic_models"))
    if found is None:
        return None
    config = copy.deepcopy(random.choice(CONFIGS))
    entry = random.choice([found[2], *(found[2].get("tables") or ())])
    entry["config"] = {**(entry.get("config") or {}), **config}
    return f"{found[0]} {entry['name']}: {config}"


def yaml_unconfigure(project: Project, random: Random, _number: int) -> str | None:
    found = any_entry(project, random)
    keys = [key for key in ("config", "access", "meta", "description", "columns", "TESTS") if found and key in found[2]]
    if found is None or not keys:
        return None
    key = random.choice(keys)
    del found[2][key]
    return f"{found[0]} {found[2]['name']}: {key}"


def _tested(project: Project, random: Random) -> Document | None:
    found = any_entry(project, random, ("models", "models", "sources", "seeds", "snapshots"))
    if found is None:
        return None
    tables = found[2].get("tables")
    entry: Document = random.choice(tables) if tables else found[2]
    if random.random() < 0.2 and found[0] != "sources":
        return entry
    columns = entry.setdefault("columns", [])
    if not columns:
        columns.append({"name": "id"})
    chosen: Document = random.choice(columns)
    return chosen


def yaml_test_add(project: Project, random: Random, _number: int) -> str | None:
    entry = _tested(project, random)
    if entry is None:
        return None
    test = copy.deepcopy(random.choice(TESTS))
    entry.setdefault("TESTS", []).append(test)
    return f"{entry['name']}: {test}"


def yaml_test_remove(project: Project, random: Random, _number: int) -> str | None:
    entry = _tested(project, random)
    if entry is None or not entry.get("TESTS"):
        return None
    test = entry["TESTS"].pop(random.randrange(len(entry["TESTS"])))
    return f"{entry['name']}: {test}"


def yaml_column(project: Project, random: Random, number: int) -> str | None:
    """A column comes, goes or gets a type."""
    found = any_entry(project, random, ("models", "models", "seeds", "snapshots"))
    if found is None:
        return None
    columns = found[2].setdefault("columns", [])
    what = random.choice(["add", "remove", "type"])
    if what == "add" or not columns:
        columns.append({"name": f"c{number}", "description": "0", "data_type": "integer"})
    elif what == "remove":
        columns.pop(random.randrange(len(columns)))
    else:
        random.choice(columns)["data_type"] = random.choice(["integer", "text"])
    return f"{found[0]} {found[2]['name']}: {what}"


def yaml_entry_add(project: Project, random: Random, number: int) -> str | None:
    section = random.choice([name for name in SECTIONS if name != "unit_tests" or project.minor >= 8])
    entry = _new_entry(project, random, section, number)
    path = random.choice(
        [*(path for path in project.documents if path.startswith("models/")), f"models/more{number}.yml", f"models/deep/m{number}.yaml"]
    )
    document = project.documents.setdefault(path, {"version": 2})
    document.setdefault(section, []).insert(random.choice([0, len(document.get(section) or [])]), entry)
    return f"{section} {entry['name']} to {path}"


def _new_entry(project: Project, random: Random, section: str, number: int) -> Document:
    """Mostly about what there is and has no entry; else about something new."""
    described = {project.entry(section, place)["name"] for place in project.entries(section)}
    names = [name for name in project.names() if name not in described] or ["nobody"]
    model = f"ref('{random.choice(project.names() or ['shared'])}')"
    entries: dict[str, Document] = {
        "models": {"name": random.choice([*names, *names, "later", f"m{number}"]), "columns": [{"name": "id", "TESTS": ["unique"]}]},
        "sources": {"name": random.choice([f"s{number}", f"s{number}", "raw"]), "tables": [{"name": "t", "description": "0"}]},
        "exposures": {"name": f"e{number}", "type": "notebook", "owner": {"email": "a@b.c"}, "depends_on": [model]},
        "metrics": {"name": f"m{number}", "label": f"l{number}", "type": "derived",
                    "type_params": {"expr": "total", "metrics": [{"name": "total"}]}},
        "semantic_models": {"name": f"s{number}", "model": model, "entities": [{"name": f"e{number}", "type": "primary", "expr": "id"}]},
        "saved_queries": {"name": f"q{number}", "query_params": {"metrics": [random.choice(["total", "share"])], "group_by": []}},
        "unit_tests": {"name": f"u{number}", "model": random.choice(project.names() or ["int_b"]), "given": [], "expect": {"rows": []}},
        "groups": {"name": random.choice([f"g{number}", "missing"]), "owner": {"email": "a@b.c"}},
        "seeds": {"name": random.choice(["countries", f"seed{number}"]), "description": "0", "config": {"column_types": {"id": "text"}}},
        "snapshots": {"name": random.choice(["snap", f"snap{number}"]), "description": "0"},
        "analyses": {"name": random.choice(["look", f"look{number}"]), "description": "0"},
        "macros": {"name": random.choice(["outer", "glued", "unused", "test_odd", "later"]), "description": "{{ doc('about') }}"},
    }  # fmt: skip
    return entries[section]


def yaml_entry_remove(project: Project, random: Random, _number: int) -> str | None:
    found = any_entry(project, random)
    if found is None:
        return None
    section, (path, number), entry = found
    del project.documents[path][section][number]
    _tidy(project, path, section)
    return f"{section} {entry['name']} from {path}"


def yaml_entry_move(project: Project, random: Random, number: int) -> str | None:
    found = any_entry(project, random)
    if found is None:
        return None
    section, (path, position), entry = found
    others = [other for other in project.documents if other.startswith("models/") and other != path]
    target = random.choice([*others, f"models/moved{number}.yml"])
    del project.documents[path][section][position]
    _tidy(project, path, section)
    project.documents.setdefault(target, {}).setdefault(section, []).append(entry)
    return f"{section} {entry['name']} from {path} to {target}"


def yaml_entry_order(project: Project, random: Random, _number: int) -> str | None:
    found = any_entry(project, random)
    if found is None:
        return None
    section, (path, _), _ = found
    random.shuffle(project.documents[path][section])
    return f"{section} in {path}"


def _tidy(project: Project, path: str, section: str) -> None:
    if not project.documents[path][section]:
        del project.documents[path][section]
    if not project.documents[path]:
        del project.documents[path]


def yaml_file_move(project: Project, random: Random, number: int) -> str | None:
    path = random.choice(_movable(project))
    target = f"models/{random.choice(['staging', 'marts', 'new'])}/file{number}.yml"
    project.documents[target] = project.documents.pop(path)
    return f"{path} to {target}"


def yaml_file_delete(project: Project, random: Random, _number: int) -> str | None:
    path = random.choice(_movable(project))
    del project.documents[path]
    return path


def _movable(project: Project) -> list[str]:
    return sorted(path for path in project.documents if path.startswith("models/")) or ["packages.yml"]
