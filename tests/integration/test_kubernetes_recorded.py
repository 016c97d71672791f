"""What a cluster says, replayed from records of a real one: every outcome of a pod has the error that Docker has for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.pipeline.ports import Parsed
from tests.cluster.outcomes import outcome
from tests.cluster.recording import RECORDED
from tests.cluster.replay import replayed
from tests.cluster.runners import pod_runners
from tests.cluster.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_pod_has_the_outcome_that_it_had(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    async with (
        replayed(name, tmp_path) as (replay, kubeconfig),
        pod_runners(kubeconfig, tmp_path, scenario.namespace) as (make, _, _),
    ):
        found = await outcome(make, scenario)
    if scenario.error is None:
        assert isinstance(found, Parsed)
        assert json.loads(found.manifest) == {}
        assert "Running with dbt" in found.log
        assert [json.loads(body)["spec"]["containers"][0]["image"] for body in replay.bodies] == [scenario.image_name] * 2
        return
    assert type(found) is scenario.error
    for words in scenario.words:
        assert words in found.user_text + str(getattr(found, "output", "")), words


def test_every_record_is_of_a_scenario() -> None:
    assert {path.stem for path in RECORDED.glob("*.json")} == set(SCENARIOS)
