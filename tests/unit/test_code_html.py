from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.reports.code_html import MAX_COLORED, MAX_SHOWN_BYTES, CodeCall, render
from app.reports.code_tokens import split
from tests.unit.github_markdown import HOSTILE, UNSEEN

OURS = re.compile(r'<span class="[ksncj]">|</span>|<a href="/to/[^"<>]*">|</a>')
TEXT = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [*("{{", "}}", "{%", "%}", "{#", "#}", "-", "--", "/*", "*/", "'", "''", "\\", '"', "`", "{", "}", "\n", " ", "a", "1.5"),
             *("select", "ref(", "source", "'a'", '"b"', ",", ")", "v=2", "#", "'''", '"""', "f'", "é", "<b>")]
        ),
        max_size=40,
    ).map("".join),
)  # fmt: skip


def to(call: CodeCall) -> str:
    return f"/to/{'/'.join((call.function, *call.names, *filter(None, [call.version])))}"


def links(code: str, language: str = "sql") -> list[str]:
    return [unescape(address) for address in re.findall(r'<a href="/to/([^"]*)">', render(code, language, to))]


def kinds(code: str, language: str = "sql") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for token in split(code, language):
        found.setdefault(token.kind, []).append(token.text)
    return found


@settings(max_examples=500, deadline=None)
@given(TEXT, st.sampled_from(["sql", "python", None]))
@example("select '{{ ref('a", "sql")
@example("\\{{", "sql")
@example("'\\", "python")
def test_all_of_the_code_is_shown_and_nothing_else(code: str, language: str | None) -> None:
    assert "".join(token.text for token in split(code, language)) == code
    html = render(code, language, to)
    inside = html.removeprefix('<pre class="code"><code>').removesuffix("</code></pre>")
    rest = OURS.sub("", inside)
    assert "<" not in rest
    assert ">" not in rest
    assert '"' not in rest
    assert unescape(rest) == render_plain(code)


def render_plain(code: str) -> str:
    html = render(code, None, lambda _: None)
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_code_is_text(text: str) -> None:
    for code in (text, f"select '{text}'", f"{{{{ ref('{text}') }}}}", f"-- {text}", f"dbt.ref('{text}')"):
        for language in ("sql", "python"):
            inside = render(code, language, to).removeprefix('<pre class="code"><code>').removesuffix("</code></pre>")
            assert "<" not in OURS.sub("", inside)
            assert not UNSEEN.search(unescape(inside))


def test_calls_lead_to_the_nodes_that_they_name() -> None:
    assert links("from {{ ref('orders') }}") == ["ref/orders"]
    assert links('from {{ ref("shop", "orders", v=2) }}') == ["ref/shop/orders/2"]
    assert links("{%- set x = ref( 'orders' , version='1b' ) -%}") == ["ref/orders/1b"]
    assert links("{{ source('erp', 'orders') }} -- {{ ref('a') }} '{{ ref('b') }}'") == ["source/erp/orders", "ref/a", "ref/b"]
    assert links('x = dbt.ref("orders").join(dbt.source("erp", "o"))', "python") == ["ref/orders", "source/erp/o"]


@pytest.mark.parametrize(
    "code",
    [
        *("{{ ref(name) }}", "{{ ref('a' ~ x) }}", "{{ ref('a', 'b', 'c') }}", "{{ \"ref('a')\" }}", "ref('a')", "{# ref('a') #}"),
        *("{{ my_ref('a') }}", "{{ ref }}", "{{ ref('a' }}", "{{ ref('') }}", "{{ ref('a\\'b') }}"),
    ],
)
def test_what_is_no_call_of_plain_names_is_no_link(code: str) -> None:
    assert links(code) == []


def test_a_call_whose_node_is_not_known_is_text() -> None:
    assert "<a" not in render("{{ ref('a') }}", "sql", lambda _: None)


def test_jinja_goes_on_in_strings_and_comments() -> None:
    found = kinds("select 'a {{ var(\"x\") }} b' -- c {{ d }} e\nfrom t {# f #} /* g\n{{ h }} */ where '{' = 'it''s'")
    assert found["string"] == ["'", "a ", '"x"', " b'", "'", "{'", "'", "it''s'"]
    assert found["comment"] == ["--", " c ", " e\n", "{# f #}", "/*", " g\n", " */"]
    assert found["jinja"] == ["{{", "}}"] * 3
    assert found["keyword"] == ["select", "from", "where"]


def test_braces_of_dictionaries_do_not_end_an_expression() -> None:
    assert kinds("{{ config(meta={'a': {'b': 1}}) }} select")["keyword"] == ["select"]


def test_python_is_colored_as_python() -> None:
    found = kinds('def model(dbt, session):\n    return f\'{x}\'  # it\'s\n"""a \'b\'\n""" + 1.5', "python")
    assert found["keyword"] == ["def", "return"]
    assert found["string"] == ["f'{x}'", '"""a \'b\'\n"""']
    assert found["comment"] == ["# it's"]
    assert found["number"] == ["1.5"]


def test_long_code_has_no_colors_and_very_long_code_is_cut() -> None:
    assert "<span" in render("select " * (MAX_COLORED // 7), "sql", to)
    assert "<span" not in render("select " * MAX_COLORED, "sql", to)
    assert len(render("select " * MAX_SHOWN_BYTES, "sql", to)) < MAX_SHOWN_BYTES + 100
