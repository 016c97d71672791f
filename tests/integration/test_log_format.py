"""The log is text on a terminal and JSON elsewhere, unless a setting says otherwise."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.service import ROOT, clean_environment

LINE = "embedded PostgreSQL is up"


async def logged(data_dir: Path, *, terminal: bool, setting: str | None) -> str:
    """The line that a command logs to a terminal, or to a pipe."""
    environment = {**clean_environment(), "FRESHET_DATA_DIR": str(data_dir), **({"FRESHET_LOG_FORMAT": setting} if setting else {})}
    ours, theirs = os.openpty() if terminal else os.pipe()
    command = (sys.executable, "-m", "app", "migrate")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    text = ""
    while LINE not in text or not text.endswith("\n"):
        text += (await asyncio.to_thread(os.read, ours, 4096)).decode()
    assert await process.wait() == 0
    os.close(ours)
    [line] = [line for line in text.splitlines() if LINE in line]
    return line


async def test_a_terminal_gets_text_and_a_pipe_json_unless_told_otherwise(tmp_path: Path) -> None:
    assert (await logged(tmp_path, terminal=True, setting=None))[0] != "{"
    assert json.loads(await logged(tmp_path, terminal=False, setting=None))["event"] == LINE
    assert json.loads(await logged(tmp_path, terminal=True, setting="json"))["event"] == LINE
    assert (await logged(tmp_path, terminal=False, setting="text"))[0] != "{"
