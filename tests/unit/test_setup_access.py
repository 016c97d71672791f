"""Access to `/setup`: states, tokens, and where GitHub sends the browser back."""

from __future__ import annotations

import pytest

from app.web.http.hosts import FORWARDED, is_tunnelled
from app.web.pages.setup_access import MAX_STATES, STATE_LIFE_S, Intent, SetupAccess

INTENT = Intent("https://github.com", keep=True)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_state_is_valid_once_in_its_own_browser() -> None:
    access = SetupAccess()
    state = access.begin("mine", INTENT)
    assert access.finish(state + "x", "mine") is None
    assert access.finish("", "") is None
    assert access.finish(state, "mine") == INTENT
    assert access.finish(state, "mine") is None


def test_another_browser_uses_a_state_up_without_effect() -> None:
    access = SetupAccess()
    state = access.begin("mine", INTENT)
    assert access.finish(state, "another's") is None
    assert access.finish(state, "mine") is None


def test_a_state_expires() -> None:
    clock = Clock()
    access = SetupAccess(clock)
    early, late = access.begin("mine", INTENT), access.begin("mine", Intent("https://ghes.example", keep=False))
    clock.now_s = STATE_LIFE_S - 1
    assert access.has_begun("mine")
    assert access.finish(early, "mine") == INTENT
    clock.now_s = STATE_LIFE_S
    assert not access.has_begun("mine")
    assert access.finish(late, "mine") is None


def test_pending_states_are_limited() -> None:
    access = SetupAccess()
    first = access.begin("mine", INTENT)
    for _ in range(MAX_STATES):
        access.begin("mine", INTENT)
    assert access.finish(first, "mine") is None
    assert len(access._pending) == MAX_STATES


def test_each_process_has_its_own_token() -> None:
    access, other = SetupAccess(), SetupAccess()
    assert access.admits(access.token)
    assert not access.admits(other.token)
    assert not access.admits("")
    assert not access.admits("é\udcff")


@pytest.mark.parametrize("host", ["localhost:3001", "[::1]:3001", "127.0.0.1", "[::ffff:127.0.0.1]"])
def test_a_loopback_name_without_a_proxy_is_a_tunnel(host: str) -> None:
    assert is_tunnelled(host, {})
    assert not any(is_tunnelled(host, {header: "127.0.0.1"}) for header in FORWARDED)


@pytest.mark.parametrize("host", ["evil.example", "", "localhost:80@evil.example", "localhost/x", "192.0.2.7:3001"])
def test_other_host_names_are_no_tunnel(host: str) -> None:
    assert not is_tunnelled(host, {})
