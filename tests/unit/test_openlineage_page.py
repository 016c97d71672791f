"""The script of `docs/openlineage.md` for catalogs that read only runs. `make catalogs` gives its events to OpenMetadata's own reader."""

from __future__ import annotations

from uuid import UUID

from openlineage.client import event_v2

from tests.catalogs.__main__ import as_runs, exported
from tests.unit.test_openlineage import dataset, jobs


def test_each_job_becomes_one_run_and_datasets_become_its_inputs() -> None:
    events = exported()
    found = as_runs(events)
    assert [one["job"] for one in found] == [one["job"] for one in jobs(events)]
    for one in found:
        run = event_v2.Run(runId=one["run"]["runId"])
        assert UUID(run.runId)
        assert (one["eventType"], one["schemaURL"].rpartition("/")[2]) == ("COMPLETE", "RunEvent")
        for read in one["inputs"]:
            assert dataset(event_v2.InputDataset, read)
    assert len({one["run"]["runId"] for one in found}) == len(found)
    assert [one["run"] for one in as_runs(events)] == [one["run"] for one in found], "sending it twice gives the same runs"
    orders = next(one for one in found if one["job"]["name"].endswith(".orders"))
    [source] = [one["dataset"] for one in events if "dataset" in one]
    assert [(one["name"], one["facets"].keys()) for one in orders["inputs"]] == [(source["name"], source["facets"].keys())]
    [output] = orders["outputs"]
    assert output["outputFacets"]["columnLineage"] == output["facets"]["columnLineage"]
    assert {field["type"] for field in output["facets"]["schema"]["fields"]} == {"unknown"}
