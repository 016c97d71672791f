"""A pull request of the sample project that gives a column another name and forgets some who read it. Paths are relative to the project."""

from __future__ import annotations

from pathlib import Path

BRANCH = "rename-status"
MESSAGE = "Rename rental_status to status"
_PATH = "models/staging/stg_rentals.sql"
FILES = {_PATH: (Path(__file__).parent / "project" / _PATH).read_text().replace("status as rental_status", "status").encode()}
