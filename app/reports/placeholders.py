"""Placeholders in a check run: which values Freshet used, and the settings that replace them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.core.plurals import count
from app.project.repository_settings import PATH
from app.reports.markdown import code, fenced, location, plain, table

MAX_LISTED = 50
MAX_SECRETS_LISTED = 10

_SECRET = re.compile(
    r"PASS(?:WORD|WD|PHRASE)|SECRET|TOKEN|CREDENTIAL|PRIVATE|(?:API|ACCESS)_?KEY|(?:^|_)(?:PASS|KEY|PWD|PAT)$", re.IGNORECASE
)
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML 1.1 does not read as strings: https://yaml.org/type/bool.html."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_LITERAL = re.compile(r"-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?|true|false")
"""A number or boolean in YAML."""


def blocks(placeholders: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Blocks of Markdown; none without placeholders."""
    if not placeholders:
        return
    yield _introduction(len(placeholders))
    rows = [(code(one["name"]), one["kind"], code(one["value"]), location(one.get("path"), one.get("line"))) for one in placeholders]
    yield table(["name", "kind", "placeholder", "where"], rows[:MAX_LISTED])
    if len(placeholders) > MAX_LISTED:
        yield f"The details page lists {len(placeholders) - MAX_LISTED:,} more."
    if snippet := settings_snippet(placeholders[:MAX_LISTED]):
        yield f"To set real values, add these lines to `{PATH}` and change them. Do not put secrets in this file."
        yield fenced(snippet, 12_000, "yaml")
    if templates := [one["name"] for one in placeholders if is_template(one["name"])]:
        listed = ", ".join(code(name, 80) for name in templates[:MAX_SECRETS_LISTED])
        yield f"{listed}: this name belongs to a template that has not been filled in. Leave the placeholder."
    if secrets := [one["name"] for one in placeholders if looks_secret(one["name"])]:
        yield _about_secrets(secrets[:MAX_SECRETS_LISTED])


def settings_snippet(placeholders: Iterable[Mapping[str, Any]]) -> str:
    """The lines of `.github/freshet.yml` that set these values, without names that look like secrets."""
    lines: dict[str, list[str]] = {"env": [], "vars": []}
    for one in placeholders:
        name, value = plain(one["name"], 200), plain(one["value"], 200)
        key = "env" if one["kind"] == "env_var" else "vars"
        if looks_secret(name) or is_template(name) or (key == "env" and not _NAME.fullmatch(name)):
            continue  # one line that is not allowed, and Freshet would ignore the whole file
        literal = _yaml(one["value"]) if key == "vars" else json.dumps(value, ensure_ascii=False)
        is_bare = _NAME.fullmatch(name) and name.lower() not in _YAML_WORDS
        lines[key].append(f"  {name if is_bare else json.dumps(name, ensure_ascii=False)}: {literal}")
    return "\n".join("\n".join([f"{key}:", *dict.fromkeys(rows)]) for key, rows in lines.items() if rows)


def looks_secret(name: str) -> bool:
    """True when a variable is named like a secret."""
    return _SECRET.search(name) is not None


def is_template(name: str) -> bool:
    """True when a name contains Jinja: it was to be filled in before dbt sees it, and is no name that anybody can set."""
    return "{{" in name or "{%" in name


def _yaml(value: str) -> str:
    """A placeholder of a variable as YAML. Mappings, lists, and texts that look like them, are JSON, which YAML includes."""
    shown = plain(value, 200)
    if _LITERAL.fullmatch(shown):
        return shown
    if not value.startswith(("{", "[", '"')):
        return json.dumps(shown, ensure_ascii=False)
    try:
        json.loads(value)
    except ValueError:
        return "{}" if value.startswith("{") else "[]" if value.startswith("[") else json.dumps(shown, ensure_ascii=False)
    return plain(value, len(value.encode()))


def _introduction(number: int) -> str:
    if number == 1:
        return "**1 variable has no value or default**, so Freshet used a placeholder. Set it only if it affects the lineage."
    return (
        f"**{count(number, 'variable')} have no value or default**, so Freshet used placeholders. Set only those that affect the lineage."
    )


def _about_secrets(names: Sequence[str]) -> str:
    listed = ", ".join(code(name, 80) for name in names)
    if len(names) == 1:
        return f"{listed} looks like a secret. dbt does not need its real value to parse: leave the placeholder."
    return f"{listed} look like secrets. dbt does not need their real values to parse: leave the placeholders."
