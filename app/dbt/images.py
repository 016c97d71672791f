"""The runner image and what its labels say it holds. The labels are set by `Dockerfile.dbt`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aiodocker

from app.dbt import engine
from app.dbt.lifetime import missing_image
from app.errors import RunnerImageError

RUNNER_LABEL = "io.freshet.runner"
PROTOCOL = "1"
DBT_VERSION_LABEL = "io.freshet.dbt-version"
ADAPTERS_LABEL = "io.freshet.adapters"
FRESH_S = 30.0


@dataclass(frozen=True, slots=True)
class RunnerImage:
    """An image that the engine has and that holds our runner. `id` stays the same when the name is given to another build."""

    name: str
    id: str
    dbt_version: str
    adapters: frozenset[str]


class Images:
    """Finds one image by name, and looks again after `FRESH_S`."""

    def __init__(self, docker: aiodocker.Docker, name: str) -> None:
        self._docker, self._name = docker, name
        self._found: RunnerImage | None = None
        self._looked_at_s = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> RunnerImage:
        """Return the image. Raises RunnerImageError or EngineUnavailableError."""
        async with self._lock:
            if self._found is None or time.monotonic() - self._looked_at_s > FRESH_S:
                self._found = await _inspect(self._docker, self._name)
                self._looked_at_s = time.monotonic()
            return self._found

    def forget(self) -> None:
        """Look again the next time: the engine has just denied having it."""
        self._found = None


async def _inspect(docker: aiodocker.Docker, name: str) -> RunnerImage:
    doing = f"looking for the runner image {name}"
    with engine.errors(doing):
        try:
            found = await docker.images.inspect(name)
        except aiodocker.DockerError as error:
            if error.status == 404:  # noqa: PLR2004 - HTTP's
                raise missing_image(doing, name) from error
            raise
    labels = found["Config"].get("Labels") or {}
    if labels.get(RUNNER_LABEL) != PROTOCOL:
        says = f"says {labels[RUNNER_LABEL]!r}" if RUNNER_LABEL in labels else "is missing"
        reason = f"the image {name!r} is not a runner image for this version of Freshet (its label {RUNNER_LABEL} {says})"
        raise RunnerImageError(doing, reason, "Build it with `make image`, or name another one in `DBT_DOCKER_IMAGE`.")
    adapters = frozenset(adapter.removeprefix("dbt-") for adapter in labels.get(ADAPTERS_LABEL, "").split())
    return RunnerImage(name, found["Id"], labels.get(DBT_VERSION_LABEL, "unknown"), adapters)
