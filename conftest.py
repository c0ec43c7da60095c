"""The scene every test starts from: Alice's organisation and Bob's, each with an owner, a line and a number."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from _pytest.nodeid import NodeId
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import settings as examples

from sandbox.deepgram.agent import AgentServer
from sandbox.models.account import ModelAccount
from sandbox.sendgrid.account import MailAccount
from sandbox.sendgrid.webhook import Post
from sandbox.server import Sandbox
from sandbox.stripe.api import Bank
from sandbox.twilio.network import Network
from telephony.models import Line
from tenants.context import entered
from tenants.enums import Role
from tenants.models import Membership, Tenant, User
from thanos.redis import sync_client
from thanos.testing import django_db_setup  # noqa: F401  (here it wins over pytest-django's)

# The same examples at every run, however slow the machine is.
examples.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("suite")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep together what shares an installation. xdist sets a name that this pytest does not read any more."""
    if not getattr(config.option, "loadgroup", False):  # told by xdist to its workers
        return
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group is not None:
            item._id = NodeId.parse(f"{item.nodeid}@{group.args[0]}")  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _start_in_public(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Channels closes old connections around its database calls: in a test's transaction that is the test's own."""
    import channels.db

    monkeypatch.setattr(channels.db, "close_old_connections", lambda **_: None)
    connection.set_schema_to_public()
    yield
    connection.set_schema_to_public()


@pytest.fixture(autouse=True)
def _empty_redis() -> Iterator[None]:
    sync_client().flushdb()
    yield


@pytest.fixture
def alice(db: None) -> Tenant:
    return Tenant.objects.get(domains__domain="alice.test")


@pytest.fixture
def bob(db: None) -> Tenant:
    return Tenant.objects.get(domains__domain="bob.test")


@pytest.fixture
def in_alice(alice: Tenant) -> Iterator[Tenant]:
    with entered(alice):
        yield alice


@pytest.fixture
def line(in_alice: Tenant) -> Line:
    """The line of Alice's number."""
    return Line.objects.get(phone_number="+15550100")


@pytest.fixture
def owner(alice: Tenant) -> User:
    return User.objects.get(email="owner@alice.test")


@pytest.fixture
def stranger(bob: Tenant) -> User:
    """Bob's owner: somebody signed in who has no business with Alice."""
    return User.objects.get(email="owner@bob.test")


@pytest.fixture
def member(alice: Tenant) -> User:
    user = User.objects.create_user("member@alice.test", "correct horse battery", name="Mel Member")
    Membership.objects.create(tenant=alice, user=user, role=Role.MEMBER)
    return user


@pytest.fixture
def admin(alice: Tenant) -> User:
    user = User.objects.create_user("admin@alice.test", "correct horse battery", name="Ada Admin")
    Membership.objects.create(tenant=alice, user=user, role=Role.ADMIN)
    return user


@pytest.fixture
def visit() -> Callable[..., Client]:
    """Return a client on a tenant's domain, signed in as somebody or nobody."""

    def make(user: User | None = None, host: str = "alice.test") -> Client:
        client = Client(headers={"host": host, "x-forwarded-proto": "https"})
        if user is not None:
            client.force_login(user)
        return client

    return make


@pytest.fixture
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """What coroutines do in threads sees this test's transaction: it comes back to this thread."""
    from channels.db import DatabaseSyncToAsync

    original = DatabaseSyncToAsync.__init__

    def init(self: Any, func: Any, thread_sensitive: bool = True, **options: Any) -> None:
        original(self, func, thread_sensitive=True, **options)

    monkeypatch.setattr(DatabaseSyncToAsync, "__init__", init)


@pytest.fixture
def models(providers: SandboxThread, settings: Any, monkeypatch: pytest.MonkeyPatch) -> ModelAccount:
    """The stand-in language models, configured as this installation's."""
    for name, value in {
        "openai_api_key": providers.models.api_key,
        "openai_base_url": f"{providers.url}/v1",
        "openai_model": "sandbox-small",
    }.items():
        monkeypatch.setattr(settings.ENV, name, value)
    return providers.models


class SandboxThread:
    """The stand-ins on a port of their own, in a thread: real sockets for whatever talks to a provider."""

    def __init__(self, *, account_sid: str, auth_token: str, api_key: str, public_base_url: str = "") -> None:
        self.network = Network(account_sid=account_sid, auth_token=auth_token, public_base_url=public_base_url)
        self.agent = AgentServer(api_key)
        self.mail = MailAccount("SG.sandbox", public_base_url=public_base_url)
        self.models = ModelAccount("sk-sandbox")
        self.bank = Bank("sk_test_sandbox", "whsec_sandbox")
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _run(self) -> None:
        from pathlib import Path

        from aiohttp import web

        from thanos.env import environment

        asyncio.set_event_loop(self.loop)
        self.sandbox = Sandbox(
            self.network, self.agent, self.mail, self.models, self.bank, Path(environment().state_dir) / "demo-calls"
        )
        self.runner = web.AppRunner(self.sandbox.application(), access_log=None, shutdown_timeout=0.2)
        self.loop.run_until_complete(self.runner.setup())
        self.site = web.TCPSite(self.runner, "127.0.0.1", 0)
        self.loop.run_until_complete(self.site.start())
        self.port = self.runner.addresses[0][1]
        self.network.api_url = self.url
        self.bank.base_url = self.bank.own.base_url = self.url
        self._ready.set()
        self.loop.run_forever()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let nobody listen on the port: connections are refused."""
        from aiohttp import web

        self.do(self.site.stop())
        try:
            yield
        finally:
            self.site = web.TCPSite(self.runner, "127.0.0.1", self.port)
            self.do(self.site.start())

    def events(self) -> list[Post]:
        """Let all that can happen to messages happen now; return the signed posts a test hands to the product."""
        return self.do(self.mail.settle())  # type: ignore[no-any-return]

    def do(self, work: Any, timeout_s: float = 90.0) -> Any:
        """Run a coroutine on the sandbox's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def stop(self) -> None:
        self.do(self.network.close(), 10)
        self.do(self.mail.close(), 10)
        self.do(self.bank.close(), 10)
        self.do(self.runner.cleanup(), 10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def providers(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxThread]:
    """Stand-ins for this process: the configured carrier account, voice agent and e-mail provider."""
    env = settings.ENV
    running = SandboxThread(
        account_sid=env.twilio_account_sid, auth_token=env.twilio_auth_token, api_key=env.deepgram_api_key
    )
    running.mail.senders.add(env.smtp_from_email)
    pointed = {
        "twilio_api_url": running.url,
        "deepgram_agent_url": running.socket_url,
        "sendgrid_api_key": running.mail.api_key,
        "sendgrid_api_url": running.url,
        "sendgrid_webhook_public_key": [running.mail.public_key],
        "stripe_secret_key": running.bank.own.key,
        "stripe_api_url": running.url,
        "stripe_webhook_secret": [running.bank.own.hooks.secret],
    }
    # By the same hand as the tests' own changes: undone in the opposite order, nothing stays behind.
    for name, value in pointed.items():
        monkeypatch.setattr(env, name, value)
    yield running
    running.stop()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
