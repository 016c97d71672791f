"""Finds the file that dbt is parsing, or was when it failed, from the frames of its functions."""

from __future__ import annotations

import os
import re
from traceback import walk_tb
from typing import TYPE_CHECKING

import freshet_scan
import freshet_tree

if TYPE_CHECKING:
    from types import FrameType

TEMPLATE = "<template>"
"""Jinja's name for a template without one: https://jinja.palletsprojects.com/en/stable/api/#jinja2.Environment.from_string."""
BODY = "top-level template code"
ROOT = "root"
"""The name of the same function while it runs; in the frames of an error Jinja uses `BODY`."""
LOCALS = ("node", "parsed_node", "block", "file_block", "source_file", "fp", "target")
DESCRIPTIONS = ("process_docs", "_process_docs_for_node")
"""Functions for YAML about a node: their file is not the node's own."""
CONFIGURATION = {"render_packages": "packages.yml", "render_selectors": "selectors.yml"}
FILE = re.compile(r"[\w./-]+\.(?:sql|py|ya?ml|csv|md)\b")
ADVICE = "allowed only in profiles.yml or packages.yml"
"""Part of dbt's message about secrets. It names files, but not the one with the error."""
LINE = re.compile(r"\bline (\d+)")


def remark(error: BaseException, text: str, project_dir: str) -> str:
    """Return a line for dbt's message `text`: the file in the repository, and the line if known. Empty if `text` has it already."""
    path, line = _place(error)
    # For an invalid YAML file dbt reports the name without a path, and many are called schema.yml.
    if path is None or path in text or not {os.path.basename(path)}.issuperset(FILE.findall(text.replace(ADVICE, ""))):
        return ""
    named = LINE.search(text)
    line = line if named is None else int(named.group(1))
    return f"\n\nThis was in {in_repository(path, project_dir)}" + ("" if line is None else f", line {line}")


def failed_in(error: BaseException, project_dir: str) -> str | None:
    """Return the file at which dbt failed, relative to the repository."""
    path, _ = _place(error)
    return None if path is None else in_repository(path, project_dir)


def here(frame: FrameType | None) -> tuple[str | None, int | None]:
    """Return the file (as dbt names it) and line of the model for which the code in `frame` runs."""
    line = None
    while frame is not None:
        template = frame.f_globals.get("__jinja_template__") if frame.f_code.co_filename == TEMPLATE else None
        if template is not None and frame.f_code.co_name == ROOT:
            # Inner templates are macros; the outermost one is the file itself.
            line = template.get_corresponding_lineno(frame.f_lineno)
        path = _path(frame)
        if path is not None:
            return path, line if path.endswith(".sql") else None
        frame = frame.f_back
    return None, None


def in_repository(path: str, project_dir: str) -> str:
    """Return the path in the repository for a path relative to a project or package."""
    found = os.path.normpath(os.path.join(project_dir, path))
    if os.path.exists(os.path.join(freshet_tree.SOURCE, found)):
        return found
    roots = freshet_scan.package_roots(freshet_tree.SOURCE, freshet_tree.project(project_dir))
    elsewhere = [root for root in roots if os.path.exists(os.path.join(root, path))]
    return os.path.relpath(os.path.join(elsewhere[0], path), freshet_tree.SOURCE) if len(elsewhere) == 1 else found


def _place(error: BaseException) -> tuple[str | None, int | None]:
    path = line = None
    for frame, number in walk_tb(error.__traceback__):
        path = _path(frame) or path
        # The outermost template is the file itself (for a model, not for a text in YAML); inner ones are macros.
        if line is None and frame.f_code.co_filename == TEMPLATE and frame.f_code.co_name == BODY and path and path.endswith(".sql"):
            line = number
    return path, line


def _path(frame: FrameType) -> str | None:
    # These names are dbt's and may change; then there is no remark.
    if frame.f_code.co_name in DESCRIPTIONS:
        patch = getattr(frame.f_locals.get("node"), "patch_path", None)
        return patch.split("://")[-1] if isinstance(patch, str) else None
    if frame.f_code.co_name in CONFIGURATION:
        return CONFIGURATION[frame.f_code.co_name]
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
