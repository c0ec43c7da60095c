"""A backup of a running installation, and an installation out of it."""

from __future__ import annotations

import json
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.caller import Line
from tests.installation import Installation, wait_for
from tests.test_calls import BYE, OPEN

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


@pytest.fixture
def other(tmp_path: Path, unused_port: int) -> Iterator[Installation]:
    """An installation with nothing in it, and with the keys that the tests' environment gives every one."""
    made = Installation(tmp_path / "other", port=unused_port)
    made.folder.mkdir()
    yield made
    end(made)
    made.providers.stop()


def end(made: Installation) -> None:
    process = getattr(made, "process", None)
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(90)


def seen(house: Installation, sid: str) -> Any:
    contacts = house.api("GET", "one.test", "/contacts/")["results"]
    call = house.api("GET", "one.test", f"/calls/?call_sid={sid}")["results"][0]
    return [
        sorted(json.dumps(contact, sort_keys=True) for contact in contacts),
        [(message["sequence"], message["role"], message["text"]) for message in call["messages"]],
        (call["id"], call["status"], call["ended_reason"], call["from_number"]),
    ]


def at_rest(house: Installation, sid: str) -> Any:
    """Return what is seen once it was the same for a while: a score comes after what it counts."""
    looks: list[Any] = []

    def look() -> Any:
        looks.append(seen(house, sid))
        return looks[-1] if looks[-20:] == [looks[-1]] * 20 else None

    return wait_for(look, 60, "the contact to be scored")


def test_what_was_backed_up_while_it_ran_is_what_is_restored(house: Installation, other: Installation, tmp_path: Path):
    call = house.finish(house.ring(Line(OPEN), Line(BYE)))
    house.settled(call)
    wait_for(lambda: house.api("GET", "one.test", "/contacts/")["results"], 60, "the caller to become a contact")
    before = at_rest(house, call.sid)
    assert before[0] and before[1], "a contact, and what was said"
    file = tmp_path / "all.backup"

    done = house.manage("backup", str(file))
    again = house.manage("backup", str(file))

    assert done.returncode == 0, done.stderr
    assert "The keys are not in it" in done.stdout
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        assert {"manifest.json", "database.dump"} <= set(archive.getnames())
        assert "secrets.env" not in archive.getnames()

    restored = other.manage("restore", str(file))
    assert restored.returncode == 0, restored.stderr
    assert "one.test" in restored.stdout
    other.start()
    assert seen(other, call.sid) == before

    running = other.manage("restore", str(file), "--force")
    assert (running.returncode, "runs already" in running.stderr) == (1, True)
    end(other)
    refused = other.manage("restore", str(file))
    assert (refused.returncode, "add --force" in refused.stderr) == (1, True)
    assert other.manage("restore", str(file), "--force").returncode == 0


def test_keys_that_do_not_fit_are_said_before_anything_is_changed(house: Installation, other: Installation, tmp_path: Path):
    from cryptography.fernet import Fernet

    file = tmp_path / "all.backup"
    assert house.manage("backup", str(file)).returncode == 0
    other.environment["FIELD_ENCRYPTION_KEYS"] = Fernet.generate_key().decode()

    refused = other.manage("restore", str(file))
    nothing = tmp_path / "nothing.backup"
    nothing.write_bytes(b"nothing")
    unreadable = other.manage("restore", str(nothing))

    assert (refused.returncode, "do not open this backup" in refused.stderr) == (1, True)
    assert (unreadable.returncode, "cannot be read as a backup" in unreadable.stderr) == (1, True)
    assert "Traceback" not in refused.stderr + unreadable.stderr
