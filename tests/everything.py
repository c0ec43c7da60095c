"""Runs the whole suite: `python -m tests.everything ROOM …`.

Whole installations spend most of their time waiting for people to finish speaking. The rooms' tests, which only compute,
run beside them at a lower priority, with servers of their own; what keeps a promise about time runs alone afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PYTEST = [sys.executable, "-m", "pytest"]
WHOLE = [*PYTEST, "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder", "-m", "not alone", "tests"]
ALONE = [*PYTEST, "-m", "alone", "tests"]
NOTHING_COLLECTED = 5


def main(rooms: list[str]) -> int:
    elsewhere = {**os.environ, "TEST_STATE_DIR": str(Path(".local") / "test-rooms")}
    with tempfile.TemporaryFile() as written:
        computing = subprocess.Popen(
            ["nice", "-n", "10", *PYTEST, "-n", "3", *rooms], env=elsewhere, stdout=written, stderr=subprocess.STDOUT
        )
        try:
            codes = [subprocess.run(WHOLE, check=False).returncode]
            codes.append(computing.wait())
        finally:
            computing.kill()
        written.seek(0)
        sys.stdout.buffer.write(written.read())
        sys.stdout.flush()
    codes.append(subprocess.run(ALONE, check=False).returncode)
    return max(0 if code == NOTHING_COLLECTED else abs(code) for code in codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
