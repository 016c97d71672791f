"""The dashboard and the alert rules in `deploy/monitoring`: they read metrics that exist, and alerts fire on what they are for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from app.core import metrics
from tests.promtool import promtool

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
SELECTOR = re.compile(r"\b((?:freshet|process|python)_[a-z_]+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
TARGET_LABELS = {"job", "instance", "le"}


@cache
def sources() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))


def families() -> dict[str, tuple[str, frozenset[str]]]:
    """The names of our series, each with its metric and label names."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for collector in list(REGISTRY._collector_to_names):
        labels = frozenset(getattr(collector, "_labelnames", ()))
        for name in REGISTRY._collector_to_names[collector]:
            if not name.endswith("_created"):
                found[name] = name, labels
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    return found


def dashboard() -> Iterator[tuple[str, str]]:
    for panel in panels():
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def expressions() -> list[tuple[str, str]]:
    return [*dashboard(), *((rule["alert"], rule["expr"]) for rule in rules())]


@pytest.mark.parametrize(("name", "expression"), expressions())
def test_every_expression_reads_metrics_and_labels_that_exist(name: str, expression: str) -> None:
    known = families()
    read = SELECTOR.findall(expression)
    assert read
    for metric, matchers in read:
        assert metric == "up" or metric in known, metric
        labels = known[metric][1] if metric in known else frozenset[str]()
        for label, _, value in MATCHER.findall(matchers):
            assert label in labels | TARGET_LABELS, f"{metric} has no label {label}"
            for one in value.split("|") if label in labels and label != "status" else ():
                assert f'"{one}"' in sources(), f"nothing counts {metric} with {label}={one}"
        if label_of_bucket := re.search(r'le="([^"]+)"', matchers):
            histogram = getattr(metrics, next(key for key, value in vars(metrics).items() if _is(value, metric)))
            assert float(label_of_bucket[1]) in histogram._upper_bounds, f"{metric} has no such bucket"
            assert label_of_bucket[1] == str(float(label_of_bucket[1])), "as the client writes it"


def _is(value: object, metric: str) -> bool:
    return getattr(value, "_name", None) == metric.removesuffix("_bucket")


def test_every_grouping_is_by_a_label_of_its_metric() -> None:
    known = families()
    for name, expression in expressions():
        labels = {label for metric, _ in SELECTOR.findall(expression) if metric in known for label in known[metric][1]} | TARGET_LABELS
        for group in re.findall(r"\bby \(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= labels, name


def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rows = [
        {"record": f"panel_{number}", "expr": expression.replace("$__rate_interval", "5m").replace("$__range", "1h")}
        for number, (_, expression) in enumerate(dashboard())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rows}]}))
    assert f"{len(rows)} rules found" in promtool("check", "rules", str(file))


def test_promtool_accepts_the_rules_and_their_tests() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_each_alert_is_tested_on_data_that_fires_and_on_data_that_does_not() -> None:
    cases = [one for test in yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"] for one in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules()}
    assert {one["alertname"] for one in cases if one["exp_alerts"]} == names
    assert {one["alertname"] for one in cases if not one["exp_alerts"]} == names


def test_each_alert_leads_to_its_section_in_the_runbook() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert [rule["alert"] for rule in rules()] == [heading for heading in headings if heading.startswith("Freshet")]
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_dashboard_is_one_that_grafana_can_place() -> None:
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in found
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "no panel lies over another one"
    assert max(x for x, _ in cells) < 24
    for panel in found:
        for target in panel.get("targets", ()):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label in target["expr"] or label == "instance", panel["title"]


def test_every_metric_is_described() -> None:
    text = (ROOT / "docs/http.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    described = set(re.findall(r"`(freshet_[a-z_]+)`", text))
    ours = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in REGISTRY.collect()
        if family.name.startswith("freshet_")
    }
    assert described | {"freshet_database_connections_limit"} == ours, "the docs shorten that one"


def test_each_line_of_doctor_leads_to_its_section_in_the_runbook() -> None:
    names = set(re.findall(r'Finding\.(?:ok|bad)\(\s*"([^"]+)"', sources())) | {
        "database",
        "Docker",
        "runner images",
        "webhook reachability",
    }
    sections = set(re.findall(r"^### doctor: (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE))
    assert names <= sections
    assert {name for name in sections - {"Kubernetes"} if f'"{name}"' not in sources()} == set()
