"""What `make run` starts: services, migrations, web, worker and stand-ins in one foreground process tree.

Every provider without a key is played by the sandbox; a `*_URL` that is set always wins, so that any other program
can be put in a provider's place.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import fcntl
import hashlib
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.utils.text import get_text_list

from thanos.embedded import Lease, ServicesError, lease_services
from thanos.env import BASE_DIR, Environment, environment, running_file, state_dir_from_environment
from thanos.processes import Child, Processes

READY_TIMEOUT_S = 60.0
SHARED_VARIABLES = (
    "PUBLIC_BASE_URL",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_API_URL",
    "DEEPGRAM_API_KEY",
    "DEEPGRAM_AGENT_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_MODEL",
    "SUMMARY_MODEL",
    "EMBEDDINGS_MODEL",
    "SENDGRID_API_KEY",
    "SENDGRID_API_URL",
    "SENDGRID_WEBHOOK_PUBLIC_KEY",
    "INBOUND_EMAIL_HOST",
    "SMTP_FROM_EMAIL",
    "STRIPE_SECRET_KEY",
    "STRIPE_API_URL",
    "STRIPE_WEBHOOK_SECRET",
    "SANDBOXED_PROVIDERS",
    "SANDBOX_URL",
)

HEALTH_EVERY_S = 5.0
STUCK_LOOKS = 2  # the web process itself has waited long before it says so
SILENT_LOOKS = 12  # a machine under load may answer late; a minute of silence is more than that
RESTART_GRACE_S = 5.0  # calls are taken up by the next web process
WEB_LIMITS = {"DATABASE_POOL_TIMEOUT_S": "2", "DATABASE_STATEMENT_TIMEOUT_S": "60"}


class LaunchError(SystemExit):
    """The product cannot start; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    host: str
    port: int
    demo: bool


@dataclass(frozen=True, slots=True)
class Worker:
    name: str
    queues: tuple[str, ...]
    threads: int


WORKERS = (
    Worker("worker", ("default", "transcripts", "scheduled"), 4),
    # What takes long has a process of its own, so that no transcript waits behind an import.
    Worker("bulk", ("bulk", "webhooks", "email"), 4),
    # Answers of language models take seconds, in which a thread does nothing but wait.
    Worker("agents", ("agents",), 6),
)


def workers_of(processes: int) -> list[Worker]:
    """Return who does the work in the background: on a small machine the last process does that of several."""
    kept, rest = list(WORKERS[:processes]), WORKERS[processes:]
    for worker in rest:
        last = kept[-1]
        kept[-1] = Worker(last.name, (*last.queues, *worker.queues), last.threads + worker.threads)
    return kept


def say(text: str = "") -> None:
    print(text, flush=True)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that outlives the web process: a restart refuses nobody. Raises LaunchError."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        why = getattr(error, "strerror", None) or "no port has that number"
        raise LaunchError(f"Port {port} on {host} cannot be used ({why}). Choose another: make run PORT=8010") from None
    sock.listen(1024)
    sock.set_inheritable(True)
    return sock


def listen_as_before(kept: Path) -> socket.socket:
    """Return a loopback socket on the port that the file `kept` names, or on a free one, which is then written there."""
    try:
        if port := int(kept.read_text()):
            return listen("127.0.0.1", port)
    except (OSError, ValueError, LaunchError):
        pass  # the first start, a damaged file, or somebody else has the port
    sock = listen("127.0.0.1", 0)
    kept.write_text(f"{sock.getsockname()[1]}\n")
    return sock


class Launcher:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.begun = time.monotonic()
        self.stopping = asyncio.Event()
        self.at_once = asyncio.Event()
        self.processes = Processes()
        self.sandbox_port: int | None = None
        self._guards: list[asyncio.Task[None]] = []
        self._models_key = ""
        self._mail_key = ""  # what the stand-in signs its news of e-mail with: told to it and to nobody else

    def _log(self, text: str) -> None:
        say(f"[{time.monotonic() - self.begun:5.1f} s] {text}")

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop)
        listening = listen(self.options.host, self.options.port)
        lease = await asyncio.to_thread(self._services)
        guard = asyncio.create_task(self._guard_servers(lease)) if lease is not None else None
        try:
            variables = await self._start(listening)
            await self._wait_until_ready()
            self._log("Ready.")
            self._guards = [asyncio.create_task(self._guard_web())]
            if not self.stopping.is_set():
                for worker in workers_of(environment().worker_processes)[1:]:  # nobody waits for them to start
                    await self._start_worker(worker, variables, environment())
            await self._demonstrate()
            await self._wait_for_end()
        finally:
            say("\nStopping …")
            for task in (guard, *self._guards):
                if task is not None:
                    task.cancel()
            await self.processes.stop(at_once=self.at_once)
            listening.close()
            running_file(environment().state_dir).unlink(missing_ok=True)
            if lease is not None:
                lease.release()
            say("Stopped.")
        return 1 if self.processes.failed.is_set() else 0

    def _stop(self) -> None:
        if self.stopping.is_set():
            self.at_once.set()
        self.stopping.set()

    # --- starting ------------------------------------------------------------------------------------------------

    def _services(self) -> Lease | None:
        os.environ["PORT"] = str(self.options.port)
        lease = lease_services()
        env = environment()
        env.port = self.options.port
        self._log("PostgreSQL and Redis run." if lease else "Using the PostgreSQL and Redis that are configured.")
        return lease

    async def _start(self, listening: socket.socket) -> dict[str, str]:
        env = environment()
        variables = {**os.environ, "PORT": str(self.options.port), "STATE_DIR": str(env.state_dir)}
        variables["PUBLIC_BASE_URL"] = env.public_url
        variables.setdefault("DJANGO_SETTINGS_MODULE", "thanos.settings.dev")
        played = self._stand_ins(env, variables)
        os.environ.update(variables)
        environment.cache_clear()
        await asyncio.to_thread(self._prepare)
        if played:
            await self._start_sandbox(variables)
        await self._start_product(variables, listening, env)
        return variables

    def _stand_ins(self, env: Environment, variables: dict[str, str]) -> list[str]:
        """Point every provider without a key at the sandbox; return the providers it plays."""
        played = []
        defaults = Environment.model_fields
        sandbox_socket = listen_as_before(env.state_dir / "sandbox.port")
        self._sandbox_socket = sandbox_socket
        url = f"http://127.0.0.1:{sandbox_socket.getsockname()[1]}"
        secret = hashlib.sha256(f"sandbox:{env.secret_key}".encode()).hexdigest()
        if not env.twilio_account_sid:
            variables["TWILIO_ACCOUNT_SID"] = "AC" + secret[:32]
            variables["TWILIO_AUTH_TOKEN"] = env.twilio_auth_token or secret
            if env.twilio_api_url == defaults["twilio_api_url"].default:
                variables["TWILIO_API_URL"] = url
                played.append("twilio")
        if not env.deepgram_api_key:
            variables["DEEPGRAM_API_KEY"] = secret
            if env.deepgram_agent_url == defaults["deepgram_agent_url"].default:
                variables["DEEPGRAM_AGENT_URL"] = "ws" + url.removeprefix("http")
                played.append("deepgram")
        if not env.stripe_secret_key and not env.stripe_api_url:
            variables |= {"STRIPE_SECRET_KEY": f"sk_test_{secret}", "STRIPE_API_URL": url}
            variables["STRIPE_WEBHOOK_SECRET"] = f"whsec_{secret[:32]}"
            played.append("stripe")
        if self._plays_mail(env, variables, key=f"SG.{secret}", url=url):
            played.append("sendgrid")
        # The stand-in agent thinks with a configured model; it reads no .env file of its own.
        self._thinks_with = {"OPENAI_BASE_URL": env.openai_base_url, "OPENAI_API_KEY": env.openai_api_key}
        if self._plays_models(env, variables, key=f"sk-{secret}", url=url):
            played.append("openai")
        variables["SANDBOXED_PROVIDERS"] = ",".join(played)
        variables["SANDBOX_URL"] = url if played else ""
        self._tell_others(env.state_dir, variables)
        if played:
            self.sandbox_port = sandbox_socket.getsockname()[1]
        return played

    def _plays_mail(self, env: Environment, variables: dict[str, str], *, key: str, url: str) -> bool:
        """Whoever has an SMTP server wants e-mail to go there."""
        if env.sendgrid_api_key or env.email_url:
            return False
        variables["SENDGRID_API_KEY"] = key
        variables["SMTP_FROM_EMAIL"] = env.smtp_from_email
        if env.sendgrid_api_url:
            return False
        self._mail_key, public = new_signing_key()
        variables["SENDGRID_API_URL"] = url
        variables["SENDGRID_WEBHOOK_PUBLIC_KEY"] = public
        variables["INBOUND_EMAIL_HOST"] = env.inbound_email_host or "replies.localhost"
        return True

    def _plays_models(self, env: Environment, variables: dict[str, str], *, key: str, url: str) -> bool:
        """One provider of language models is enough: a stand-in plays only where there is none."""
        if env.openai_api_key or env.openai_base_url or env.anthropic_api_key or env.anthropic_base_url:
            return False
        self._models_key = key
        variables |= {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"{url}/v1"}
        variables |= {"OPENAI_MODEL": "sandbox-small", "SUMMARY_MODEL": "sandbox-small"}
        return True

    @staticmethod
    def _tell_others(state_dir: Path, variables: dict[str, str]) -> None:
        path = running_file(state_dir)
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}={variables[name]}\n" for name in SHARED_VARIABLES if name in variables))

    def _prepare(self) -> None:
        import django

        django.setup()
        from django.core.management import call_command

        from tenants.services.database import prepare_database

        prepare_database(public_host=self.options.host)
        self._log("The database is up to date.")
        if self._static_is_stale():
            call_command("collectstatic", interactive=False, verbosity=0)
            self._log("Static files are collected.")

    def _static_is_stale(self) -> bool:
        """Static files are collected again only when one of ours, or the set of packages, has changed."""
        from django.conf import settings

        sources = [*(BASE_DIR / "static").rglob("*"), BASE_DIR / "requirements.txt"]
        state = "\n".join(f"{path} {path.stat().st_mtime_ns}" for path in sorted(sources) if path.is_file())
        stamp = Path(settings.STATIC_ROOT) / ".stamp"
        digest = hashlib.sha256(state.encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            return False
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(digest)
        return True

    async def _start_sandbox(self, variables: dict[str, str]) -> None:
        from crm.email.signing import inbound_url

        number = self._sandbox_socket.fileno()
        command = [sys.executable, "-m", "sandbox.server", str(number)]
        told = {"SANDBOX_MAIL_SIGNING_KEY": self._mail_key, "SANDBOX_MAIL_INBOUND_URL": inbound_url()}
        told |= {**self._thinks_with, "SANDBOX_MODELS_KEY": self._models_key}
        await self.processes.start(Child("sandbox", command, {**variables, **told}, (number,)))
        played = variables["SANDBOXED_PROVIDERS"].split(",")
        self._log(f"The sandbox plays {get_text_list(played, 'and')}.")

    async def _start_product(self, variables: dict[str, str], listening: socket.socket, env: Environment) -> None:
        number = listening.fileno()
        web = {**variables, "DATABASE_POOL_SIZE": "20"}
        web |= {name: value for name, value in WEB_LIMITS.items() if name not in os.environ}
        command = [sys.executable, "-m", "thanos.web", str(number)]
        await self.processes.start(Child("web", command, web, (number,), stop_timeout_s=env.drain_timeout_s + 8))
        await self._start_worker(workers_of(env.worker_processes)[0], variables, env)

    async def _start_worker(self, worker: Worker, variables: dict[str, str], env: Environment) -> None:
        # On a bare machine root is all there is; tasks are JSON, so the warning's reason (pickle) does not apply.
        quiet = "ignore:You're running the worker with superuser"
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "thanos.celery", "worker", "--pool", "threads"]
        command += ["--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--hostname", f"{worker.name}@%h"]
        command += ["--concurrency", str(worker.threads), "--queues", ",".join(worker.queues)]
        if "scheduled" in worker.queues:
            command += ["--beat", "--schedule", str(env.state_dir / "beat")]
        environment = {**variables, "DATABASE_POOL_SIZE": "10", "PYTHONWARNINGS": quiet}
        await self.processes.start(Child(worker.name, command, environment))

    @property
    def _health_url(self) -> str:
        host = "127.0.0.1" if self.options.host in ("0.0.0.0", "::") else self.options.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.options.port}/health"

    async def _guard_servers(self, lease: Lease) -> None:
        """PostgreSQL and Redis die with their supervisor: it is watched like every other child."""
        while True:
            await asyncio.sleep(0.5)
            try:
                if await asyncio.to_thread(lease.revive):
                    self._log("The supervisor of PostgreSQL and Redis had ended: it runs again.")
            except ServicesError as error:
                self._log(str(error))

    async def _guard_web(self) -> None:
        """Start a web process again that is alive and does nothing any more. One that drains, or starts, is left alone."""
        stuck = silent = 0
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            said = await asyncio.to_thread(_ask_health, self._health_url)
            stuck = stuck + 1 if said is not None and said.startswith("stuck") else 0
            silent = silent + 1 if said is None else 0
            if stuck >= STUCK_LOOKS or silent >= SILENT_LOOKS:
                self._log(f"The web process is {'stuck' if stuck else 'silent'}: it is started again.")
                await self.processes.restart("web", grace_s=RESTART_GRACE_S)
                stuck = silent = 0

    async def _wait_until_ready(self) -> None:
        url = self._health_url
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (self.stopping.is_set() or self.processes.failed.is_set()):
            if await asyncio.to_thread(_answers, url):
                return
            if time.monotonic() > deadline:
                raise LaunchError("The web process does not answer; its lines above say why.")
            await asyncio.sleep(0.1)

    # --- showing -------------------------------------------------------------------------------------------------

    async def _demonstrate(self) -> None:
        if self.stopping.is_set() or not self.options.demo:
            say(f"  {environment().public_url}/admin/   staff")
            if outbox := environment().outbox_url:
                say(f"  {outbox}   every e-mail that was sent")
            return
        from thanos.demo import show_demo

        demo = asyncio.create_task(show_demo(self.options.port, self.sandbox_port, log=self._log))
        stop = asyncio.create_task(self.stopping.wait())
        await asyncio.wait([demo, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not demo.done():
            demo.cancel()
        await asyncio.gather(demo, return_exceptions=False) if demo.done() else None

    async def _wait_for_end(self) -> None:
        waits = [asyncio.create_task(self.stopping.wait()), asyncio.create_task(self.processes.failed.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()


def new_signing_key() -> tuple[str, str]:
    """Return a new key for signing and its public half, as base64 of their DER forms."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(private).decode(), base64.b64encode(public).decode()


def _answers(url: str) -> bool:
    return _ask_health(url, timeout_s=1) == "ok"


def _ask_health(url: str, *, timeout_s: float = 5) -> str | None:
    """Return what the web process says of itself, None when it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:  # noqa: S310  (loopback)
            return str(response.read(200).decode(errors="replace"))
    except urllib.error.HTTPError as refused:
        return refused.read(200).decode(errors="replace")
    except (urllib.error.URLError, OSError):
        return None


def lock_state(state_dir: Path) -> int:
    """Return a lock that this process holds until it ends. Raises LaunchError when another `serve` has it.

    Two of them would send every scheduled task twice, and tell other commands of each other's stand-ins.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(state_dir / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(lock, 200).decode(errors="replace").strip() or "another process"
        os.close(lock)
        raise LaunchError(
            f"The product runs already with the state in {state_dir} ({other}). Stop it first, or choose another folder "
            "and port: make run STATE_DIR=.local2 PORT=8010"
        ) from None
    os.ftruncate(lock, 0)
    return lock


def main(arguments: list[str]) -> int:
    """The command line of `manage.py serve`."""
    parser = argparse.ArgumentParser(prog="manage.py serve", description="Run the whole product in the foreground.")
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--no-demo", action="store_true", help="no demo organisation, no demo call")
    chosen = parser.parse_args(arguments)
    state_dir = state_dir_from_environment()
    lock = lock_state(state_dir)
    try:
        running_file(state_dir).unlink(missing_ok=True)  # of a run that was killed
        port = chosen.port if chosen.port is not None else environment().port
        os.write(lock, f"process {os.getpid()}, port {port}\n".encode())
        return asyncio.run(Launcher(Options(chosen.host, port, not chosen.no_demo)).run())
    finally:
        os.close(lock)
