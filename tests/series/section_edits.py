"""Edits of YAML that only one section has: sources, exposures, metrics, unit tests, groups, access, versions."""

from __future__ import annotations

from random import Random

from tests.series.entry_edits import any_entry
from tests.series.project import Project


def source_edit(project: Project, random: Random, number: int) -> str | None:
    """A source's own keys, or its tables."""
    found = any_entry(project, random, ("sources",))
    if found is None:
        return None
    source, what = (
        found[2],
        random.choice(["schema", "loader", "freshness", "table add", "table remove", "identifier", "overrides", "quoting"]),
    )
    tables = source.setdefault("tables", [])
    if what == "table add":
        tables.append({"name": random.choice([f"t{number}", "other"])})
    elif what == "table remove" and len(tables) > 1:
        tables.pop(random.randrange(len(tables)))
    elif what == "identifier":
        random.choice(tables or [source])["identifier"] = f"i{number}"
    elif what == "freshness":
        random.choice([source, *tables])["freshness"] = random.choice([None, {"error_after": {"count": number, "period": "hour"}}])
    elif what == "quoting":
        source["quoting"] = {"identifier": random.choice([True, False])}
    else:
        source[what] = {"schema": random.choice(["{{ env_var('RAW') }}", f"s{number}", "{{ target.schema }}"]), "overrides": "tools"}.get(
            what, "x"
        )
    return f"{source['name']}: {what}"


def exposure_edit(project: Project, random: Random, number: int) -> str | None:
    found = any_entry(project, random, ("exposures",))
    if found is None:
        return None
    what, value = random.choice([
        ("depends_on", [f"ref('{random.choice(project.names() or ['shared'])}')"]), ("url", f"https://example.com/{number}"),
        ("maturity", random.choice(["high", "low"])), ("label", f"Label {number}"), ("owner", {"name": f"N{number}", "email": "x@y.z"}),
        ("tags", [f"t{number}"]),
    ])  # fmt: skip
    found[2][what] = value
    return f"{found[2]['name']}: {what}"


def metric_edit(project: Project, random: Random, number: int) -> str | None:
    found = any_entry(project, random, ("metrics", "semantic_models", "saved_queries"))
    if found is None:
        return None
    section, _, entry = found
    if section == "metrics":
        what, value = random.choice([("label", f"L{number}"), ("filter", f"id > {number}"), ("type_params", dict(entry["type_params"]))])
    elif section == "saved_queries":
        what, value = "query_params", {"metrics": [random.choice(["total", "most_of"])], "group_by": [], "where": [f"1 = {number}"]}
    else:
        what, value = random.choice([("label", f"L{number}"), ("model", f"ref('{random.choice(project.names() or ['shared'])}')")])
    entry[what] = value
    return f"{section} {entry['name']}: {what}"


def unit_test_edit(project: Project, random: Random, number: int) -> str | None:
    found = any_entry(project, random, ("unit_tests",))
    if found is None:
        return None
    what, value = random.choice([
        ("model", random.choice(project.names() or ["int_b"])), ("expect", {"rows": [{"id": number}]}),
        ("given", [{"input": f"ref('{random.choice(project.names() or ['int_b'])}')", "rows": []}]), ("config", {"tags": [f"t{number}"]}),
        ("overrides", {"macros": {"is_incremental": True}, "vars": {"limit": number}}),
    ])  # fmt: skip
    found[2][what] = value
    return f"{found[2]['name']}: {what}"


def group_edit(project: Project, random: Random, number: int) -> str | None:
    found = any_entry(project, random, ("groups",))
    if found is not None:
        found[2]["owner"] = {"name": f"N{number}"}
    return found and str(found[2]["name"])


def access_edit(project: Project, random: Random, _number: int) -> str | None:
    found = any_entry(project, random, ("models",))
    if found is None:
        return None
    key, value = random.choice([
        ("access", "public"), ("access", "private"), ("access", "protected"), ("group", "finance"), ("group", "sales"),
        ("latest_version", 1), ("latest_version", 2), ("deprecation_date", "2031-01-01"),
        ("constraints", [{"type": "check", "expression": "1=1"}]),
    ])  # fmt: skip
    if key != "latest_version" or "versions" in found[2]:
        found[2][key] = value
    return f"{found[2]['name']}: {key} {value}"


def version_edit(project: Project, random: Random, number: int) -> str | None:
    """Of a model with versions."""
    entry = next(
        (project.entry("models", place) for place in project.entries("models") if "versions" in project.entry("models", place)), None
    )
    if entry is None:
        return None
    what = random.choice(["add", "remove", "config", "defined_in", "columns"])
    versions = entry["versions"]
    if what == "add":
        versions.append({"v": number, "defined_in": random.choice([f"dim_v{number}", "dim_v1"])})
        project.texts[f"models/marts/dim_v{number}.sql"] = f"select {number} as id -- 0"
    elif what == "remove" and len(versions) > 1:
        gone = versions.pop()
        entry["latest_version"] = versions[-1]["v"]
        project.texts.pop(f"models/marts/dim_v{gone['v']}.sql", None)
    else:
        one = random.choice(versions)
        one[what] = {"config": {"alias": f"dim_{number}"}, "columns": [{"include": "all"}, {"name": "id"}]}.get(what, f"dim_v{one['v']}")
    return what
