from __future__ import annotations

import socket
from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from sandbox.caller import Line
from sandbox.speech import speak
from tests.browser import ARGUMENTS, find_browser
from tests.installation import Installation
from tests.visitor import DOMAIN

PROMPT = (
    "You are {agent_name}. We are open from nine to six. A haircut is thirty dollars. "
    "Yes, vouchers are sold in the shop and by telephone, in any amount you like, and they never expire, which makes them"
    " a lovely present for birthdays and for anybody who likes to look well."
)

expect.set_options(timeout=30_000)  # of a machine that is busy with other tests


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure is printed with what the installation has to say about it: it may not happen a second time."""
    report = yield
    house = getattr(item, "funcargs", {}).get("house")
    if report.failed and house is not None:
        report.sections.append(("the installation", house.story()))
    return report


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for all tests of whole calls: two organisations, a number each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    speak("Warm up the voice.")
    installation = Installation(tmp_path_factory.mktemp("house") / "state", port=port)
    installation.start()
    installation.add_tenant("one.test", "+15550100")
    installation.add_tenant("two.test", "+15550200")
    values = {
        "greeting": "Hello.",
        "prompt": PROMPT,
        "fallback_number": "+15550999",
        "max_dead_air_s": 4,
        "ring_timeout_s": 5,
    }
    for domain in ("one.test", "two.test"):
        installation.set_lines(domain, **values)
    yield installation
    installation.stop()


@pytest.fixture(autouse=True)
def _calm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Faults ordered by one test do not strike in the next."""
    yield
    if "house" in request.fixturenames:
        providers = request.getfixturevalue("house").providers
        providers.agent.faults.clear()
        providers.network.people.clear()
        providers.models.faults.clear()
        providers.sandbox.rest.away = 0


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = find_browser()
    assert found, "no Chromium: run `python -m tests.browser`"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def site(house: Installation) -> str:
    house.add_tenant(DOMAIN, "+15550300")
    house.set_lines(DOMAIN, greeting="Hello.", prompt="We are open from nine to six.")
    call = house.finish(house.ring(Line("When are you open?"), Line("Goodbye."), to="+15550300"))
    house.settled(call, DOMAIN)
    return f"http://{DOMAIN}:{house.port}"
