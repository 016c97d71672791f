"""A dbt in miniature, without containers: it parses projects such as the demo's in milliseconds, for tests that need whole lineages.

project    the files of a project as resources
manifest   a manifest of them
columns    a columns document of them, by the real engine
runner     all of it as the runner that the pipeline asks
"""

from __future__ import annotations

from tests.dbt_double.runner import DoubleRunner

__all__ = ["DoubleRunner"]
