"""One request to a receiver: the I/O around `addresses`. Never raises for what a receiver or the network does.

The connection goes to an address that was checked, and the name is used for SNI, the certificate and `Host` only. No
library's session is used, so neither proxies from the environment nor redirects nor cookies can lead elsewhere. Every
wait counts against one deadline, so a receiver that sends a byte now and then is cut off like one that sends none.
"""

from __future__ import annotations

import http.client
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import certifi
from django.utils import timezone

from crm.hooks.addresses import AddressError, Network, Target, check_addresses, parse_url
from crm.hooks.backoff import retry_after_s
from crm.hooks.enums import Problem

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 10.0
MAX_RESPONSE_BYTES = 64 * 1024
EXCERPT_LENGTH = 2000
MAX_ADDRESSES = 4  # of one name, tried in turn within the same time to connect
_BLOCK = 16 * 1024
_PAUSING = frozenset({429, 503})

Lookup = Callable[[str, int, float], list[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. `problem` is empty for a success."""

    problem: Problem
    duration_ms: int
    status_code: int | None = None
    excerpt: str = ""
    retry_after_s: float | None = None
    content_type: str = ""
    content_length: int | None = None  # as the answer says
    headers: Mapping[str, str] = field(default_factory=dict)  # by names in lower case

    @property
    def is_success(self) -> bool:
        return self.problem == Problem.NONE


def look_up(host: str, port: int, timeout_s: float) -> list[str]:
    """Return the addresses of a host; none when it has none or nobody says so in time.

    In a thread, because the system's resolver takes no timeout and may wait for half a minute.
    """
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            answers.put([])
        else:
            answers.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))

    threading.Thread(target=ask, name="webhook-dns", daemon=True).start()
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty:
        return []


def check_url(url: str, *, allowed: Sequence[Network], lookup: Lookup | None = None) -> tuple[Target, list[str]]:
    """Return where a URL leads, now. Raises AddressError."""
    target = parse_url(url)
    found = (lookup or look_up)(target.host, target.port, CONNECT_TIMEOUT_S)
    return target, check_addresses(target, found, allowed=allowed)


def send(
    *,
    url: str,
    body: bytes = b"",
    headers: Mapping[str, str],
    allowed: Sequence[Network],
    method: str = "POST",
    lookup: Lookup | None = None,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = TOTAL_TIMEOUT_S,
    excerpt_length: int = EXCERPT_LENGTH,
    max_bytes: int = MAX_RESPONSE_BYTES,
    is_enough: Callable[[bytearray], bool] | None = None,
) -> Outcome:
    """Make one request and return what came of it. Nothing is followed: a redirect is an answer like any other.

    With `is_enough` the answer is read until that says so of what has come: for streams that stay open.
    """
    started = time.monotonic()

    def outcome(problem: Problem, **more: Any) -> Outcome:
        return Outcome(problem, round((time.monotonic() - started) * 1000), **more)

    sock: socket.socket | None = None
    try:
        target, addresses = check_url(url, allowed=allowed, lookup=lookup)
        sock = _connect(target, addresses, tls=tls, deadline=started + min(timeout_s, CONNECT_TIMEOUT_S))
        response = _exchange(target, TimedSocket(sock, started + timeout_s), method, body, headers)
        return outcome(
            _problem_of(response.status),
            status_code=response.status,
            excerpt=_excerpt(response, max_bytes, is_enough)[:excerpt_length],
            retry_after_s=_retry_after(response),
            content_type=(response.getheader("Content-Type") or "")[:100],
            content_length=_length(response),
            headers={name.lower(): value for name, value in response.getheaders()},
        )
    except AddressError as error:
        return outcome(error.problem)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return outcome(_problem_with(error))
    finally:
        if sock is not None:
            sock.close()


def _connect(target: Target, addresses: Sequence[str], *, tls: ssl.SSLContext | None, deadline: float) -> socket.socket:
    """Raises OSError: that of the last address."""
    error: OSError = TimeoutError()
    for address in addresses[:MAX_ADDRESSES]:
        try:
            sock = socket.create_connection((address, target.port), timeout=_left(deadline))
        except OSError as failed:
            error = failed
            continue
        if target.scheme != "https":
            return sock
        try:
            sock.settimeout(_left(deadline))
            return (tls or _tls()).wrap_socket(sock, server_hostname=target.host)
        except (OSError, ValueError):
            sock.close()
            raise
    raise error


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


def _exchange(
    target: Target, sock: TimedSocket, method: str, body: bytes, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = sock  # type: ignore[assignment]
    connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", target.authority)
    connection.putheader("Connection", "close")
    if body or method not in ("GET", "HEAD"):
        connection.putheader("Content-Length", str(len(body)))
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    return connection.getresponse()


def _problem_of(status: int) -> Problem:
    if 200 <= status < 300:
        return Problem.NONE
    if 300 <= status < 400:
        return Problem.REDIRECT
    return Problem.GONE if status == 410 else Problem.STATUS


def _problem_with(error: Exception) -> Problem:
    if isinstance(error, TimeoutError):
        return Problem.TIMEOUT
    if isinstance(error, ssl.SSLCertVerificationError):
        return Problem.CERTIFICATE
    if isinstance(error, ssl.SSLError):
        return Problem.TLS
    return Problem.CONNECTION if isinstance(error, OSError) else Problem.PROTOCOL


def _excerpt(
    response: http.client.HTTPResponse, max_bytes: int, is_enough: Callable[[bytearray], bool] | None = None
) -> str:
    """The beginning of the answer. The status is what counts: a body that breaks off does not make a failure."""
    data = bytearray()
    try:
        if is_enough is None:
            data += response.read(max_bytes)
        else:
            while len(data) < max_bytes and (block := response.read1(max_bytes - len(data))):
                data += block
                if is_enough(data):
                    break
    except (OSError, http.client.HTTPException, ValueError):
        if is_enough is None:
            return ""
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def _length(response: http.client.HTTPResponse) -> int | None:
    told = response.getheader("Content-Length") or ""
    return int(told[:15]) if told.isascii() and told.isdigit() else None


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    if response.status not in _PAUSING:
        return None
    return retry_after_s(response.getheader("Retry-After"), now=timezone.now())


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class TimedSocket:
    """What `http.client` needs of a socket, with one deadline for everything that is sent and received."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), _BLOCK):
            self.sock.settimeout(_left(self.deadline))
            self.sock.sendall(data[start : start + _BLOCK])

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self))

    def close(self) -> None:
        """Nothing: `http.client` closes before the body is read. `send` closes the socket itself."""


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: TimedSocket) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._timed.sock.settimeout(_left(self._timed.deadline))
        return self._timed.sock.recv_into(buffer)
