"""Says which placeholders may be the cause of dbt's error. Independent of dbt."""

from __future__ import annotations

import os
import re

MAX_CAUSES = 5
SETTINGS = ".github/freshet.yml"


def remark(found: list) -> str:
    """Return a paragraph for dbt's message, about records of placeholders as in `freshet_result`."""
    causes = found[:MAX_CAUSES]
    lines = "\n".join(f"  {record['kind']}('{record['name']}'){_at(record)} was {record['value']!r}" for record in causes)
    what = ("a placeholder", "a missing value", "value") if len(causes) == 1 else ("placeholders", "missing values", "values")
    return (
        f"\n\nThe cause may be {what[0]} that Freshet used for {what[1]}:\n{lines}\n"
        f"Set the real {what[2]} in {SETTINGS}:\n{_settings(causes)}"
    )


def is_named(path: str, project_dir: str, output: str, failed_in: str | None) -> bool:
    """Whether a message names the file, or dbt failed at it."""
    return path == failed_in or path in output or os.path.relpath(path, project_dir or ".") in output


def shows(value: str, output: str) -> bool:
    """Whether a message contains the value as a word; frequent ones, such as numbers, only in quotation marks."""
    quoted = f"'{value}'" in output or f'"{value}"' in output
    return quoted or (value not in ("1", "True", "False") and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", output) is not None)


def _at(record: dict) -> str:
    if record["path"] is None:
        return ""
    return f" in {record['path']}" + ("" if record["line"] is None else f", line {record['line']}")


def _settings(causes: list) -> str:
    sections = (("env", "env_var"), ("vars", "var"))
    lines = []
    for section, kind in sections:
        names = [f"  {record['name']}: ..." for record in causes if record["kind"] == kind]
        lines += [f"{section}:", *names] if names else []
    return "\n".join(lines)
