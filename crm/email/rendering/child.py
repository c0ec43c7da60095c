"""The process that renders: `python -m crm.email.rendering.child`, asked over the socket that is its standard input.

It has no Django, no secrets and no files, little memory, and for each question little time. Questions and answers are
JSON behind their length in four bytes. It ends with the process that started it.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import signal
import socket
import struct
import sys
from typing import Any

from crm.email.rendering import engine, looking, markup, plaintext
from crm.email.rendering.engine import TemplateProblem
from crm.email.rendering.sources import Source

MAX_MEMORY_BYTES = 512 * 1024 * 1024
PR_SET_PDEATHSIG = 1
SLOW = "It takes too long. Is there a loop that goes on and on?"
BIG = "It takes too much memory."


class _TimeUp(BaseException):
    """Not an Exception: no template may catch it."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    source = Source(request["subject"], request["html"], request["text"])
    with _Budget(request["budget_s"]):
        if request["op"] == "inspect":
            found = looking.inspect(source)
            return {**found, "markup": markup.findings(source.html)}
        if request["op"] == "as_text":
            return {"text": plaintext.source_to_text(source.html)}
        if request["op"] == "mail_to_text":
            return {"text": plaintext.mail_to_text(source.html)}
        return engine.split(source, request["rows"])


def answer_safely(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return answer(request)
    except TemplateProblem as problem:
        return {"error": [problem.part, problem.line, str(problem)]}
    except _TimeUp as problem:
        return {"error": [engine.part_at_work(), engine.line_of(problem), SLOW], "is_last": True}
    except MemoryError as problem:
        return {"error": [engine.part_at_work(), engine.line_of(problem), BIG], "is_last": True}

    except Exception as problem:  # a fault of ours, met by their template: it must not look like one that is slow
        return {"error": [engine.part_at_work(), engine.line_of(problem), "It cannot be rendered."], "is_last": True}


class _Budget:
    """CPU time. First an exception, which knows its line; a second later, for whatever does not listen, the end."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        whole = math.ceil(used.ru_utime + used.ru_stime + self.seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (whole, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, self.seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _time_up(*_: object) -> None:
    raise _TimeUp


def serve(connection: socket.socket) -> None:
    while (head := _read(connection, 4)) is not None:
        body = _read(connection, *struct.unpack(">I", head))
        if body is None:
            return
        found = answer_safely(json.loads(body))
        data = json.dumps(found).encode()
        connection.sendall(struct.pack(">I", len(data)) + data)
        if found.get("is_last"):
            return


def _read(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(1 << 20, size - len(parts)))
        if not part:
            return None
        parts += part
    return bytes(parts)


def warm_up() -> None:
    """Have everything loaded that is loaded late, a fault's report included: later no file can be opened."""
    for html in (
        "<p>{{ 'a\\u0020'|upper }}<a href='https://{{ a }}.example.com'>b</a>{{ a|wordwrap }}</p>",
        "{% if %}",
        "{{ a.b.c }}",
        "{{ 1 / 0 }}",
    ):
        request = {"subject": "", "html": html, "text": "", "rows": [{"a": "b"}], "budget_s": 5}
        for op in ("split", "inspect", "as_text", "mail_to_text"):
            answer_safely({**request, "op": op})


def confine() -> None:
    warm_up()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def die_with_parent() -> None:
    """The signal comes when the thread that started us ends, which need not be the end of the whole process."""
    parent = os.getppid()

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(0)

    signal.signal(signal.SIGUSR1, look)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; our parent ends us in its own time
    signal.signal(signal.SIGPROF, _time_up)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    # What whoever started us does not want to hear, we do.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGXCPU, signal.SIGUSR1})
    connection = socket.socket(fileno=os.dup(0))
    confine()
    sys.setrecursionlimit(600)
    try:
        serve(connection)
    except (BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main()
