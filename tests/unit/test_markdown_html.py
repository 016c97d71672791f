from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.reports import markdown_html
from app.reports.markdown_html import MAX_CELLS, MAX_MARKDOWN_BYTES, render, safe_link
from tests.unit.github_markdown import HOSTILE, UNSEEN

TAGS = {"p", "blockquote", "ul", "ol", "li", "em", "strong", "s", "a", "code", "pre", "br", "hr", "h3", "h4", "h5", "h6"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
TEXT = st.one_of(
    st.text(),
    st.text("`|\\<>[]()#!*_~:-=&;/.\"' \n\tab1\u202e", max_size=80),
    st.lists(
        st.sampled_from(
            ["[a](", "javascript:", "![", "](https://a.b)", "<a ", "onerror=", "> ", "- ", "|a|\n|-:|\n", "`", "&#106;", "\n", "'", '"', "https://x.y/"]
        ),
        max_size=20,
    ).map("".join),
)  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of it, and whether everything that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.links = "", list[str]()
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert tag in TAGS | TABLE
        found = dict(attrs)
        if tag == "a":
            assert "a" not in self._open, "a link in a link"
            assert found.pop("rel") == "noopener nofollow"
            self.links.append(str(found.pop("href")))
        assert str(found.pop("start", "1")).isdecimal()
        assert found.pop("class", "right") in {"right", "center"}
        assert not found
        if tag not in {"br", "hr"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check(text: str) -> Page:
    page = Page(render(text))
    assert all(urlsplit(link).scheme.lower() in {"http", "https", "mailto"} for link in page.links), page.links
    assert not UNSEEN.search(page.text)
    return page


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_descriptions_do_nothing(text: str) -> None:
    for markdown in (text, f"a {text} b", f"> {text}\n\n{text}", f"|a|\n|-|\n|{text}|", f"[{text}]({text})", f"![{text}]({text})"):
        check(markdown)


@settings(max_examples=500, deadline=None)
@given(TEXT)
@example("[a](https://a.b 'x\" onmouseover=\"x')")
@example("[![a](https://a.b)](https://c.d)")
@example("![a ![b](https://a.b) https://x.y](https://c.d)")
@example('https://a.b/"onclick=x')
@example("<https://a.b/\"'>")
def test_no_text_makes_more_than_links_and_blocks(text: str) -> None:
    check(text)


def test_a_description_is_shown_as_its_author_meant_it() -> None:
    html = render("# Orders\n\nOne row *per* `order`, see https://wiki.example/a_b.\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n3. x\n4. y")
    assert "<h3>Orders</h3>" in html
    assert "<em>per</em> <code>order</code>" in html
    assert '<a href="https://wiki.example/a_b" rel="noopener nofollow">https://wiki.example/a_b</a>.' in html
    assert '<th class="right">b</th>' in html
    assert '<ol start="3">' in html
    assert render("# a", below=5) == "<h6>a</h6>\n"


def test_a_sentence_needs_no_parser() -> None:
    assert render("The key: one a row, from 3.14 on.") == "<p>The key: one a row, from 3.14 on.</p>\n"
    assert render("") == render(" \n ") == ""


@pytest.mark.parametrize(
    "address",
    [
        *("javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "\tjavascript:x", "java\nscript:x", "data:text/html,x"),
        *("vbscript:x", "file:///etc/passwd", "//evil.example", "/extractions", "../x", "#x", "https:", "https://", "http:/x", "", None),
        *("https://\\evil.example", "https://a.b\u202e", "https://a.b\n", "ftp://a.b", "blob:https://a.b", "\x01https://a.b"),
    ],
)
def test_only_addresses_of_the_web_and_of_mail_are_links(address: str | None) -> None:
    assert safe_link(address) is None
    if address:
        for markdown in (f"[x]({address})", f"[x](<{address}>)", f"![x]({address})", f"<{address}>"):
            assert all(link.startswith("http") for link in check(markdown).links)


def test_images_are_never_loaded_but_linked() -> None:
    assert render("![the *plan*](https://a.b/c.png)") == (
        '<p><a href="https://a.b/c.png" rel="noopener nofollow">the <em>plan</em></a></p>\n'
    )
    assert render("![](https://a.b/c.png) ![x](c.png)").count("<a") == 1


def test_links_to_files_that_we_do_not_have_show_their_text() -> None:
    assert render("See [the docs](../docs/a.md).") == "<p>See the docs.</p>\n"


def test_long_descriptions_are_cut() -> None:
    assert len(Page(render("word " * MAX_MARKDOWN_BYTES)).text) <= MAX_MARKDOWN_BYTES


@pytest.mark.parametrize(
    "text",
    [
        f"[a]: https://a.b/{'c' * 5_000}\n\n{'[a]' * 5_000}",
        f"{'|a' * 100}|\n{'|-' * 100}|\n{'|' * 2}\n" + "|\n" * 9_000,
        f"{'|a' * 50}|\n{'|-' * 50}|\n" + "|\n" * (MAX_CELLS // 60),
        "> " * 10_000,
        "".join(f"{' ' * depth}- a\n" for depth in range(190)),
        "<" * 20_000,
        "&lt;" * 5_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_little_text_does_not_become_a_big_page(text: str) -> None:
    assert len(render(text)) < 10 * MAX_MARKDOWN_BYTES


def test_a_small_table_is_one() -> None:
    assert markdown_html.MAX_CELLS > 1_000
    assert "<table>" in render("|a|b|\n|-|-|\n" + "|1|2|\n" * 200)
