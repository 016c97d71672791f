"""Finds the runner images of an engine, and reads their labels, which `Dockerfile.dbt` sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiodocker

from app.core.errors import RunnerImageError
from app.project.runner_images import RunnerImage, newest_first
from app.runner.docker import engine
from app.runner.docker.lifetime import missing_image

RUNNER_LABEL = "io.freshet.runner"
PROTOCOL = "2"
COLUMNS_LABEL = "io.freshet.columns"
COLUMNS_FORMAT = "1"
"""Of the columns document. Images without this label, or with another one, give no columns."""
DBT_VERSION_LABEL = "io.freshet.dbt-version"
ADAPTERS_LABEL = "io.freshet.adapters"
REPOSITORY = "dbt-runner"
NO_TAG = "<none>:<none>"
FRESH_S = 30.0


class Images:
    """The runner images of an engine, looked up again after `FRESH_S`."""

    def __init__(self, docker: aiodocker.Docker, default: str, more: Sequence[str] | None = ()) -> None:
        """`default` and `more` are names; `more` None: all images with our label."""
        self._docker, self._default, self._more = docker, default, more
        self._found: Sequence[RunnerImage] = ()
        self._looked_at_s = 0.0
        self._lock = asyncio.Lock()

    async def all(self) -> Sequence[RunnerImage]:
        """Return the images, the default one first. Raises RunnerImageError if a named one is missing, or EngineUnavailableError.

        Going on without a named image would silently use another one.
        """
        async with self._lock:
            if not self._found or time.monotonic() - self._looked_at_s > FRESH_S:
                self._found = await self._look()
                self._looked_at_s = time.monotonic()
            return self._found

    def forget(self) -> None:
        """Look again the next time, because an image turned out to be missing."""
        self._found = ()

    async def _look(self) -> Sequence[RunnerImage]:
        default = await _inspect(self._docker, self._default, "DBT_DOCKER_IMAGE")
        if self._more is None:
            others = await _labelled(self._docker)
        else:
            others = [await _inspect(self._docker, name, "DBT_DOCKER_IMAGES") for name in self._more]
        by_id: dict[str, RunnerImage] = {}
        for image in (default, *others):
            by_id.setdefault(image.id, image)
        return tuple(by_id.values())


async def _inspect(docker: aiodocker.Docker, name: str, variable: str) -> RunnerImage:
    doing = f"looking for the runner image {name} of `{variable}`"
    with engine.errors(doing):
        try:
            found = await docker.images.inspect(name)
        except aiodocker.DockerError as error:
            if error.status == 404:  # noqa: PLR2004 - HTTP's
                raise missing_image(doing, name) from error
            raise
    labels = found["Config"].get("Labels") or {}
    if labels.get(RUNNER_LABEL) != PROTOCOL:
        says = f"is {labels[RUNNER_LABEL]!r}" if RUNNER_LABEL in labels else "is missing"
        reason = f"the image {name!r} is not a runner image for this version of Freshet (its label {RUNNER_LABEL} {says})"
        raise RunnerImageError(doing, reason, f"Build it with `make image`, or set another one in `{variable}`.")
    return _record(name, found["Id"], labels, found.get("Size"))


async def _labelled(docker: aiodocker.Docker) -> list[RunnerImage]:
    """All images with a name and the label of this version of Freshet, the newest dbt first."""
    with engine.errors("listing the runner images"):
        found = await docker.images.list(filters={"label": [f"{RUNNER_LABEL}={PROTOCOL}"]})
    named = [(entry, sorted({*(entry.get("RepoTags") or ())} - {NO_TAG}, key=_plainest)) for entry in found]
    records = (_record(names[0], entry["Id"], entry["Labels"], entry.get("Size")) for entry, names in named if names)
    return sorted(records, key=newest_first)


def _plainest(name: str) -> tuple[bool, bool, int, str]:
    """Sort key for the names of one image: ours first, `latest` last, then the shortest."""
    return (not name.startswith(f"{REPOSITORY}:"), name.endswith(":latest"), len(name), name)


def _record(name: str, image_id: str, labels: Mapping[str, Any], size_bytes: int | None) -> RunnerImage:
    adapters = frozenset(adapter.removeprefix("dbt-") for adapter in labels.get(ADAPTERS_LABEL, "").split())
    version, columns = labels.get(DBT_VERSION_LABEL, "unknown"), labels.get(COLUMNS_LABEL) == COLUMNS_FORMAT
    return RunnerImage(name, image_id, version, adapters, size_bytes, columns)
