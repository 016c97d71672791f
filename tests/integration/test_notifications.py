"""From a failure to an email and a webhook, and the same for its recovery: everything is real except dbt."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.notifications.channels.email import EmailChannel, sender, server
from app.notifications.channels.webhook import WebhookChannel
from app.notifications.dispatcher import Dispatcher
from app.notifications.messages import MessageLinks
from app.store import Store, listen
from tests.double import GitHubDouble
from tests.integration.notify_world import MailServer, Receiver, certificates, mail_server, project, receiver
from tests.patience import HANGS_S
from tests.service import TOKEN, Service, serving

SHAS = [f"{number:040x}" for number in range(1, 10)]
SECRET = "what-the-receiver-knows"
LINKS = MessageLinks("https://freshet.example", "https://github.com")
NO_ENGINE = "tcp://127.0.0.1:1"
PROJECT = {"dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n", "models/a.sql": "select 1 as id"}


@asynccontextmanager
async def notifying(dsn: str, store: Store, hook: Receiver, mail: EmailChannel) -> AsyncIterator[None]:
    """Evaluate and send as the service does."""
    async with WebhookChannel([hook.host]) as webhooks, listen.listening(dsn) as listener:
        dispatcher = Dispatcher(store, {"webhook": webhooks, "email": mail}, timedelta(hours=1), lambda: LINKS)
        with listener.wakeup("freshet_notices") as evaluating, listener.wakeup("freshet_notices") as sending:
            tasks = [asyncio.create_task(dispatcher.run_evaluation(evaluating)), asyncio.create_task(dispatcher.run_sending(sending))]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def arrived(hook: Receiver, mails: MailServer, count: int) -> None:
    async with asyncio.timeout(HANGS_S):
        while len(hook.taken) < count or len(mails.taken) < count:
            await asyncio.sleep(0.05)


async def test_a_failure_and_its_recovery_arrive_by_email_and_webhook(dsn: str, store: Store, tmp_path: Path) -> None:
    known = certificates(tmp_path)
    of = await project(store)
    async with receiver() as hook, mail_server(known.server, sign_in=True) as mails:
        by = EmailChannel(server(f"smtp://freshet:p%40ss%2Fword@localhost:{mails.port}"), sender("freshet@example.com"), tls=known.client)
        await store.subscriptions.create(of.connection.id, "webhook", hook.url, ["failure", "recovery"], SECRET)
        await store.subscriptions.create(3, "email", "ann@example.com", ["failure", "recovery", "stale"], None)
        async with notifying(dsn, store, hook, by):
            failed = await of.fails(SHAS[0], path="transform/models/a.sql", line=3, output="Compilation Error\n  no such node")
            await arrived(hook, mails, 1)
            await of.fails(SHAS[1], path="transform/models/a.sql", line=3)
            recovered = await of.succeeds(SHAS[2])
            await arrived(hook, mails, 2)
            await of.succeeds(SHAS[3])
            await asyncio.sleep(0.3)
    assert [taken.body["event"] for taken in hook.taken] == ["failure", "recovery"]
    assert [taken.body["extraction"]["id"] for taken in hook.taken] == [failed, recovered]
    for taken in hook.taken:
        assert taken.headers["X-Hub-Signature-256"] == f"sha256={hmac.new(SECRET.encode(), taken.raw, hashlib.sha256).hexdigest()}"
    failure, recovery = mails.mails
    assert failure["Subject"] == f"octo/shop (transform): dbt lineage failed at {SHAS[0][:7]}"
    assert "no such node" in failure.get_content()
    assert recovery["Subject"] == f"octo/shop (transform): dbt lineage works again at {SHAS[2][:7]}"
    assert failure["References"] == recovery["References"], "they are one thread"
    assert mails.secured == [True, True]


async def looked_at_again(service: Service, notification_id: str) -> None:
    """Changing a notification evaluates its connections at once."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    address = f"{service.url}/api/metadata/notifications/{notification_id}"
    async with service.session.patch(address, headers=headers, json={"paused": False}) as response:
        assert response.status == 200


async def test_the_service_reports_a_stale_lineage(tmp_path: Path, dsn: str) -> None:
    """Without an engine nothing is extracted. That is no failure of the project, but after some time the lineage is stale."""
    async with receiver() as hook, mail_server() as mails, GitHubDouble() as github:
        settings: dict[str, Any] = {
            "DATABASE_URL": dsn,
            "DOCKER_HOST": NO_ENGINE,
            "FRESHET_SMTP_URL": f"smtp://127.0.0.1:{mails.port}?starttls=never",
            "FRESHET_MAIL_FROM": "Freshet <freshet@example.com>",
            "FRESHET_NOTIFY_HOSTS": hook.host,
            "FRESHET_STALE_MINUTES": "0.01",
        }
        async with serving(github, tmp_path / "data", **settings) as service:
            installation = await github.install("octo")
            path = f"/installations/{installation.id}/notifications"
            made = await service.post(path, {"kind": "webhook", "to": hook.url}, status=201)
            await service.post(path, {"kind": "email", "to": "ann@example.com", "events": ["stale"]}, status=201)
            await service.post(f"/notifications/{made['id']}/test")
            # After them: what was stale before a notification was made is no news. And no commit may fail: then that would be the news.
            repository = await github.create_repository("octo/shop", PROJECT)
            sha = await github.push(repository, {"models/b.sql": "select 2 as id"})
            async with asyncio.timeout(HANGS_S):
                while len(hook.taken) < 2 or not mails.taken:
                    await asyncio.sleep(0.5)
                    await looked_at_again(service, made["id"])
            test, stale = hook.taken
            assert (test.body["event"], stale.body["event"]) == ("test", "stale")
            signed = hmac.new(made["secret"].encode(), stale.raw, hashlib.sha256).hexdigest()
            assert stale.headers["X-Hub-Signature-256"] == f"sha256={signed}"
            assert stale.body["connection"]["head_sha"] == sha
            assert "octo/shop: dbt lineage is stale" in mails.mails[0]["Subject"]
            async with asyncio.timeout(HANGS_S):
                while (last := (await service.get(f"/notifications/{made['id']}"))["last"])["event"] != "stale":
                    await asyncio.sleep(0.1)
            assert last["outcome"] == "sent"
            async with service.session.get(f"{service.url}/metrics") as response:
                assert 'freshet_notices_total{kind="webhook",outcome="sent"} 2.0' in await response.text()
        for secret in (made["secret"], "a-secret-of-the-receiver", "ann@example.com", TOKEN):
            assert secret not in service.log
