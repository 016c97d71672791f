"""The runner images of an engine and what their labels say they hold. The labels are set by `Dockerfile.dbt`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiodocker

from app.dbt import engine
from app.dbt.lifetime import missing_image
from app.errors import RunnerImageError
from app.images import RunnerImage, newest_first

RUNNER_LABEL = "io.freshet.runner"
PROTOCOL = "2"
DBT_VERSION_LABEL = "io.freshet.dbt-version"
ADAPTERS_LABEL = "io.freshet.adapters"
REPOSITORY = "dbt-runner"
NO_TAG = "<none>:<none>"
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
        """Return the images, the default one first. Raises RunnerImageError or EngineUnavailableError.

        An image that is named must be there: work without it would be done in another one that nobody asked for.
        """
        async with self._lock:
            if not self._found or time.monotonic() - self._looked_at_s > FRESH_S:
                self._found = await self._look()
                self._looked_at_s = time.monotonic()
            return self._found

    def forget(self) -> None:
        """Look again the next time: the engine has just denied having one of them."""
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
        says = f"says {labels[RUNNER_LABEL]!r}" if RUNNER_LABEL in labels else "is missing"
        reason = f"the image {name!r} is not a runner image for this version of Freshet (its label {RUNNER_LABEL} {says})"
        raise RunnerImageError(doing, reason, f"Build it with `make image`, or name another one in `{variable}`.")
    return _record(name, found["Id"], labels)


async def _labelled(docker: aiodocker.Docker) -> list[RunnerImage]:
    """Return every image that has a name and the label of this version of Freshet, the newest dbt first."""
    with engine.errors("listing the runner images"):
        found = await docker.images.list(filters={"label": [f"{RUNNER_LABEL}={PROTOCOL}"]})
    named = [(entry, sorted({*(entry.get("RepoTags") or ())} - {NO_TAG}, key=_plainest)) for entry in found]
    return sorted((_record(names[0], entry["Id"], entry["Labels"]) for entry, names in named if names), key=newest_first)


def _plainest(name: str) -> tuple[bool, bool, int, str]:
    """Sort names of one image by this: ours first, one that tells more than `latest`, the shortest."""
    return (not name.startswith(f"{REPOSITORY}:"), name.endswith(":latest"), len(name), name)


def _record(name: str, image_id: str, labels: Mapping[str, Any]) -> RunnerImage:
    adapters = frozenset(adapter.removeprefix("dbt-") for adapter in labels.get(ADAPTERS_LABEL, "").split())
    return RunnerImage(name, image_id, labels.get(DBT_VERSION_LABEL, "unknown"), adapters)
