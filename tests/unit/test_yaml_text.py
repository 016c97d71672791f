"""Untrusted YAML: every file is read or refused quickly."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.yaml_text import MAX_DEPTH, UNREADABLE, NotYamlError, compose, load, mapping

MIB = 1 << 20
MAX_CPU_S = 2.5
"""CPU time; an idle machine needs a tenth of it."""


def lines(*parts: str) -> str:
    return "".join(part + "\n" for part in parts)


LAUGHS = lines("a0: &a0 [lol, lol, lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)))
MERGES = lines("a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10)))
SAME_HASH = range(2**61 - 1, 15_000 * (2**61 - 1), 2**61 - 1)
REFUSED = {
    "aliases of aliases": LAUGHS,
    "merges of merges": MERGES,
    "a long text a thousand times": lines("a: &a " + "x" * 9000, "b: [" + "*a, " * 1000 + "]"),
    "an alias of itself": "&a [*a]",
    "an alias of nothing": "*a",
    "an anchor twice": "[&a x, &a y]",
    "lists in lists": "[" * MIB,
    "mappings in mappings": "{" * MIB,
    "items in items": "- " * (MIB // 2),
    "keys in keys": "? " * (MIB // 2),
    "one deeper than is read": "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
    "very many values": "a: b\n" * (MIB // 5),
    "very many documents": "---\n" * (MIB // 4),
    "very many tag directives": lines(*(f"%TAG !{n}! x" for n in range(60_000)), "--- a"),
    "a long tag again and again": "%TAG !e! " + "a" * (MIB // 2) + "\n---\n" + "- !e!b c\n" * 50_000,
    "python": "!!python/object/apply:os.system [exit]",
    "an empty integer": "!!int ''",
    "a boolean that is none": "!!bool x",
    "a timestamp that is none": "!!timestamp x",
    "a month that is none": "2024-13-45",
    "a mapping as a key": "{{ var('x') }}: 1",
    "NUL": "a: \0",
    "two documents": "a\n---\nb\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_hostile_or_invalid_yaml_is_refused_quickly(text: str) -> None:
    began = time.process_time()
    assert load(text.encode()[:MIB]) is UNREADABLE
    assert time.process_time() - began < MAX_CPU_S


READ = {
    "an anchor used twice": ("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}", {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}),
    "as deep as is read": ("[" * MAX_DEPTH + "]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
    "a byte order mark": ("\ufeffname: shop", {"name": "shop"}),
    "a long line": ("x" * (MIB - 1), "x" * (MIB - 1)),
    "an endless number": ("1" * MIB, "1" * MIB),
    "a number to the base of sixty": ("a: 1" + ":1" * 500_000, {"a": "1" + ":1" * 500_000}),
    "numbers": ("[1, 0x1F, -3.5, 1e3, .inf]", [1, 31, -3.5, "1e3", float("inf")]),
    "keys of one hash": (lines(*(f"{n}: x" for n in SAME_HASH)), {str(n): "x" for n in SAME_HASH}),
    "Jinja in quotes": ("name: \"{{ env_var('X') }}\"", {"name": "{{ env_var('X') }}"}),
    "comments only": ("# nothing\n" * 100_000, None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("text", "value"), READ.values(), ids=READ.keys())
def test_unusual_but_valid_yaml_is_read(text: str, value: object) -> None:
    began = time.process_time()
    assert load(text.encode()[:MIB]) == value
    assert time.process_time() - began < MAX_CPU_S


@pytest.mark.parametrize("text", [b"a: \xff", "a: b".encode("utf-16"), "a: é".encode("latin-1"), b"\xfe\xff", b"\x80"])
def test_text_that_is_not_utf_8_is_unreadable(text: bytes) -> None:
    assert load(text) is UNREADABLE
    assert mapping(text) == {}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*"ab\n\t -:?[]{},&*!%#|>'\"@`<~=.0_\0\ufeff\u2028", "*a ", "&a ", "<<: ", "!!int ", "2024-13-01", "- "])))
def test_no_text_raises(parts: list[str]) -> None:
    text = "".join(parts).encode()
    loaded = load(text)
    try:
        compose(text)
    except NotYamlError:
        assert loaded is UNREADABLE


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_raise(text: bytes) -> None:
    load(text)


Plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("ab: -#'é\n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(Plain)
def test_plain_values_are_read_as_written(value: Any) -> None:
    assert load(yaml.safe_dump(value, allow_unicode=True).encode()) == value


@pytest.mark.parametrize(
    ("text", "line"), [("a: b\nc: [", 2), ("a: [\n", 1), ("a: b\nc: *x\n", 2), ("a:\n" + "- - " * 90, 2), ("a: é\nb: é\n", 1)], ids=repr
)
def test_errors_have_the_line(text: str, line: int) -> None:
    with pytest.raises(NotYamlError) as caught:
        compose(text.encode("latin-1"))
    assert caught.value.line == line
    assert caught.value.reason
