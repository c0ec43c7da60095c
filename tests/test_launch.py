"""`serve`: what it prints, what it leaves behind, and how calls end when it is told to stop."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.caller import Line
from tests.installation import Installation, wait_for
from thanos.env import BASE_DIR

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("launch")]


def launched(folder: Path) -> Iterator[Installation]:
    made = Installation(folder / "state", port=_free_port(), DRAIN_TIMEOUT_S="20", WORKER_PROCESSES="3")
    made.start()
    yield made
    if made.process.poll() is None:
        made.process.send_signal(signal.SIGTERM)
        made.process.wait(90)
    made.providers.stop()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """One that the test may end."""
    yield from launched(tmp_path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for tests that leave it as it is."""
    yield from launched(tmp_path_factory.mktemp("running"))


def left_behind(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line and "pytest" not in line:
            found.append(line)
    return found


@pytest.mark.alone
def test_the_demonstration_is_printed_as_it_happens(tmp_path, unused_port):
    environment = Installation.clean_environment() | {"STATE_DIR": str(tmp_path / "state")}
    command = [sys.executable, "manage.py", "serve", "--port", str(unused_port)]
    log = tmp_path / "out.log"
    begun = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=out, stderr=out)
    try:
        wait_for(lambda: "agent:" in log.read_text(), 180, "the first word")
        first_word_s = time.monotonic() - begun
        wait_for(lambda: "Sign in as" in log.read_text(), 180, "the addresses")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    text = log.read_text()

    assert first_word_s < 60  # what is promised to a new user
    assert "The sandbox plays twilio, deepgram, stripe, sendgrid and openai." in text
    assert re.search(r"http://127.0.0.1:\d+/sandbox/mail   every e-mail", text)
    assert "caller: Hello, when are you open on Saturdays?" in text
    assert "(the caller interrupts)" in text
    assert "(the agent uses end_call)" in text
    assert re.search(r"password \S{16}   \(shown this once\)", text)
    assert (tmp_path / "state" / "secrets.env").stat().st_mode & 0o777 == 0o600
    (recording,) = (tmp_path / "state" / "demo-calls").glob("*.wav")
    assert recording.read_bytes()[:4] == b"RIFF"
    wait_for(lambda: not left_behind(tmp_path / "state"), 60, "everything to end")


def test_a_call_finishes_before_its_worker_does(installation):
    installation.add_tenant("one.test", "+15550100")
    installation.set_lines("one.test", greeting="Hello.")
    call = installation.ring(Line("Goodbye.", when="wait", after_s=5))
    installation.settled(call, until=lambda stored: "stream-started" in {event["kind"] for event in stored["events"]})

    installation.process.send_signal(signal.SIGTERM)
    installation.finish(call, 60)

    assert installation.process.wait(90) == 0
    assert call.caller.said == ["Goodbye."], call.events
    assert [event["why"] for event in call.events if event["kind"] == "stream-ended"] == ["server"]
    assert not [event for event in call.events if event["kind"].startswith("webhook-")]
    assert call.twiml[-1].endswith("<Hangup /></Response>")
    wait_for(lambda: not left_behind(installation.folder), 60, "everything to end")


def test_kill_leaves_nothing_behind_and_the_next_start_is_clean(installation):
    installation.add_tenant("one.test", "+15550100")

    installation.process.kill()
    installation.process.wait()
    wait_for(lambda: not left_behind(installation.folder), 40, "everything to end")

    installation.start()
    assert installation.manage("add_phone_number", "+15550101", "--tenant", "one.test").returncode == 0


def test_two_instances_do_not_disturb_each_other(running, tmp_path):
    other = Installation(tmp_path / "other", port=_free_port())
    other.start()
    try:
        for one in (running, other):
            one.add_tenant("one.test", "+15550100")
        assert running.folder != other.folder
    finally:
        assert other.stop() == 0
    assert running._is_up()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_commands_say_clearly_what_is_wrong(running):
    running.add_tenant("one.test", "+15550100")
    again = running.manage(
        *("create_tenant", "--name", "N", "--domain", "one.test"),
        *("--admin-email", "e@x.test", "--admin-password", "correct horse battery"),
    )
    taken = running.manage("add_phone_number", "+15550100", "--tenant", "one.test")
    nowhere = running.manage("add_phone_number", "+15550109", "--tenant", "nowhere.test")
    healthy = running.manage("doctor")

    assert [done.returncode for done in (again, taken, nowhere, healthy)] == [1, 1, 1, 0]
    assert "already belongs to an organisation" in again.stderr
    assert "already belongs to one.test" in taken.stderr
    assert "No organisation has the domain" in nowhere.stderr
    assert "A call can be answered." in healthy.stdout
    assert "Traceback" not in again.stderr + taken.stderr + nowhere.stderr


def test_a_second_one_with_the_same_state_is_refused_and_takes_nothing_away(running):
    command = [sys.executable, "manage.py", "serve", "--no-demo", "--port", str(_free_port())]
    before = (running.folder / "running.env").read_text()
    done = subprocess.run(command, cwd=BASE_DIR, env=running.environment, capture_output=True, text=True, timeout=180)

    assert done.returncode == 1
    assert f"runs already with the state in {running.folder}" in done.stderr
    assert f"process {running.process.pid}, port {running.port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert (running.folder / "running.env").read_text() == before


def test_a_port_in_use_is_said_in_one_sentence(running, tmp_path):
    command = [sys.executable, "manage.py", "serve", "--no-demo", "--port", str(running.port)]
    environment = running.environment | {"STATE_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=180)

    assert done.returncode == 1
    assert "Choose another: make run PORT=" in done.stderr
    assert "Traceback" not in done.stderr
