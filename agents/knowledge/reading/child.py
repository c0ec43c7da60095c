"""`python -m agents.knowledge.reading.child pdf`: a document on standard input, its passages as JSON on standard output.

A process of its own with little memory and time, no files to write and none of the product's secrets, because the
parsers are given what strangers have made.
"""

from __future__ import annotations

import json
import resource
import sys

from agents.knowledge.reading.blocks import UnreadableError, pack
from agents.knowledge.reading.formats import READERS

CPU_SECONDS = 120
MEMORY_BYTES = 1024 * 1024 * 1024
MAX_PASSAGES = 20_000


def main(suffix: str) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    data = sys.stdin.buffer.read()
    warnings: list[str] = []
    try:
        passages = pack(READERS[suffix](data, warnings))
        if len(passages) > MAX_PASSAGES:
            raise UnreadableError(f"The document makes {len(passages):,} passages; {MAX_PASSAGES:,} is the most.")
        parts = [[part.heading, part.place, part.text] for part in passages]
        answer: dict[str, object] = {"passages": parts, "warnings": warnings}
    except UnreadableError as error:
        answer = {"problem": str(error)}
    except (MemoryError, RecursionError):
        answer = {"problem": "The document is too large or too deeply nested to be read."}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
