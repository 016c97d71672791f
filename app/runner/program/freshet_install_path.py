"""Lets dbt find packages where the service put them, if `packages-install-path` is something that only its author's machine can resolve."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dbt.config.runtime import RuntimeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

_directories = getattr(RuntimeConfig, "_get_project_directories", None)


def look_in(directory: str) -> None:
    """Make dbt look for packages in `directory` as well, an absolute path, unless the project's own setting leads to a directory."""
    if _directories is None:
        return

    def directories(self: RuntimeConfig) -> Iterator:
        if os.path.isdir(directory) and not os.path.isdir(os.path.join(self.project_root, self.packages_install_path)):
            self.packages_install_path = directory
        return _directories(self)

    RuntimeConfig._get_project_directories = directories  # noqa: SLF001 - dbt has no setting for it
