"""The runner image and what its labels say it holds. The labels are set by `Dockerfile.dbt`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiodocker

from app.dbt import engine
from app.dbt.lifetime import missing_image
from app.errors import RunnerImageError
from app.images import RunnerImage

RUNNER_LABEL = "io.freshet.runner"
PROTOCOL = "1"
DBT_VERSION_LABEL = "io.freshet.dbt-version"
ADAPTERS_LABEL = "io.freshet.adapters"
FRESH_S = 30.0


class Images:
    """Finds the runner images of an engine, and looks again after `FRESH_S`."""

    def __init__(self, docker: aiodocker.Docker, default: str, more: Sequence[str] | None = ()) -> None:
        """Find `default`, and `more` by name: None stands for all that the engine has with our label."""
        self._docker, self._default, self._more = docker, default, more
        self._found: Sequence[RunnerImage] = ()
        self._looked_at_s = 0.0
        self._lock = asyncio.Lock()

    async def all(self) -> Sequence[RunnerImage]:
        """Return the images, the default one first. Raises RunnerImageError or EngineUnavailableError."""
        async with self._lock:
            if not self._found or time.monotonic() - self._looked_at_s > FRESH_S:
                names = [self._default, *(self._more or ())]
                self._found = [await _inspect(self._docker, name) for name in dict.fromkeys(names)]
                self._looked_at_s = time.monotonic()
            return self._found

    def forget(self) -> None:
        """Look again the next time: the engine has just denied having one of them."""
        self._found = ()


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
