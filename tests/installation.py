"""A whole installation of the product, started as people start it, with stand-ins for the providers in this process."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests
from django.conf import settings

from conftest import SandboxThread
from crm.email.signing import inbound_secret
from sandbox.caller import Caller, Line
from sandbox.twilio.call import CallFaults, CarrierCall
from thanos.env import BASE_DIR
from thanos.testing import fingerprint

PASSWORD = "a long enough password"
SENDER = "hello@platform.test"
START_TIMEOUT_S = 180.0  # of a machine that is busy with other installations
# Organisations that every copy of the prepared installation has already, and their numbers.
PREPARED = {"one.test": "+15550100", "two.test": "+15550200", "one.localhost": "+15550300"}


class Installation:
    def __init__(self, folder: Path, *, port: int, **environment: str) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.providers = SandboxThread(
            account_sid="AC" + "e" * 32, auth_token="e2e-token", api_key="e2e-key", public_base_url=self.url
        )
        self.providers.mail.senders.add(SENDER)
        self.providers.bank.own.hooks.url = f"{self.url}/api/webhooks/stripe"
        self.providers.mail.inbound_url = f"{self.url}/api/webhooks/sendgrid/inbound/{inbound_secret()}"
        self.log = folder.parent / f"{folder.name}.log"
        self.environment = {
            **self.clean_environment(),
            "STATE_DIR": str(folder),
            "PORT": str(port),
            "PUBLIC_BASE_URL": self.url,
            # The same as here and in the prepared one: what is derived from them is known, what is sealed can be read.
            "SECRET_KEY": settings.SECRET_KEY,
            "FIELD_ENCRYPTION_KEYS": ",".join(settings.ENV.field_encryption_keys),
            "TWILIO_ACCOUNT_SID": self.providers.network.account_sid,
            "TWILIO_AUTH_TOKEN": "e2e-token",
            "TWILIO_API_URL": self.providers.url,
            "DEEPGRAM_API_KEY": "e2e-key",
            "DEEPGRAM_AGENT_URL": self.providers.socket_url,
            "OPENAI_API_KEY": self.providers.models.api_key,
            "OPENAI_BASE_URL": f"{self.providers.url}/v1",
            "OPENAI_MODEL": "sandbox-small",
            "SUMMARY_MODEL": "sandbox-small",
            "EMBEDDINGS_MODEL": "sandbox-embedding",
            "SENDGRID_API_KEY": self.providers.mail.api_key,
            "SENDGRID_API_URL": self.providers.url,
            "SENDGRID_WEBHOOK_PUBLIC_KEY": self.providers.mail.public_key,
            "STRIPE_SECRET_KEY": self.providers.bank.own.key,
            "STRIPE_API_URL": self.providers.url,
            "STRIPE_WEBHOOK_SECRET": self.providers.bank.own.hooks.secret,
            "SMTP_FROM_EMAIL": SENDER,
            "INBOUND_EMAIL_HOST": "replies.test",
            "WORKER_PROCESSES": "1",  # several installations share two cores
            "DRAIN_TIMEOUT_S": "20",
            "MAX_CONCURRENT_CALLS": "100",
            **environment,
        }
        self.tokens: dict[str, str] = {}
        self.last_seen: dict[str, Any] | None = None  # the call that was looked at last, as the API showed it
        self.is_prepared = False

    @staticmethod
    def clean_environment() -> dict[str, str]:
        """What a person's shell would have: nothing of this test process's own configuration."""
        from thanos.env import Environment

        ours = {name.upper() for name in Environment.model_fields}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return {**kept, "DJANGO_SETTINGS_MODULE": "thanos.settings.dev"}

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        if not self.folder.exists():
            copy_prepared(self.folder)
            self.is_prepared = True
        command = [sys.executable, "manage.py", "serve", "--no-demo", "--port", str(self.port)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, cwd=BASE_DIR, env=self.environment, stdout=out, stderr=out)
        try:
            wait_for(self._is_up, START_TIMEOUT_S, "the installation to answer")
        except BaseException:
            self.process.kill()  # what could not be started must not stay either
            raise

    def _is_up(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=1).status_code == 200
        except requests.RequestException:
            return False

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(90)
        self.providers.stop()
        return code

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=BASE_DIR, env=self.environment, capture_output=True, text=True, timeout=180)

    def pid_of(self, word: str) -> int:
        """Return the process of this installation whose command line has `word` in it."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if word in " ".join(child.cmdline()):
                return child.pid
        for candidate in psutil.process_iter(["cmdline"]):
            line = " ".join(candidate.info["cmdline"] or [])
            if word in line and str(self.folder) in line:
                return candidate.pid
        raise LookupError(word)

    @contextmanager
    def frozen(self, word: str, *, alone: bool = False) -> Iterator[None]:
        """Stop a process, and all it started unless `alone`, without ending them, as a hung machine would."""
        leader = psutil.Process(self.pid_of(word))
        frozen = [leader] if alone else [leader, *leader.children(recursive=True)]
        for process in frozen:
            process.suspend()
        try:
            yield
        finally:
            for process in frozen:
                process.resume()

    # --- organisations and the API -------------------------------------------------------------------------------

    def add_tenant(self, domain: str, *numbers: str) -> None:
        if self.is_prepared and PREPARED.get(domain) == "".join(numbers):
            return
        arguments = ["--name", domain, "--domain", domain, "--admin-email", f"owner@{domain}", "--admin-password", PASSWORD]
        done = self.manage("create_tenant", *arguments)
        assert done.returncode == 0, done.stderr
        for number in numbers:
            done = self.manage("add_phone_number", number, "--tenant", domain)
            assert done.returncode == 0, done.stderr

    def api(self, method: str, domain: str, path: str, **options: Any) -> Any:
        if domain not in self.tokens:
            credentials = {"email": f"owner@{domain}", "password": PASSWORD}
            answer = requests.post(f"{self.url}/api/v1/token/", json=credentials, headers={"Host": domain}, timeout=30)
            self.tokens[domain] = answer.json()["access"]
        headers = {"Host": domain, "Authorization": f"Bearer {self.tokens[domain]}"}
        answer = requests.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=30, **options)
        assert answer.ok, answer.text
        return answer.json()

    def set_lines(self, domain: str, **values: Any) -> None:
        for line in self.api("GET", domain, "/lines/")["results"]:
            self.api("PATCH", domain, f"/lines/{line['id']}/", json=values)

    # --- calls ---------------------------------------------------------------------------------------------------

    def ring(
        self, *script: Line, to: str = "+15550100", caller_number: str = "+15557001", faults: CallFaults | None = None
    ) -> CarrierCall:
        async def place() -> CarrierCall:
            caller = Caller(list(script))
            return self.providers.network.place(from_number=caller_number, to_number=to, caller=caller, faults=faults)

        return self.providers.do(place())  # type: ignore[no-any-return]

    def finish(self, call: CarrierCall, timeout_s: float = 90.0) -> CarrierCall:
        self.providers.do(call.done.wait(), timeout_s)
        return call

    def stored(self, call: CarrierCall, domain: str = "one.test") -> dict[str, Any] | None:
        found = self.api("GET", domain, f"/calls/?call_sid={call.sid}")["results"]
        self.last_seen = found[0] if found else None
        return self.last_seen

    def settled(
        self,
        call: CarrierCall,
        domain: str = "one.test",
        *,
        until: Callable[[dict[str, Any]], bool] | None = None,
        timeout_s: float = 90,
    ) -> dict[str, Any]:
        """Return the call as the API shows it once it has ended and everything said has been stored."""
        wanted = until or is_whole

        def look() -> dict[str, Any] | None:
            stored = self.stored(call, domain)
            return stored if stored is not None and wanted(stored) else None

        return wait_for(look, timeout_s, "the call to be stored")  # type: ignore[no-any-return]

    def story(self) -> str:
        """Return what tells why a test failed: the call it looked at, and what the processes said last."""
        lines = self.log.read_text(errors="replace").splitlines()[-120:]
        return "\n".join([json.dumps(self.last_seen, indent=1), *lines])


def copy_prepared(target: Path) -> None:
    """Begin with an installation that has been started once: databases made and migrated, static files, organisations.

    A cold start is tested where it is the point; everywhere else it would only cost half a minute of both cores. Secrets
    and whatever belonged to the process that prepared it stay behind.
    """
    root = Path(os.environ["STATE_DIR"]) / "prepared"
    prepared = root / fingerprint()
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes, one prepares it
        if not prepared.exists():
            shutil.rmtree(root / "new", ignore_errors=True)
            _prepare(root / "new")
            (root / "new").rename(prepared)
    passing = shutil.ignore_patterns("secrets.env", "running.env", "beat*", "*.lock", "*.pid", "*.sock", ".s.PGSQL*")
    shutil.copytree(prepared, target, ignore=passing)


def _prepare(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    first = Installation(folder, port=port)
    folder.mkdir()  # so that it does not begin with a copy of itself
    first.start()
    for domain, number in PREPARED.items():
        first.add_tenant(domain, number)
    assert first.stop() == 0


def wait_for(look: Callable[[], Any], timeout_s: float, what: str) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {timeout_s:g} s for {what}")


def is_whole(stored: dict[str, Any]) -> bool:
    """The news of an end may arrive before the last words: those have come once the last stream has said that it ended."""
    told = kinds(stored)
    streams = [kind for kind in told if kind in ("stream-started", "stream-ended")]
    return "ended" in told and streams[-1:] != ["stream-started"]


def words(stored: dict[str, Any], role: str | None = None) -> list[str]:
    return [message["text"] for message in stored["messages"] if role in (None, message["role"])]


def kinds(stored: dict[str, Any]) -> list[str]:
    return [event["kind"] for event in stored["events"]]
