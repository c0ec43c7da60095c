"""Reading a document in a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from agents.knowledge.reading.blocks import Block, UnreadableError
from agents.knowledge.reading.formats import READERS
from thanos.env import BASE_DIR

TIMEOUT_S = 150.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A document's passages, and what of it was not read, or hardly rightly, in sentences."""

    passages: list[Block]
    warnings: list[str]


def read_document(data: bytes, *, suffix: str) -> Reading:
    """Raises UnreadableError."""
    if suffix not in READERS:
        raise UnreadableError(f"Files of the kind .{suffix} cannot be read. Use {', '.join(sorted(READERS))}.")
    command = [sys.executable, "-m", "agents.knowledge.reading.child", suffix]
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=TIMEOUT_S, cwd=BASE_DIR, env=environment, check=False
        )
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
    except (subprocess.TimeoutExpired, ValueError):
        answer = {}
    if "passages" not in answer:
        raise UnreadableError(
            answer.get("problem") or "The document could not be read: it takes too long, or too much memory."
        )
    return Reading([Block(text, heading, place) for heading, place, text in answer["passages"]], answer["warnings"])
