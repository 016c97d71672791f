"""Who may register the App."""

from __future__ import annotations

import pytest
from aiohttp import HttpVersion10, HttpVersion11

from app.web.door import FORWARDED, MAX_STATES, STATE_LIFE_S, Door, Intent, comes_from_here

INTENT = Intent("https://github.com", keep=True)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_state_is_good_once_in_its_own_browser() -> None:
    door = Door()
    state = door.begin("mine", INTENT)
    assert door.finish(state + "x", "mine") is None
    assert door.finish("", "") is None
    assert door.finish(state, "mine") == INTENT
    assert door.finish(state, "mine") is None


def test_in_another_browser_a_state_is_used_up_without_effect() -> None:
    door = Door()
    state = door.begin("mine", INTENT)
    assert door.finish(state, "another's") is None
    assert door.finish(state, "mine") is None


def test_a_state_expires() -> None:
    clock = Clock()
    door = Door(clock)
    early, late = door.begin("mine", INTENT), door.begin("mine", Intent("https://ghes.example", keep=False))
    clock.now_s = STATE_LIFE_S - 1
    assert door.knows("mine")
    assert door.finish(early, "mine") == INTENT
    clock.now_s = STATE_LIFE_S
    assert not door.knows("mine")
    assert door.finish(late, "mine") is None


def test_states_do_not_pile_up() -> None:
    door = Door()
    first = door.begin("mine", INTENT)
    for _ in range(MAX_STATES):
        door.begin("mine", INTENT)
    assert door.finish(first, "mine") is None
    assert len(door._begun) == MAX_STATES


def test_the_token_is_of_this_start_only() -> None:
    door, other = Door(), Door()
    assert door.admits(door.token)
    assert not door.admits(other.token)
    assert not door.admits("")
    assert not door.admits("é\udcff")


@pytest.mark.parametrize(("peer", "host"), [("127.0.0.1", "localhost:3001"), ("::1", "[::1]:3001"), ("::ffff:127.0.0.1", "127.0.0.1")])
def test_a_browser_on_this_host(peer: str, host: str) -> None:
    assert comes_from_here(peer, host, {}, HttpVersion11)


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("192.0.2.7", "localhost"),
        ("", "localhost"),
        ("127.0.0.1", "evil.example"),
        ("127.0.0.1", ""),
        ("127.0.0.1", "localhost:80@evil.example"),
    ],
)
def test_a_browser_elsewhere_or_under_a_name_that_is_not_ours(peer: str, host: str) -> None:
    assert not comes_from_here(peer, host, {}, HttpVersion11)


@pytest.mark.parametrize("header", FORWARDED)
def test_a_proxy_on_this_host_speaks_for_others(header: str) -> None:
    assert not comes_from_here("127.0.0.1", "localhost", {header: "127.0.0.1"}, HttpVersion11)


def test_a_proxy_that_says_nothing_speaks_an_old_http() -> None:
    assert not comes_from_here("127.0.0.1", "localhost", {}, HttpVersion10)
