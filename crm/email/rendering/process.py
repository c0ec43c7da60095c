"""The process that renders, seen from outside: started when first asked, watched, and started again when it dies."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
# Wall time allowed above the CPU time: the machine may be busy, and the child may have to start.
PATIENCE_S = 10.0
WAIT_FOR_TURN_S = 60.0
MAX_ANSWER_BYTES = 256 * 1024 * 1024
TOO_SLOW = "It takes too long. Is there a loop that goes on and on?"
TOO_MUCH = "It takes too much memory or time."
BUSY = "Other templates are being rendered for too long already. Try again in a moment."


class ChildError(RuntimeError):
    """No answer. The text can be shown to whoever wrote the template."""


class UnavailableError(ChildError):
    """There is no child that answers, for whatever reason: another time there may be one."""


class _GoneError(Exception):
    """The child's end is closed."""


class Child:
    """One process and the socket to it. Not for several threads at once."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Nothing of our environment: what a template might escape to has no secrets in it.
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-s", "-m", "crm.email.rendering.child"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"},
            )
        self.socket = ours

    def ask(self, body: bytes, budget_s: float) -> dict[str, Any]:
        """Raises _GoneError, and ChildError when the time is over."""
        deadline = time.monotonic() + 3 * budget_s + PATIENCE_S
        try:
            self.socket.settimeout(deadline - time.monotonic())
            self.socket.sendall(struct.pack(">I", len(body)) + body)
            (size,) = struct.unpack(">I", self._read(4, deadline))
            if size > MAX_ANSWER_BYTES:
                raise ChildError(TOO_MUCH)
            answer: dict[str, Any] = json.loads(self._read(size, deadline))
        except TimeoutError:
            raise ChildError(TOO_SLOW) from None
        except OSError:
            raise _GoneError from None
        return answer

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            part = self.socket.recv(min(1 << 20, size - len(parts)))
            if not part:
                raise _GoneError
            parts += part
        return bytes(parts)

    def end(self) -> int:
        """Kill it and return how it ended: a negative number is the signal."""
        self.socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2)  # whoever died of something else is asked what of
        self.process.kill()
        return self.process.wait()


_turn = threading.Lock()
_child: Child | None = None


def ask(request: dict[str, Any], *, budget_s: float) -> dict[str, Any]:
    """Return the child's answer. Raises ChildError when there is none, whose text says why; UnavailableError when that
    need not be the template's fault."""
    body = json.dumps({**request, "budget_s": budget_s}).encode()
    if not _turn.acquire(timeout=WAIT_FOR_TURN_S):
        raise UnavailableError(BUSY)
    try:
        for _ in range(
            2
        ):  # once more when it died: rendering changes nothing, and it may not have been the template's doing
            try:
                return _ask_running(body, budget_s)
            except _GoneError:
                if _discard() == -signal.SIGXCPU:
                    raise ChildError(TOO_SLOW) from None
            except ChildError:
                _discard()
                raise
        raise UnavailableError(TOO_MUCH)
    finally:
        _turn.release()


def _ask_running(body: bytes, budget_s: float) -> dict[str, Any]:
    global _child
    if _child is None:
        _child = Child()
    answer = _child.ask(body, budget_s)
    if answer.pop("is_last", False):  # it ran out of memory, and starts afresh
        _discard()
    return answer


def _discard() -> int:
    global _child
    child, _child = _child, None
    return child.end() if child else 0


def _forget() -> None:
    """After a fork the child belongs to the parent: two that write to it would read each other's answers."""
    global _turn, _child
    if _child is not None:
        _child.socket.close()
        _child.process.returncode = 0  # or its object would complain about a process that is not ours to wait for
    _turn, _child = threading.Lock(), None


def stop() -> None:
    """End the child, if there is one. The next call starts another."""
    with _turn:
        _discard()


os.register_at_fork(after_in_child=_forget)
atexit.register(stop)
