"""Plain English: habits that may not come back in what users read (texts in the code, templates, documentation)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import source

ROOT = Path(__file__).parents[2]
HABITS = {
    r"\bbe had\b": "is available, was not found",
    r"\b(?:is|are|was|were|be) told\b(?! apart)": "is notified, is shown",
    r"\bmend(?:s|ed)?\b": "fix",
    r"\bwho(?:m|so)?ever\b": "anyone who, the caller",
    r"\bwho comes\b": "new readers, a returning client",
    r"\bby (?:itself|themselves)\b": "automatically",
    r"\bso (?:many|soon|long) (?:days|hours|seconds|bytes|after)\b": "that number of, within",
    r"\bhad his\b": "the caller's quota is spent",
    r"\b(?:he|him|his|himself)\b": "the caller, they",
    r"\bwhat (?:is|was) (?:other|there|gone|said|meant|wanted|kept)\b": "a noun: the differences, existing files",
    r"\bat the making\b": "when it is created",
    r"\bfares?\b": "status",
    r"\bno news\b": "is not reported",
    r"\bis no place for\b": "do not put",
    r"\binvented\b": "placeholder",
    r"\b(?:it|they|was|were) begun\b": "attempted, started",
    r"\bwants? leave\b": "requires permission",
    r"\bsomebody else'?s?\b": "another",
    r"\b(?:fault|mistake|error)s? of ours\b": "an internal error",
    r"\bgiven up\b": "stopped",
    r"\bthere is such a\b": "already exists",
    r"\bis none of\b": "is not",
    r"\bcomes? to an end\b": "ends",
    r"\bin order\?": "status",
}
"""Habit → what plain English says instead."""
PAGES = sorted((ROOT / "app" / "web" / "pages" / "templates").glob("*.html"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "app.yml", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "demo").rglob("*.py")])


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    if path.suffix == ".py":
        yield from source.texts(path)
    else:
        yield from enumerate(re.sub(r"`[^`\n]*`", "``", path.read_text()).splitlines(), 1)


def test_users_read_plain_english() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]!r}; better: {better}"
        for path in (*CODE, *PAGES, *DOCUMENTS)
        for line, text in texts_of(path)
        for habit, better in HABITS.items()
        if (match := re.search(habit, text, re.IGNORECASE))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("habit", "example"), [(r"\bbe had\b", "Package x cannot be had."), (r"\bmend(?:s|ed)?\b", "Mend it and push again.")]
)
def test_the_habits_are_found(habit: str, example: str) -> None:
    assert habit in HABITS
    assert re.search(habit, example, re.IGNORECASE)
