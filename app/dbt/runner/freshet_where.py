"""Which file dbt was at when it stopped, for the messages in which it does not say so itself ("Env var required but not provided")."""

from __future__ import annotations

import os
import re
from traceback import walk_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

TEMPLATE = "<template>"
"""Jinja's name for a template without one: https://jinja.palletsprojects.com/en/stable/api/#jinja2.Environment.from_string."""
BODY = "top-level template code"
LOCALS = ("node", "parsed_node", "block", "file_block", "source_file", "fp", "target")
DESCRIPTIONS = ("process_docs", "_process_docs_for_node")
"""Functions for what YAML says of a node: the file that they are at is not the node's own."""
FILE = re.compile(r"[\w./-]+\.(?:sql|py|ya?ml|csv|md)\b")
LINE = re.compile(r"\bline (\d+)")


def remark(error: BaseException, text: str, project_dir: str) -> str:
    """Return a line to add to dbt's `text`: the file, relative to the repository, and the line if known. Empty if `text` says it."""
    path, line = _place(error)
    # Of a YAML file that cannot be read dbt gives the name alone, and many are called schema.yml.
    if path is None or path in text or not {os.path.basename(path)}.issuperset(FILE.findall(text)):
        return ""
    told = LINE.search(text)
    line = line if told is None else int(told.group(1))
    where = os.path.normpath(os.path.join(project_dir, path))
    return f"\n\nThis was in {where}" + ("" if line is None else f", line {line}")


def _place(error: BaseException) -> tuple[str | None, int | None]:
    path = line = None
    for frame, number in walk_tb(error.__traceback__):
        path = _path(frame) or path
        # The outermost template is the file itself (of a model, not of a text in YAML), those inside of it are macros.
        if line is None and frame.f_code.co_filename == TEMPLATE and frame.f_code.co_name == BODY and path and path.endswith(".sql"):
            line = number
    return path, line


def _path(frame: FrameType) -> str | None:
    # dbt's names, which may change: then there is no remark.
    if frame.f_code.co_name in DESCRIPTIONS:
        patch = getattr(frame.f_locals.get("node"), "patch_path", None)
        return patch.split("://")[-1] if isinstance(patch, str) else None
    if frame.f_code.co_filename.endswith(os.path.join("dbt", "config", "project.py")):
        return "dbt_project.yml"
    for name in LOCALS:
        value = frame.f_locals.get(name)
        for steps in (("original_file_path",), ("path", "original_file_path"), ("file", "path", "original_file_path")):
            found = value
            for step in steps:
                found = getattr(found, step, None)
            if isinstance(found, str):
                return found
    return None
