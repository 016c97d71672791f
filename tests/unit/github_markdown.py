"""An independent check of our Markdown: another parser, and the patterns that GitHub turns into links outside of code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OURS = re.compile(
    r"(?:paragraph|heading|table|thead|tbody|tr|th|td|bullet_list|list_item|blockquote|strong)_(?:open|close)|inline|text|code_inline|fence"
)
OUR_LINKS = re.compile(
    r"https://(?:freshet\.example/extractions/e1|github\.com/octo/shop/(?:commit|blob|pull)/[A-Za-z0-9/._~%-]+(?:#L\d+)?)"
)
"""Where links of ours lead: percent-encoded, so that no name of strangers ends them."""
OUR_PICTURE = re.compile(
    r"flowchart LR\n"
    r"(?:  n\d+(?:\{\{|\(\[|\[)\"(?:\w| |#\d+;)+<br/>(?:\w| |#\d+;)+\"(?:\}\}|\]\)|\]):::\w+\n)+"
    r"(?:  n\d+ (?:-->|-\.->) n\d+\n)+"
    r"(?:  classDef \w+ [\w:#, -]+\n)+"
)
"""A picture in which every label is letters, digits and entities: no name of strangers ends a label."""
OURS_IN_HTML = re.compile(r"(?:<details><summary>[A-Za-z0-9, ]+</summary>|</details>)\n?")
"""What opens and closes a list that is shown on demand."""
# https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
LIVE = {
    "mention": re.compile(r"(?<![\w`])@[a-z0-9]", re.IGNORECASE),
    "reference": re.compile(r"#\d|\bGH-\d", re.IGNORECASE),
    "address": re.compile(r"https?:|ftp:|mailto:|xmpp:|www\.|\w@\w", re.IGNORECASE),
    "emoji": re.compile(r":[a-z0-9_+-]+:", re.IGNORECASE),
    "commit": re.compile(r"\b[0-9a-f]{7,40}\b"),
    "task": re.compile(r"^\s*\[[ xX]\]\s"),
    "mathematics": re.compile(r"\$"),
}
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ud800-\udfff]")
HOSTILE = [
    *("@octocat", "@octo/team", "#1", "octo/shop#1", "GH-1", "https://evil.example/x"),
    *("www.evil.example", "a@evil.example", "//evil.example"),
    *("![x](https://evil.example/x.png)", "[x](https://evil.example)", "[x]: https://evil.example", "<https://evil.example>", "[x][y]"),
    *("<img src=x onerror=alert(1)>", "<b>x</b>", "<!-- x", "<details>", "&lt;b&gt;", "&#64;octocat", "</code></pre>", "<script>"),
    *(":tada:", "- [ ] task", "* x", "1. x", "# x", "> x", "---", "===", "+++"),
    *("```", "````\n@octocat\n````", "`", "``", "` @octocat `", "`` @x ``"),
    *("| a | b |\n|---|---|", "a|b", "a\\|b", "\\", "\\`", "`\\", "$x$", "$`x`$"),
    *("~~x~~", "**x**", "_x_", "    x", "\tx", "a\n\n# x", "a\r\n@b", "a\n```\n@b"),
    *("\x1b[31mred\x1b[0m", "\x1b]8;;https://evil.example\x07x\x1b]8;;\x07"),
    *("\x9b31mx", "\x1b(B", "a\u202eb", "a\u2066b", "a\u200bb", "a\u2028b", "a\x85b"),
    *("a\x00b", "\ufeffx", "a\udc80b", "x\u0300" * 50, "é" * 500, "{{ x }}"),
    *("{% x %}", "::error::x", "deadbeefcafe", "a b", "", " ", "`" * 5000),
]  # fmt: skip


def tokens(markdown: str) -> Iterator[Token]:
    """Yield all tokens of a text, those inside of lines too."""
    for token in READER.parse(markdown):
        yield token
        yield from token.children or ()


def types_of(markdown: str) -> list[str]:
    """The types of all tokens of a text."""
    return [token.type for token in tokens(markdown)]


def assert_dead(markdown: str, marker: str | None = None) -> None:
    """Nothing of strangers' works: only our own markup, nothing that GitHub makes live, `marker` in code only."""
    assert not UNSEEN.search(markdown)
    for token in tokens(markdown):
        if token.type == "html_block" and OURS_IN_HTML.fullmatch(token.content):
            continue
        if token.type in ("link_open", "link_close"):
            assert token.type == "link_close" or OUR_LINKS.fullmatch(str(token.attrGet("href"))), token.attrs
            continue
        assert OURS.fullmatch(token.type), f"{token.type} in {markdown!r}"
        if token.type == "fence":
            assert token.info in ("", "yaml", "mermaid")
            assert token.info != "mermaid" or OUR_PICTURE.fullmatch(token.content), token.content
        if token.type == "text":
            assert marker is None or marker not in token.content, markdown
            for name, live in LIVE.items():
                assert not live.search(token.content), f"{name} in {token.content!r} of {markdown!r}"


def code_in(markdown: str) -> list[str]:
    """Return what stands in code."""
    return [token.content for token in tokens(markdown) if token.type in ("code_inline", "fence")]
