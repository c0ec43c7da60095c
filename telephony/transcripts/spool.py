"""Where entries go when both Redis and PostgreSQL are away: sealed lines in a file, replayed later.

A writer and the replayer take the same lock on the file. The replayer removes the file while it holds the lock, so a
writer that got the lock afterwards sees that its file is gone and begins a new one.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from django.conf import settings

from telephony.transcripts.entries import Entry
from thanos.encryption import DecryptionError

logger = logging.getLogger("telephony.transcripts")


def spool_dir() -> Path:
    return Path(settings.ENV.state_dir) / "spool"


def append(entries: Iterable[Entry]) -> None:
    """Write entries to this process's spool file, and have them on the disk before returning.

    Raises OSError when they are not, or not all of them; then nothing of them stays in the file.
    """
    folder = spool_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{os.getpid()}.spool"
    data = b"".join(entry.sealed() + b"\n" for entry in entries)
    while True:
        # Unbuffered: what a full disk did not take must not be written by `close`, behind whatever came next.
        with path.open("ab", buffering=0) as out:
            os.chmod(path, 0o600)
            fcntl.flock(out, fcntl.LOCK_EX)
            if not path.exists() or path.stat().st_ino != os.fstat(out.fileno()).st_ino:
                continue  # replayed and removed while we waited for the lock
            before = os.fstat(out.fileno()).st_size
            try:
                # A line that was cut off (a kill) must not swallow the first of ours.
                _write_all(out.fileno(), data if before == 0 or _ends_a_line(path) else b"\n" + data)
                os.fsync(out.fileno())
            except OSError:
                os.ftruncate(out.fileno(), before)
                raise
            return


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as source:
        source.seek(-1, os.SEEK_END)
        return source.read(1) == b"\n"


def replay(write: Callable[[list[Entry]], object]) -> int:
    """Hand every spooled entry to `write` and remove the files it took; return how many there were.

    What cannot be read (cut off, or sealed with an unknown key) is set aside in a `.bad` file beside it.
    """
    count = 0
    for path in sorted(spool_dir().glob("*.spool")):
        with path.open("rb") as source:
            fcntl.flock(source, fcntl.LOCK_EX)
            entries, bad = _read(source)
            write(entries)
            try:
                _set_aside(path, bad)
                path.unlink(missing_ok=True)
            except OSError as error:  # written twice is as good as once: the file is taken again the next time
                why = {"why": type(error).__name__, "code": error.errno}
                logger.error("A spool file cannot be removed.", extra=why)
                continue
        count += len(entries)
    return count


def _set_aside(path: Path, bad: list[bytes]) -> None:
    if bad:
        logger.error("Spooled transcript entries cannot be read.", extra={"count": len(bad)})
        with path.with_suffix(".bad").open("ab") as aside:
            aside.writelines(bad)


def _read(source: Iterable[bytes]) -> tuple[list[Entry], list[bytes]]:
    entries: list[Entry] = []
    bad: list[bytes] = []
    for line in source:
        try:
            entries.append(Entry.unsealed(line.strip()))
        except (DecryptionError, ValueError, TypeError):
            bad.append(line)
    return entries, bad
