from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.reports.markdown import code, cut, document, fenced, plain, prose, table
from tests.unit.github_markdown import HOSTILE, READER, UNSEEN, assert_dead, code_in

MARKER = "zq9"
TEXT = st.one_of(st.text(), st.text("`|\\@#<>[]()!*_~:-= \n\tab1/.$&;\x1b\u202e", max_size=60))


def every(text: str) -> list[str]:
    marked = f"{MARKER}{text}{MARKER}"
    return [
        code(marked),
        f"- {code(text)} and {code(marked)}",
        fenced(marked, 10_000),
        table(["a", "b", "c"], [(code(marked), "x", code(text))]),
    ]


@pytest.mark.parametrize(
    "text", ["@x", "#1", "a/b#1", "GH-1", "www.x.y", "a@x.y", "![x](/y)", "<b>", ":tada:", "a\u202e", "1. x", "- [ ] x"]
)
def test_the_parser_of_these_tests_finds_live_markup(text: str) -> None:
    with pytest.raises(AssertionError):
        assert_dead(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_text_stays_in_code(text: str) -> None:
    for markdown in every(text):
        assert_dead(markdown, MARKER)
    for sentence in (
        text,
        f"While fetching {text}: it is not there.",
        f"the file `{text}` of {text}",
        f"{text}{text}",
        f"`{text}` `{text}`",
    ):
        assert_dead(prose(sentence))
        assert_dead(f"- {prose(sentence)}")
        assert_dead(f"> {prose(sentence)}")


@settings(max_examples=60, deadline=None)
@given(TEXT)
@example("`\\`")
@example("a``b")
def test_no_text_gets_out_of_code(text: str) -> None:
    for markdown in every(text):
        assert_dead(markdown, MARKER)
    assert_dead(prose(text))
    assert_dead(prose(f"x {text}{MARKER} y"), MARKER)


@settings(max_examples=40, deadline=None)
@given(TEXT, TEXT)
def test_a_table_keeps_its_cells(one: str, other: str) -> None:
    rows = [(code(one), prose(other), code(other)), ("x", "y", "z")]
    cells = [token for token in READER.parse(table(["a", "b", "c"], rows)) if token.type == "td_open"]
    assert len(cells) == 6


@settings(max_examples=40, deadline=None)
@given(TEXT)
def test_plain_text_hides_nothing_and_is_stable(text: str) -> None:
    assert not UNSEEN.search(plain(text))
    assert "\n" not in plain(text)
    assert plain(plain(text)) == plain(text)
    assert len(plain(text, 50).encode()) <= 50
    if text.isprintable() and text == text.strip() and not any(char in text for char in "\u034f\u2800\u3164\uffa0\u115f\u1160"):
        assert UNSEEN.search(text) or plain(text) == text


def test_prose_keeps_ordinary_sentences() -> None:
    sentence = "the profile `shop` in `t/profiles.yml` (see there), over 600 s of 1.11 and 2,000 files: don't."
    assert prose(sentence) == sentence
    assert code_in(prose("While fetching octo/shop at 1a2b3c4: gone.")) == ["octo/shop", "1a2b3c4"]
    assert prose("ref() points nowhere (see ref('a')).") == "`ref()` points nowhere (see `ref('a')`)."


@pytest.mark.parametrize("text", ["models/a.sql", "a b", "{{ ref('x') }}", "état.sql", "日本語/模型.sql"])
def test_names_are_shown_as_they_are(text: str) -> None:
    assert code_in(code(text)) == [text]
    assert code_in(fenced(text, 1000)) == [f"{text}\n"]


def test_cutting_counts_bytes_and_closes_code_blocks() -> None:
    assert cut("é" * 10, 9) == "ééé…"
    assert cut("abc", 3) == "abc"
    block = fenced("```\nx\n" * 5000, 1000)
    assert len(block.encode()) <= 1000
    assert_dead(f"{block}\n\nafter", "x")
    assert len(fenced("`" * 100_000, 1000).encode()) <= 1000


def test_a_document_contains_whole_blocks_only() -> None:
    blocks = ["first", "", fenced("x" * 400, 1000), fenced("y" * 400, 1000)]
    made = document(blocks, 600)
    assert len(made.encode()) <= 600
    assert "xxx" in made
    assert "yyy" not in made
    assert made.endswith("… see the details page for the rest.")
    assert document(["a", "", "b"], 600) == "a\n\nb"
