"""Signing in with GitHub, from attacks: what a stranger, another site, a thief or a broken clock could try."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import pytest_asyncio
from pydantic import SecretStr

from app.store import Store
from app.web.auth import sessions
from app.web.auth.flows import LIFE_S, MAX_FLOWS
from app.web.http import sse
from app.web.http.shared_answer import SharedAnswer
from app.web.pages import setup
from tests.double import Answer
from tests.html_forms import Browser
from tests.integration.page_world import READ, STRANGER, WRITE, World, deliver_revocation, running
from tests.patience import HANGS_S


@pytest_asyncio.fixture
async def world(store: Store, dsn: str) -> AsyncIterator[World]:
    async with running(store, dsn) as world:
        yield world
        assert world.github.violations == []


def query(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


async def begun(browser: Browser, next_path: str = "/") -> str:
    """Begin to sign in: the address on GitHub."""
    return (await browser.open(f"/sign-in?next={quote(next_path)}", follow=False)).headers["Location"]


async def sent_back(browser: Browser, address: str) -> str:
    """What GitHub sends the browser back to."""
    return (await browser.open(address, follow=False)).headers["Location"]


async def test_the_link_of_a_check_run_leads_through_github_back_to_its_page(world: World) -> None:
    browser = await world.browser()
    world.github.state.person = READ
    page = await browser.open(f"{world.page}?x=1")
    assert (page.status, page.url) == (200, f"{world.url}{world.page}?x=1")
    assert "octo/shop" in page.text
    assert f"Sign out {READ}" in page.text
    assert [urlsplit(one).path for one in page.through] == [world.page, "/sign-in", "/login/oauth/authorize", "/sign-in/callback"]
    asked = query(page.through[2])
    assert (asked["code_challenge_method"], len(asked["code_challenge"])) == ("S256", 43)
    assert asked["redirect_uri"] == f"{world.url}/sign-in/callback"
    exchange = next(one for one in world.github.requests if one.path == "/login/oauth/access_token")
    assert "Authorization" not in exchange.headers
    cookies = browser.cookies()
    assert list(cookies) == ["freshet"], "nothing is left of the sign-in"
    row = await world.store._db.row("SELECT * FROM sessions")
    assert row is not None
    assert (row["login"], bytes(row["digest"])) == (READ, hashlib.sha256(cookies["freshet"].encode()).digest())
    tokens = [value for token in world.github.state.tokens.values() for value in (token.value, token.refresh or "")]
    assert not [value for value in tokens if value and value.encode() in bytes(row["tokens"])]
    assert cookies["freshet"] not in str(dict(row))


async def test_cookies_cannot_be_read_by_scripts_nor_sent_by_other_sites(world: World) -> None:
    browser = await world.browser()
    world.github.state.person = READ
    back = await sent_back(browser, await begun(browser))
    done = await browser.open(back, follow=False, site="cross-site")
    cookies = done.headers.getall("Set-Cookie")  # type: ignore[attr-defined]
    session = next(one for one in cookies if one.startswith("freshet="))
    assert {"HttpOnly", "Path=/", "SameSite=Lax", f"Max-Age={168 * 3600}"} <= set(session.split("; "))
    assert "Domain" not in session
    assert done.headers["Cache-Control"] == "no-store"


ELSEWHERE = (
    "https://evil.example/x",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/x\r\nSet-Cookie: freshet=stolen",
    "javascript:alert(1)",
    "evil.example",
    "/" + "x" * 5000,
    "/\u2028x",
    "",
)


async def test_a_sign_in_leads_nowhere_but_to_our_own_pages(world: World) -> None:
    for address in ELSEWHERE:
        browser = await world.browser()
        world.github.state.person = READ
        page = await browser.open(f"/sign-in?next={quote(address)}")
        assert (page.status, page.url) == (200, f"{world.url}/"), address
        again = await browser.open(f"/sign-in?next={quote(address)}", follow=False)
        assert again.headers["Location"] == "/", "also for those who are signed in already"
        assert "stolen" not in str(again.headers)


async def test_a_sign_in_that_another_browser_began_signs_nobody_in(world: World) -> None:
    attacker, victim = await world.browser(), await world.browser()
    world.github.state.person = "attacker"
    back = await sent_back(attacker, await begun(attacker))
    page = await victim.open(back, site="cross-site")
    assert (page.status, "This sign-in is not valid any more" in page.text) == (400, True)
    assert victim.cookies() == {}
    world.github.state.person = READ
    own = query(await begun(victim))["state"]
    mixed = back.replace(query(back)["state"], own)
    page = await victim.open(mixed, site="cross-site")
    assert (page.status, "code has expired" in page.text) == (400, True), "PKCE: the code belongs to the attacker's verifier"
    assert await world.sessions() == 0


async def test_a_callback_works_once(world: World) -> None:
    browser = await world.browser()
    world.github.state.person = READ
    back = await sent_back(browser, await begun(browser))
    kept = browser.cookies()
    assert (await browser.open(back)).status == 200
    other = await world.browser()
    for name, value in kept.items():
        other.set_cookie(name, value)
    page = await other.open(back)
    assert (page.status, "code has expired" in page.text) == (400, True), "even for somebody who has the cookie too"
    assert (await browser.open(back)).url == f"{world.url}/", "going back after the sign-in is no error"
    assert await world.sessions() == 1


@pytest.mark.parametrize("later_s", [LIFE_S + 1, -3600.0])
async def test_a_sign_in_ends_after_ten_minutes_and_does_not_begin_in_the_future(world: World, later_s: float) -> None:
    browser = await world.browser()
    world.github.state.person = READ
    back = await sent_back(browser, await begun(browser))
    world.now_s[0] += later_s
    assert (await browser.open(back)).status == 400
    assert await world.sessions() == 0


async def test_forged_and_foreign_cookies_of_sign_ins_are_refused(world: World) -> None:
    browser = await world.browser()
    world.github.state.person = READ
    back = await sent_back(browser, await begun(browser))
    [(name, value)] = browser.cookies().items()
    for forged in ("", "x", "!", value[:-2] + ("AA" if value[-2:] != "AA" else "BB"), value[:20], "A" * 200):
        browser.set_cookie(name, forged)
        assert (await browser.open(back)).status == 400, forged
    browser.set_cookie(name, value)
    assert (await browser.open(back.replace("state=", "state=x"))).status == 400
    assert (await browser.open(f"/sign-in/callback?code={query(back)['code']}")).status == 400
    assert (await browser.open(back)).status == 200


async def test_cookies_of_any_kind_are_no_crash(world: World) -> None:
    browser = await world.browser()
    state = query(await begun(browser))["state"]
    name = next(iter(browser.cookies()))
    for value in ("\u00e9", "a=b", "%00", "x" * 5000, '"', "\u202e", "=", "A" * 43):
        for cookie in ("freshet", name):
            headers = {"Cookie": f"{cookie}={value}"}
            for path in (world.page, f"/sign-in/callback?code=x&state={state}", "/sign-out", "/"):
                assert (await browser.open(path, site="none", follow=False, **headers)).status < 500, (path, value)


async def test_several_tabs_sign_in_at_once_and_cookies_do_not_pile_up(world: World) -> None:
    browser = await world.browser()
    world.github.state.person = READ
    tabs = [await begun(browser, f"/docs?{number}") for number in range(3)]
    for number, address in enumerate(tabs):
        back = await sent_back(browser, address)
        assert (await browser.open(back, follow=False)).headers["Location"] == f"/docs?{number}"
    await browser.submit("/sign-out")
    for _ in range(3 * MAX_FLOWS):
        await begun(browser)
    assert len(browser.cookies()) <= MAX_FLOWS


async def test_a_session_that_was_planted_is_not_the_one_that_begins(world: World) -> None:
    thief = await world.browser(STRANGER)
    planted = thief.cookies()["freshet"]
    victim = await world.browser()
    victim.set_cookie("freshet", "planted-by-somebody")
    world.github.state.person = READ
    await world.open(victim, world.page)
    assert victim.cookies()["freshet"] not in ("planted-by-somebody", planted)
    victim.set_cookie("freshet", planted)
    page = await victim.open(world.page)
    assert page.status == 404, "the stranger's session shows what strangers see"
    back = await sent_back(thief, await begun(await world.browser()))
    assert back


async def test_signing_in_again_ends_the_session_before(world: World) -> None:
    browser = await world.browser(READ)
    before = browser.cookies()["freshet"]
    await world.store._db.execute("UPDATE sessions SET expires_at = now() + interval '1 hour'")
    address = await begun(await world.browser())
    assert address
    browser.session.cookie_jar.clear()
    world.github.state.person = WRITE
    back = await sent_back(browser, await begun(browser))
    browser.set_cookie("freshet", before)
    await browser.open(back, site="cross-site")
    assert browser.cookies()["freshet"] != before
    browser.set_cookie("freshet", before)
    assert (await browser.fetch("/api/metadata/connections")).status == 401


async def test_what_changes_something_needs_a_page_of_our_own(world: World) -> None:
    browser = await world.browser(WRITE)
    path = f"/api/metadata/connections/{world.connection_id}"
    forged: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://evil.127.0.0.1"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "", "Origin": "null"},
        {"Sec-Fetch-Site": "", "Origin": f"{world.url}.evil.example"},
        {"Sec-Fetch-Site": "", "Origin": world.url.replace("http:", "https:")},
        {"Sec-Fetch-Site": "none", "Origin": world.url},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": world.url},
    ]
    for headers in forged:
        for method in ("POST", "PATCH", "DELETE"):
            page = await browser.fetch(path + ("/extract" if method == "POST" else ""), method, **headers)
            assert (page.status, "another site" in page.text) == (403, True), (method, headers)
        assert (await browser.submit("/sign-out", {}, **{"Origin": "", **headers})).status == 403
    assert await world.sessions() == 1
    assert (await browser.fetch(path, "PATCH")).status == 200
    assert (await browser.fetch(path, "PATCH", **{"Sec-Fetch-Site": "", "Origin": world.url})).status == 200, "a browser of before 2023"


async def test_other_sites_may_link_to_pages_but_not_load_them(world: World) -> None:
    browser = await world.browser(READ)
    api = f"/api/metadata/connections/{world.connection_id}"
    assert (await browser.open(world.page, site="cross-site")).status == 200
    for mode, dest in (("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe"), ("websocket", "empty")):
        for path in (world.page, api, f"{world.page}/events"):
            for site in ("cross-site", "same-site"):
                page = await browser.fetch(path, **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest})
                assert (page.status, "octo" in page.text) == (403, False), (mode, dest, path)
    headers = (await browser.fetch(api)).headers
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Cache-Control"] == "private, no-cache"


async def test_a_header_decides_before_a_cookie(world: World) -> None:
    browser = await world.browser(WRITE)
    path = f"/api/metadata/connections/{world.connection_id}"
    assert (await browser.fetch(path)).status == 200
    assert (await browser.fetch(path, Authorization="Bearer nonsense")).status == 401
    assert (await browser.fetch(path, Authorization="Basic eDp5")).status == 401


async def test_the_status_of_the_app_says_which_callback_url_sign_in_needs(world: World) -> None:
    web_app = world.replicas[0].web_app
    web_app._state[setup.FIRST_RUN] = SharedAnswer(world.store.operations.first_run, 0.0)
    page = await world.open(await world.browser(), "/setup")
    assert f"<code>{world.url}/sign-in/callback</code>" in page.text


async def test_signing_out_ends_the_session_here_and_on_github(world: World) -> None:
    browser, elsewhere = await world.browser(READ), await world.browser(READ)
    cookie, tokens = browser.cookies()["freshet"], len(world.github.state.tokens)
    assert "Sign out everywhere" in (await world.open(browser, "/sign-out")).text
    done = await browser.submit("/sign-out")
    assert (done.status, done.headers["Location"], browser.cookies()) == (303, "/", {})
    assert len(world.github.state.tokens) == tokens - 1
    browser.set_cookie("freshet", cookie)
    assert (await browser.fetch("/api/metadata/connections")).status == 401
    assert (await browser.open(world.page, follow=False)).status == 302
    assert (await elsewhere.fetch("/api/metadata/connections")).status == 200


async def test_signing_out_everywhere_ends_all_sessions_of_the_person_only(world: World) -> None:
    browser, elsewhere, other = await world.browser(READ), await world.browser(READ), await world.browser(WRITE)
    await browser.submit("/sign-out", {"everywhere": "yes"})
    assert (await elsewhere.fetch("/api/metadata/connections")).status == 401
    assert (await other.fetch("/api/metadata/connections")).status == 200


async def test_signing_out_everywhere_makes_all_tokens_of_the_person_useless(world: World) -> None:
    await world.browser(WRITE)
    others = len(world.github.state.tokens)
    browser = await world.browser(READ)
    for _ in range(sessions.REVOKED + 2):
        await world.browser(READ)
    asked = len(world.github.state.requests)
    await browser.submit("/sign-out", {"everywhere": "yes"})
    revoked = [one for one in world.github.state.requests[asked:] if one.method == "DELETE" and one.path.endswith("/token")]
    assert len(revoked) == sessions.REVOKED, "the rest expire: whoever signs in a thousand times cannot make us ask a thousand times"
    assert len(world.github.state.tokens) == others + 3
    assert await world.sessions() == 1


async def test_signing_out_everywhere_works_while_github_does_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, elsewhere = await world.browser(READ), await world.browser(READ)

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(sessions, "REVOKING_S", 0.1)
    monkeypatch.setattr(world.replicas[0].user_sign_in, "revoke", never)
    assert (await browser.submit("/sign-out", {"everywhere": "yes"})).status == 303
    assert (await elsewhere.fetch("/api/metadata/connections")).status == 401


async def test_a_session_ends_by_its_age_and_when_nobody_uses_it(world: World) -> None:
    for limits in ({"expires_at": timedelta(hours=168)}, {"used_at": sessions.IDLE}):
        browser = await world.browser(READ)
        almost = {name: by - timedelta(minutes=1) for name, by in limits.items()}
        await world.age(**almost)
        assert (await browser.fetch("/api/metadata/connections")).status == 200
        await world.age(**limits)
        assert (await browser.fetch("/api/metadata/connections")).status == 401
        assert (await browser.open(world.page, follow=False)).headers["Location"].startswith("/sign-in?next=")
        assert await world.store.sessions.delete_ended(sessions.IDLE) == 1
    await world.browser(READ)
    assert await world.store.sessions.delete_ended(sessions.IDLE) == 0


async def test_use_postpones_the_idle_limit_but_not_the_other_one(world: World) -> None:
    browser = await world.browser(READ)
    before = await world.store._db.value("SELECT expires_at FROM sessions")
    for _ in range(3):
        await world.age(used_at=timedelta(hours=20))
        assert (await browser.fetch("/api/metadata/connections")).status == 200
    assert await world.store._db.value("SELECT expires_at FROM sessions") == before


async def test_sessions_of_one_row_cannot_be_moved_to_another(world: World) -> None:
    """Somebody who can write to the database, but does not know the client secret."""
    reader, stranger = await world.browser(READ), await world.browser(STRANGER)
    await world.store._db.execute(
        "UPDATE sessions SET tokens = (SELECT tokens FROM sessions WHERE login = $1) WHERE login = $2", READ, STRANGER
    )
    assert (await stranger.fetch("/api/metadata/connections")).status == 401
    assert (await reader.fetch("/api/metadata/connections")).status == 200


async def test_another_client_secret_ends_all_sessions(world: World) -> None:
    browser = await world.browser(READ)
    app = world.github.app
    app.client_secret = "another-secret"
    world.replicas[0].user_sign_in.use_app(app.client_id, SecretStr(app.client_secret), world.github.server_url)
    assert (await browser.fetch("/api/metadata/connections")).status == 401
    assert await world.sessions() == 0


async def test_a_revoked_authorization_ends_all_sessions_of_the_person(world: World) -> None:
    first, second, other = await world.browser(READ), await world.browser(READ), await world.browser(WRITE)
    await world.github.revoke_authorization(READ)
    await deliver_revocation(world, READ)
    for browser in (first, second):
        assert (await browser.fetch("/api/metadata/connections")).status == 401
    assert (await other.fetch("/api/metadata/connections")).status == 200


async def test_a_token_that_github_refuses_ends_the_session(world: World) -> None:
    browser = await world.browser(READ)
    world.github.revoke_all_tokens()
    world.forget_answers()
    assert (await browser.open(world.page, follow=False)).status == 302
    assert await world.sessions() == 0


async def test_tokens_are_renewed_once_however_many_ask_on_however_many_processes(store: Store, dsn: str) -> None:
    async with running(store, dsn, replicas=2) as world:
        here = await world.browser(READ)
        there = await world.browser(replica=1)
        there.set_cookie("freshet", here.cookies()["freshet"])
        first = next(iter(world.github.state.tokens))
        await world.age(tokens_expire_at=timedelta(hours=8))
        answers = await asyncio.gather(*(one.fetch("/api/metadata/connections") for one in (here, there) * 10))
        assert {page.status for page in answers} == {200}
        assert world.github.state.refreshed == 1
        assert first not in world.github.state.tokens
        assert await store._db.value("SELECT version FROM sessions") == 2
        assert (await there.open(world.page)).status == 200


async def test_a_refresh_token_that_github_refuses_ends_the_session(world: World) -> None:
    browser = await world.browser(READ)
    world.github.revoke_all_tokens()
    await world.age(tokens_expire_at=timedelta(hours=8))
    assert (await browser.open(world.page, follow=False)).status == 302
    assert await world.sessions() == 0


async def test_sessions_survive_an_outage_of_github(world: World) -> None:
    browser = await world.browser(READ)
    await world.age(tokens_expire_at=timedelta(hours=8))
    world.github.faults.add("POST", "/login/oauth/access_token", 1, Answer(502, "Bad Gateway"))
    page = await browser.open(world.page)
    assert page.status == 200, "the token itself is still valid"
    assert world.github.state.refreshed == 0
    assert (await browser.open(world.page)).status == 200
    assert world.github.state.refreshed == 1


async def test_an_app_without_expiring_tokens_needs_no_renewal(world: World) -> None:
    world.github.state.user_token_lifetime_s = None
    browser = await world.browser(READ)
    assert await world.store._db.value("SELECT tokens_expire_at FROM sessions") is None
    assert (await browser.open(world.page)).status == 200


FAILURES = (
    ("access_denied", 403, "You did not authorize Freshet"),
    ("application_suspended", 403, "GitHub suspended the App"),
    ("redirect_uri_mismatch", 500, "/sign-in/callback"),
    ("<script>alert(1)</script>", 400, "GitHub did not say why"),
)


async def test_a_failure_says_what_happened_and_offers_another_try(world: World) -> None:
    browser = await world.browser()
    for error, status, text in FAILURES:
        state = query(await begun(browser, world.page))["state"]
        address = f"/sign-in/callback?error={quote(error)}&error_description={quote('Call +1 555 <b>now</b>')}&state={state}"
        page = await browser.open(address, site="cross-site")
        assert page.status == status
        assert text in page.text
        assert f'href="/sign-in?next={quote(world.page, safe="")}"' in page.text
        assert "555" not in page.text, "what anybody can write into an address is not shown"
        assert "<script>" not in page.text
        assert browser.cookies() == {}


async def test_somebody_who_cancels_on_github_is_told_why_it_matters(world: World) -> None:
    world.github.state.denies.add(READ)
    world.github.state.person = READ
    page = await (await world.browser()).open(world.page)
    assert (page.status, "You did not authorize Freshet on GitHub" in page.text) == (403, True)


async def test_when_github_is_away_a_sign_in_says_so(world: World) -> None:
    world.github.state.person = READ
    for method, path, times in (("POST", "/login/oauth/access_token", 1), ("GET", "/user", 3)):
        world.github.faults.add(method, path, times, Answer(503, "{}"))
        page = await (await world.browser()).open(world.page)
        assert (page.status, "GitHub is unavailable" in page.text) == (503, True)


async def test_a_wrong_client_secret_is_the_operators_to_mend(world: World) -> None:
    world.github.app.client_secret = "another"
    world.github.state.person = READ
    page = await (await world.browser()).open(world.page)
    assert (page.status, "GITHUB_CLIENT_SECRET" in page.text) == (500, True)


async def test_an_app_without_our_callback_url_is_the_operators_to_mend(world: World) -> None:
    world.github.app.callback_urls[:] = ["https://elsewhere.example/callback"]
    browser = await world.browser()
    world.github.state.person = READ
    back = await sent_back(browser, await begun(browser))
    assert back.startswith("https://elsewhere.example/callback?error=redirect_uri_mismatch")


async def test_another_name_of_the_service_leads_to_its_public_one(world: World) -> None:
    browser = await world.browser()
    page = await browser.open("/sign-in?next=/docs", follow=False, Host="localhost:1234")
    assert page.headers["Location"] == f"{world.url}/sign-in?next=%2Fdocs&moved=1"
    page = await browser.open("/sign-in?next=/docs&moved=1", follow=False, Host="localhost:1234")
    assert page.headers["Location"].startswith(world.github.server_url), "a proxy that hides the name makes no circle"


async def test_below_a_path_everything_stays_below_it(store: Store, dsn: str) -> None:
    async with running(store, dsn, prefix="/freshet") as world:
        world.github.state.person = READ
        for root in ("/freshet", ""):
            browser = await world.browser()
            page = await browser.open(f"{root}{world.page}")
            assert (page.status, page.url) == (200, f"{world.url}/freshet{world.page}")
            assert f"Sign out {READ}" in page.text


async def test_over_https_cookies_are_bound_to_exactly_this_host(store: Store, dsn: str) -> None:
    public = "https://freshet.example"
    async with running(store, dsn, public_url=public) as world:
        browser = await world.browser()
        world.github.state.person = READ
        begun_here = await browser.open("/sign-in?next=/docs", follow=False, Host="freshet.example")
        [flow] = begun_here.headers.getall("Set-Cookie")  # type: ignore[attr-defined]
        back = await sent_back(browser, begun_here.headers["Location"])
        assert back.startswith(f"{public}/sign-in/callback?")
        path = back.removeprefix(public)
        done = await browser.open(path, follow=False, Host="freshet.example", Cookie=flow.partition(";")[0])
        assert done.headers["Location"] == "/docs"
        cookies = done.headers.getall("Set-Cookie")  # type: ignore[attr-defined]
        session = next(one for one in cookies if one.startswith("__Host-freshet="))
        for cookie in (flow, session):
            assert cookie.startswith("__Host-freshet")
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
            assert "Domain" not in cookie
        own = {"Cookie": session.partition(";")[0], "Host": "freshet.example"}
        assert (await browser.open(world.page, site="none", follow=False, **own)).status == 200
        planted = own["Cookie"].removeprefix("__Host-")
        assert (await browser.open(world.page, site="none", follow=False, Host="freshet.example", Cookie=planted)).status == 302


async def test_people_have_the_limits_of_tokens_and_guesses_those_of_an_address(store: Store, dsn: str) -> None:
    async with running(store, dsn, per_minute=20) as world:
        first, second, other = await world.browser(READ), await world.browser(READ), await world.browser(WRITE)
        path = "/api/metadata/connections"
        for number in range(30):
            page = await (first if number % 2 else second).fetch(path)
            if page.status == 429:
                break
        assert 15 <= number <= 20, "all sessions of a person count together"
        assert "Retry-After" in page.headers
        assert (await other.fetch(path)).status == 200
        guesser = await world.browser()
        statuses = []
        for number in range(30):
            guesser.set_cookie("freshet", f"guess-{number}-of-a-cookie")
            statuses.append((await guesser.fetch(path)).status)
        assert (statuses[0], statuses[-1]) == (401, 429)
        assert (await other.fetch(path)).status == 200, "whose cookie is known is not kept out by guesses from the same address"
        assert (await guesser.open("/sign-in", follow=False)).status == 429


async def test_a_renewal_keeps_nobody_else_waiting_in_the_database(world: World) -> None:
    browser = await world.browser(READ)
    await world.age(used_at=timedelta(hours=1))
    digest = hashlib.sha256(browser.cookies()["freshet"].encode()).digest()
    async with asyncio.timeout(HANGS_S), world.store.sessions.locked(digest) as locked:
        assert locked is not None
        assert (await browser.fetch("/api/metadata/connections")).status == 200


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(sse, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(sessions, "RECHECK_S", 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["signed out", "too old", "right lost", "revoked"])
@pytest.mark.parametrize("api", [True, False])
async def test_a_stream_ends_with_its_session_and_with_the_right(world: World, how: str, *, api: bool) -> None:
    browser = await world.browser(READ)
    path = f"/api/metadata/connections/{world.connection_id}/progress" if api else f"{world.page}/events"
    headers = {"Accept": "text/event-stream", "Sec-Fetch-Site": "same-origin"}
    async with asyncio.timeout(HANGS_S), browser.session.get(world.url + path, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        await response.content.readline()
        if how == "signed out":
            await browser.submit("/sign-out")
        elif how == "too old":
            await world.age(expires_at=timedelta(hours=168))
        elif how == "right lost":
            world.github.state.roles[READ].clear()
            world.forget_answers()
        else:
            world.github.revoke_all_tokens()
            world.forget_answers()
        rest = await response.content.read()
        assert b"event: end" not in rest
