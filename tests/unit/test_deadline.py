"""A test that hangs fails, and says where."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from tests import run
from tests.deadline import DeadlineError, deadline
from tests.lanes import Lane


async def _waits_for_nothing() -> None:
    await asyncio.Event().wait()


def test_a_test_that_hangs_fails_and_says_what_it_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeadlineError, match=r"0\.1 s"), deadline(0.1):
        asyncio.run(_waits_for_nothing())
    assert "in _waits_for_nothing" in capfd.readouterr().err


def test_code_that_swallows_the_error_is_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.deadline.AGAIN_S", 0.1)
    with pytest.raises(DeadlineError), deadline(0.1):
        try:
            time.sleep(60)
        except DeadlineError:
            time.sleep(60)


def test_a_lane_that_says_nothing_is_stopped_and_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "CACHE", tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "SILENT_S", 0.2)
    [done] = run._run([Lane("sleeper", command=(sys.executable, "-c", "import time; time.sleep(60)"))], {})
    assert done.failed
    assert "it said nothing for 0.2 s" in done.output
