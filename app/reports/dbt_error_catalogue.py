"""The classes of dbt's errors: a pattern that recognizes dbt's wording, a title, and what to do.

The wordings are those of dbt 1.5 to 1.12 (`dbt/exceptions.py`, `dbt/parser/`, `dbt/config/`, and Jinja's own). `docs/checks.md` lists the
classes for users; a test compares.
"""

from __future__ import annotations

from app.reports.error_class import ErrorClass, row
from app.reports.error_classes_of_code import CODE
from app.reports.error_classes_of_names import NAMES
from app.reports.error_classes_of_resources import RESOURCES
from app.reports.error_classes_of_setups import SETUPS

# The first match wins: specific wordings come before general ones.
CLASSES: tuple[ErrorClass, ...] = (*NAMES, *SETUPS, *RESOURCES, *CODE)
UNKNOWN = row("dbt", r"", "dbt could not parse the project", "Fix the error that dbt reports.")
BY_CODE = {known.code: known for known in (*CLASSES, UNKNOWN)}
