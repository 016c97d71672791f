"""Runs a scenario against whatever a runner is connected to: the cluster while it is recorded, or the record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

from app.core.errors import FreshetError
from app.pipeline.ports import Parsed
from app.runner.kubernetes import pod
from app.runner.kubernetes.backend import KubernetesRunner
from app.runner.kubernetes.manifests import PodSpec
from tests.cluster.runners import MakePods
from tests.cluster.scenarios import Scenario
from tests.integration.runner_images import named
from tests.integration.runner_projects import job, tree


async def outcome(make: MakePods, scenario: Scenario) -> Parsed | FreshetError:
    runner: KubernetesRunner = make(image_names=[scenario.image_name], **scenario.settings)
    described = runner._pod

    def with_deadline(name: str, *args: Any, **more: Any) -> PodSpec:
        spec = described(name, *args, **more)
        of_the_job = scenario.deadline_s is not None and "probe" not in name
        return replace(spec, deadline_s=scenario.deadline_s or 0) if of_the_job else spec

    runner._pod = with_deadline  # type: ignore[method-assign]
    with mock.patch.object(pod, "START_TIMEOUT_S", scenario.start_timeout_s):
        try:
            return await runner.parse(job(image=replace(named(scenario.image_name), id="unknown")), tree(), None)
        except FreshetError as error:
            return error
        finally:
            await runner.close()
