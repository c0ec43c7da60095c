"""The pages, as people use them: in a real browser, wide and narrow, light and dark, with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from sandbox.caller import Line
from tests.installation import Installation, wait_for
from tests.visitor import DOMAIN, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("pages")]

PAGES = [
    "/",
    "/calls/",
    "/calls/test/",
    "/settings/lines/",
    "/settings/people/",
    "/settings/organisation/",
    "/settings/audit/",
    "/organisations/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
]


@pytest.fixture(params=["wide", "narrow-dark", "no-script"])
def visitor(request: pytest.FixtureRequest, browser: Browser, site: str) -> Iterator[Visitor]:
    options: dict[str, Any] = {
        "wide": {"viewport": {"width": 1280, "height": 800}},
        "narrow-dark": {"viewport": {"width": 380, "height": 800}, "color_scheme": "dark"},
        "no-script": {"viewport": {"width": 1280, "height": 800}, "java_script_enabled": False},
    }[request.param]
    guest = Visitor(browser, site, **options)
    yield guest
    guest.context.close()


@pytest.fixture
def owner(browser: Browser, site: str) -> Iterator[Visitor]:
    guest = Visitor(browser, site, viewport={"width": 1280, "height": 800})
    yield guest
    guest.context.close()


def test_every_page_is_whole(visitor: Visitor) -> None:
    for path in PAGES:
        response = visitor.page.goto(path)
        assert response is not None
        assert response.status == 200, path
        assert visitor.page.locator("h1").count() == 1, path
    visitor.page.goto("/calls/?q=open")
    visitor.page.click(".row-link >> nth=0")
    expect(visitor.page.locator(".transcript")).to_contain_text("We are open from nine to six.")
    assert visitor.faults == []


def test_no_page_is_wider_than_a_telephone(browser: Browser, site: str) -> None:
    guest = Visitor(browser, site, viewport={"width": 380, "height": 800})
    for path in [*PAGES, "/settings/lines/1/"]:
        guest.page.goto(path)
        assert guest.page.evaluate("document.documentElement.scrollWidth") <= 380, path
    guest.context.close()


def test_a_call_is_watched_while_it_happens_and_a_member_speaks_up(
    owner: Visitor, house: Installation, tmp_path: Path
) -> None:
    call = house.ring(Line("When are you open?"), Line("Goodbye.", when="wait", after_s=16), to="+15550300")
    stored = house.settled(call, DOMAIN, until=lambda stored: stored["status"] == "in-progress")
    owner.page.goto("/")
    expect(owner.page.locator("#live")).to_contain_text("In progress", timeout=60_000)

    owner.page.goto(f"/calls/{stored['id']}/")
    expect(owner.page.locator("#transcript")).to_contain_text("When are you open?", timeout=15_000)
    expect(owner.page.locator("#transcript")).to_contain_text("from nine to six")
    owner.page.fill(".say input[name=text]", "A colleague is listening.")
    owner.page.click(".say button")
    expect(owner.page.locator("#transcript")).to_contain_text("A colleague is listening.", timeout=60_000)
    owner.page.screenshot(path=tmp_path / "live.png")

    house.finish(call)
    expect(owner.page.locator("#call-head")).to_contain_text("Agent said goodbye", timeout=15_000)
    assert owner.faults == []


def test_a_member_hangs_up(owner: Visitor, house: Installation) -> None:
    call = house.ring(Line("When are you open?"), to="+15550300")
    stored = house.settled(call, DOMAIN, until=lambda stored: stored["status"] == "in-progress")

    owner.page.goto(f"/calls/{stored['id']}/")
    owner.page.click("text=Hang up")

    house.finish(call, 20)
    assert house.settled(call, DOMAIN)["ended_reason"] == "operator-hung-up"


def test_talking_to_the_agent_from_the_browser(owner: Visitor, house: Installation) -> None:
    owner.page.goto("/calls/test/")
    owner.page.click("main button[type=submit]")
    expect(owner.page.locator("#transcript")).to_contain_text("Hello.", timeout=15_000)

    owner.page.fill("[data-phone-type] input[name=text]", "When are you open?")
    owner.page.keyboard.press("Enter")
    expect(owner.page.locator("#transcript")).to_contain_text("We are open from nine to six.", timeout=60_000)
    owner.page.click("[data-phone-hang-up]")

    owner.page.wait_for_url("**/calls/*-*/", timeout=15_000)
    expect(owner.page.locator("h1")).to_have_text("Test call")
    expect(owner.page.locator(".transcript")).to_contain_text("When are you open?")
    assert owner.faults == []


def test_the_list_is_searched_as_one_types_and_the_address_keeps_it(owner: Visitor) -> None:
    owner.page.goto("/calls/")
    owner.page.keyboard.press("/")
    owner.page.keyboard.type("sparkling")
    expect(owner.page.locator("#rows")).to_contain_text("No call fits", timeout=15_000)
    owner.page.fill("#id_q", "open")
    expect(owner.page.locator("#rows .row-link").first).to_be_visible(timeout=15_000)
    wait_for(lambda: "q=open" in owner.page.url, 5, "the address to change")


def test_a_line_is_edited_and_a_mistake_is_shown(owner: Visitor, house: Installation) -> None:
    owner.page.goto("/settings/lines/")
    owner.page.click(".row-link >> nth=0")
    owner.page.fill("[name=time_zone]", "Nowhere/Land")
    owner.page.click("button:has-text('Save')")
    expect(owner.page.locator(".field__error")).to_contain_text("Nowhere/Land is not a time zone")

    owner.page.fill("[name=time_zone]", "Europe/Vienna")
    owner.page.fill("[name=hours]", "Monday 09:00-17:30")
    owner.page.click("button:has-text('Save')")

    expect(owner.page.locator(".toast")).to_contain_text("Saved")
    line = next(line for line in house.api("GET", DOMAIN, "/lines/")["results"] if line["is_default"])
    assert (line["time_zone"], line["hours"]) == ("Europe/Vienna", [{"day": 0, "opens": "09:00", "closes": "17:30"}])


def test_the_keyboard_reaches_the_content(owner: Visitor) -> None:
    owner.page.goto("/calls/")
    owner.page.keyboard.press("Tab")
    expect(owner.page.locator(".skip-link")).to_be_focused()
    owner.page.keyboard.press("Enter")
    assert owner.page.evaluate("document.activeElement.id") == "content"
