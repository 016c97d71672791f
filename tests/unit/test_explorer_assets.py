"""What the explorer makes browsers load."""

from __future__ import annotations

import re

from app.web.pages import assets

IMPORTED = re.compile(r"(?:from|new URL\()\s*\"\./([\w-]+\.js)\"")
MOST_BYTES = 40_000


def test_the_explorers_own_scripts_are_small() -> None:
    files, wanted, loaded = assets.files(), ["explorer.js"], set()
    while wanted:
        name = wanted.pop()
        loaded.add(name)
        wanted += {*IMPORTED.findall(files[name].body.decode())} - loaded
    assert loaded > {"explorer-tiles.js", "explorer-view.js", "request.js"}
    assert sum(len(files[name].compressed) for name in loaded) <= MOST_BYTES
