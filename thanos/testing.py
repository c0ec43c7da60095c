"""pytest plugin: the suite on real PostgreSQL and Redis, in a database of its own for each of its processes.

Loaded with `-p thanos.testing`, before Django's settings are read. The servers are the embedded ones, under
`.local/test`, and a prepared database is kept as a template there: making a fresh copy takes half a second.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
import os
import shutil
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

FULL_COLLECTION_EVERY = 50  # tests
_tests = count(1)

BASE_DIR = Path(__file__).resolve().parent.parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
WORKER_NUMBER = int(WORKER.removeprefix("gw")) + 1 if WORKER.startswith("gw") else 0
TEST_ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "thanos.settings.test",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "test-token",
    "DEEPGRAM_API_KEY": "test-key",
    "PUBLIC_BASE_URL": "https://calls.example",
    "SANDBOXED_PROVIDERS": "",
    "OPENAI_API_KEY": "",
    "OPENAI_BASE_URL": "",
    "ANTHROPIC_API_KEY": "",
    "ANTHROPIC_BASE_URL": "",
    "AGENTS_PROVIDER": "",
    "EMBEDDINGS_MODEL": "none",
    "DATABASE_POOL_SIZE": "0",
    "EMAIL_URL": "",
    "SENDGRID_API_KEY": "",
    "DEEPGRAM_PROJECT_ID": "",
    "OPENAI_ADMIN_KEY": "",
    "STRIPE_SECRET_KEY": "",
    "STRIPE_API_URL": "",
    "STRIPE_WEBHOOK_SECRET": "",
    "SENDGRID_API_URL": "",
    "SENDGRID_WEBHOOK_PUBLIC_KEY": "",
    "INBOUND_EMAIL_HOST": "",
    "WEBHOOK_ALLOWED_NETWORKS": "",
}


def _prepare_environment() -> Any:
    for name in ("DATABASE_URL", "REDIS_URL"):
        if os.environ.get(f"TEST_{name}"):
            os.environ[name] = os.environ[f"TEST_{name}"]
        else:
            os.environ.pop(name, None)
    os.environ.update(TEST_ENVIRONMENT)
    os.environ["STATE_DIR"] = os.environ.get("TEST_STATE_DIR", str(BASE_DIR / ".local" / "test"))
    from thanos.embedded import lease_services
    from thanos.env import environment, generate_secrets, state_dir_from_environment

    generate_secrets(state_dir_from_environment())
    lease = lease_services()
    env = environment()
    env.redis_url = env.redis_url.replace("db=0", f"db={WORKER_NUMBER + 1}")
    env.state_dir = env.state_dir / "processes" / WORKER
    shutil.rmtree(env.state_dir, ignore_errors=True)
    (env.state_dir / "static").mkdir(parents=True)
    return lease


_lease = _prepare_environment()  # held until the process ends


if sys.version_info < (3, 12):
    # Until then a collection may begin in the middle of setting a context variable; a finaliser that sets one as well,
    # such as a `with entered(…)` of a coroutine nobody awaits any more, then crashes the interpreter
    # (python/cpython#148891). So garbage is collected between tests, where nothing is being set.
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if not gc.isenabled():
        gc.collect(1 if next(_tests) % FULL_COLLECTION_EVERY else 2)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Run asynchronous tests as Django's own test case does: the ORM then comes back to this thread's transaction."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    from asgiref.sync import async_to_sync

    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def run() -> None:
        from thanos.redis import close_async_client

        try:
            await pyfuncitem.obj(**arguments)
        finally:
            await close_async_client()

    async_to_sync(run)()
    return True


def fingerprint() -> str:
    """Changes whenever the prepared database would."""
    digest = hashlib.sha256()
    patterns = (
        "*/migrations/*.py",
        "*/*/migrations/*.py",
        "*/tallies.py",  # functions of the database, which migrations install
        "billing/admission.py",
        "*/data/*.json",
        "*/*/data/*.json",
        "agents/data/*.yaml",
        "agents/services/syncing.py",
        "tenants/*.py",
        "tenants/services/*.py",
        "telephony/services/lines.py",
        "tests/installation.py",  # its organisations are in the installations that begin as copies
    )
    for path in sorted({found for pattern in patterns for found in BASE_DIR.glob(pattern)} | {Path(__file__)}):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """A copy of the template database, with two organisations that could leak into each other."""
    import psycopg
    from django.db import connections

    settings = connections.settings["default"]
    address = {"host": settings["HOST"], "user": settings["USER"] or None, "password": settings["PASSWORD"] or None}
    template, name = f"template_{fingerprint()}", f"test_{WORKER}"
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as server, django_db_blocker.unblock():  # type: ignore[arg-type]
        server.execute("SELECT pg_advisory_lock(4711)")  # of several processes, one prepares the template
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [template]).fetchone():
            _make_template(server, template)
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        server.execute("SELECT pg_advisory_unlock(4711)")
    _use_database(name)
    yield
    with django_db_blocker.unblock():
        connections.close_all()


def _use_database(name: str) -> None:
    from django.db import connection, connections

    connections.close_all()
    connections.settings["default"]["NAME"] = connection.settings_dict["NAME"] = name


def _make_template(server: Any, template: str) -> None:
    from django.db import connections

    for (old,) in server.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'template\_%'").fetchall():
        server.execute(f'DROP DATABASE IF EXISTS "{old}" WITH (FORCE)')
    server.execute('DROP DATABASE IF EXISTS "new_template" WITH (FORCE)')
    server.execute('CREATE DATABASE "new_template"')
    _use_database("new_template")
    from tenants.services.database import prepare_database
    from tenants.services.numbers import attach_number
    from tenants.services.tenants import create_tenant

    prepare_database(public_host="public.test")
    for name, domain, number in (("Alice's", "alice.test", "+15550100"), ("Bob's", "bob.test", "+15550200")):
        owner = f"owner@{domain}"
        tenant = create_tenant(name=name, domain=domain, admin_email=owner, admin_password="correct horse battery")
        attach_number(number=number, tenant=tenant)
    connections.close_all()
    server.execute('ALTER DATABASE "new_template" ALLOW_CONNECTIONS false')  # autovacuum keeps out as well
    server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'new_template'")
    server.execute(f'ALTER DATABASE "new_template" RENAME TO "{template}"')
    server.execute(f'ALTER DATABASE "{template}" ALLOW_CONNECTIONS true')
