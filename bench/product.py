"""The product under test: an installation of its own, started by `manage.py serve` and taken down again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import psutil  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator

from bench.cpu import TESTED, Usage, pin
from bench.load import Call, Load

if TYPE_CHECKING:
    from tenants.models import Tenant
    from thanos.embedded import Lease

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT_SID, AUTH_TOKEN = "ACbench", "bench-token"
NUMBER = "+15550100"
LIMIT = 5000  # calls at once: the limits are not what is measured
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 45.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Product:
    state_dir: Path
    port: int
    agent_port: int
    web_pid: int
    worker_pids: list[int]
    tenant: Tenant

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def usage(self) -> Usage:
        return Usage(self.web_pid)

    @contextmanager
    def worker_paused(self) -> Iterator[None]:
        """The background workers do nothing meanwhile, so that what they would do can be measured here."""
        found = [psutil.Process(pid) for pid in self.worker_pids]
        family = [*found, *(child for worker in found for child in worker.children(recursive=True))]
        for process in family:
            process.suspend()
        try:
            yield
        finally:
            for process in family:
                process.resume()


# --- the carrier's side ---------------------------------------------------------------------------------------------


class Carrier:
    """Brings calls to the product as Twilio does: a signed webhook, then the stream its answer asks for."""

    def __init__(self, product: Product, session: aiohttp.ClientSession) -> None:
        self.product = product
        self._session = session

    def form(self, call_sid: str, **more: str) -> dict[str, str]:
        return incoming_form(call_sid) | more

    async def post(self, path: str, form: dict[str, str]) -> str:
        url = self.product.url + path
        async with self._session.post(url, data=form, headers=sign(url, form)) as response:
            text = await response.text()
            if response.status >= 300:
                raise RuntimeError(f"{path} answered {response.status}: {text[:300]}")
            return text

    async def open(self, load: Load) -> Call:
        call_sid = "CA" + uuid.uuid4().hex
        twiml = ET.fromstring(await self.post("/api/webhooks/incoming-call", self.form(call_sid)))
        stream = twiml.find("./Connect/Stream")
        if stream is None:
            raise RuntimeError(f"the call was not admitted: {ET.tostring(twiml, encoding='unicode')}")
        parameters = {item.attrib["name"]: item.attrib["value"] for item in stream.iter("Parameter")}
        url = stream.attrib["url"]
        return await Call.connect(load, url, call_sid=call_sid, parameters=parameters, headers=sign(url, {}))

    async def hang_up(self, calls: Sequence[Call]) -> None:
        """End the streams, then report the calls as completed."""
        gate = asyncio.Semaphore(8)

        async def one(call: Call) -> None:
            async with gate:
                await call.hang_up()
                await self.post(
                    "/api/webhooks/call-status", self.form(call.call_sid, CallStatus="completed", CallDuration="9")
                )

        await asyncio.gather(*(one(call) for call in calls))


def incoming_form(call_sid: str) -> dict[str, str]:
    return {
        "CallSid": call_sid,
        "AccountSid": ACCOUNT_SID,
        "From": "+15551234567",
        "To": NUMBER,
        "CallStatus": "ringing",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
    }


def sign(url: str, form: dict[str, str]) -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(url, form)}


# --- starting and stopping ------------------------------------------------------------------------------------------


@contextmanager
def running_product() -> Iterator[Product]:
    """Start an installation in a temporary folder, with one tenant and one number; leave nothing behind.

    Once in a process: Django is set up here for the same installation.
    """
    state_dir = Path(tempfile.mkdtemp(prefix="thanos-bench-"))
    port, agent_port = free_port(), free_port()
    _configure(state_dir, port, agent_port)
    server: subprocess.Popen[bytes] | None = None
    lease: Lease | None = None
    try:
        with (state_dir / "serve.log").open("wb") as log:
            command = [sys.executable, "manage.py", "serve", "--no-demo", "--port", str(port)]
            server = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        _wait_until_ready(server, port)
        lease = set_up_django()
        [web_pid], worker_pids = _children(server, "thanos.web"), _children(server, "thanos.celery")
        pin(web_pid, TESTED)
        yield Product(state_dir, port, agent_port, web_pid, worker_pids, _make_tenant())
    except Exception:
        print(f"What the server said last:\n{_last_words(state_dir)}", flush=True)
        raise
    finally:
        _take_down(server, lease, state_dir)


def _configure(state_dir: Path, port: int, agent_port: int) -> None:
    names = ("DATABASE_URL", "REDIS_URL", "PUBLIC_BASE_URL", "TWILIO_SHARED_KEYS", "DATABASE_POOL_SIZE")
    for name in (*names, "SENDGRID_API_KEY", "SENDGRID_API_URL", "EMAIL_URL"):
        os.environ[name] = ""  # empty, not absent: a developer's .env must not reach in here
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "thanos.settings.dev",
        "STATE_DIR": str(state_dir),
        "PORT": str(port),
        "PUBLIC_BASE_URL": f"http://127.0.0.1:{port}",
        "DEEPGRAM_AGENT_URL": f"ws://127.0.0.1:{agent_port}",
        "DEEPGRAM_API_KEY": "x",
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_API_URL": f"http://127.0.0.1:{agent_port}",
        "MAX_CONCURRENT_CALLS": str(LIMIT),
        "EMAILS_PER_MINUTE": str(10**9),
    }
    del os.environ["DATABASE_POOL_SIZE"]  # its empty form is not a number


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the server did not start")


def _last_words(state_dir: Path) -> str:
    log = state_dir / "serve.log"
    return log.read_text(errors="replace")[-3000:] if log.exists() else "nothing"


def set_up_django() -> Lease | None:
    from thanos.embedded import lease_services
    from thanos.env import generate_secrets

    generate_secrets(Path(os.environ["STATE_DIR"]))
    lease = lease_services()
    import django

    django.setup()
    return lease


def _children(server: subprocess.Popen[bytes], module: str) -> list[int]:
    found = [int(process.pid) for process in psutil.Process(server.pid).children() if module in process.cmdline()]
    if not found:
        raise RuntimeError(f"{module} does not run")
    return found


def _make_tenant() -> Tenant:
    from telephony.models import Line
    from tenants.context import entered
    from tenants.services.numbers import attach_number
    from tenants.services.tenants import create_tenant

    tenant = create_tenant(
        name="Bench", domain="bench.localhost", admin_email="bench@bench.localhost", admin_password="bench-4-bench"
    )
    tenant.max_concurrent_calls = LIMIT
    tenant.save(update_fields=["max_concurrent_calls"])
    attach_number(number=NUMBER, tenant=tenant)
    with entered(tenant):
        # Calls are silent while others are measured: nobody is to be asked whether they are still there.
        Line.objects.update(silence_prompt_s=3600, silence_goodbye_s=7200, max_call_s=14_000)
    return tenant


def _take_down(server: subprocess.Popen[bytes] | None, lease: Lease | None, state_dir: Path) -> None:
    if "django" in sys.modules:
        from django.db import connections

        connections.close_all()
    if lease is not None:
        lease.release()
    if server is not None and server.poll() is None:
        family = psutil.Process(server.pid).children(recursive=True)
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)
        psutil.wait_procs(family, timeout=10)  # the embedded servers end a second after their last client
    shutil.rmtree(state_dir, ignore_errors=True)
