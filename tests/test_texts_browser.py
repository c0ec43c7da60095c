"""Texts between somebody with a telephone and somebody at the page, over the carrier's stand-in, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from sandbox.twilio.texts import Fate
from tests.installation import Installation, wait_for
from tests.visitor import DOMAIN, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("pages")]
OURS, ANN = "+15550300", "+15557321"


@pytest.fixture
def guest(browser: Browser, site: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, site, viewport={"width": 1280, "height": 800})
    yield visitor
    visitor.context.close()


@pytest.fixture
def texts(house: Installation) -> Iterator[Any]:
    carrier = house.providers.network.texts
    carrier.reports = True
    yield carrier
    carrier.reports = False
    carrier.fates.clear()


def write(house: Installation, text: str, **values: Any) -> None:
    order = house.providers.network.texts.write(from_number=ANN, to_number=OURS, text=text, **values)
    assert house.providers.do(order)[1] == 200


def test_a_conversation_from_the_first_word_to_stop(house: Installation, guest: Visitor, texts: Any) -> None:
    page = guest.page
    guest.see("/calls/texts/")
    write(house, "Do you open at nine? 🙂")
    write(house, "", media=("image/jpeg",))

    guest.see("/calls/texts/")
    expect(page.locator(".threads__row--unread")).to_contain_text("1 picture")
    page.click(".threads__row .row-link >> nth=0")
    expect(page.locator("#messages")).to_contain_text("Do you open at nine? 🙂")
    assert all(is_wide <= may_be for is_wide, may_be in guest.widths())

    page.fill("#id_text", "Yes, at nine. {x}")
    expect(page.locator("#text-size")).to_have_text("17 characters, 1 part")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".said--assistant")).to_contain_text("Yes, at nine. {x}")

    def delivered() -> bool:
        page.reload()
        return "Delivered" in page.locator(".said--assistant").inner_text()

    wait_for(delivered, 20, "the text to be delivered")

    texts.fates[ANN] = Fate(("sent", "undelivered"), 30006)
    (conversation,) = house.api("GET", DOMAIN, "/texts/?number=%2B15557321")["results"]
    sent = house.api("POST", DOMAIN, "/texts/", json={"to": ANN, "text": "From a program"})
    assert sent["state"] == "waiting"

    def last() -> dict[str, Any]:
        return house.api("GET", DOMAIN, f"/texts/{conversation['id']}/messages/")["results"][0]  # type: ignore[no-any-return]

    wait_for(lambda: last()["state"] == "undelivered", 30, "the program's text to fail")
    assert last()["problem"] == "The number is a landline, or cannot get texts."

    write(house, "Stop.")
    page.reload()
    expect(page.locator("main")).to_contain_text("They asked for no more text messages")
    assert page.locator("#id_text").count() == 0
    before = len(texts.taken)
    refused = house.api("GET", DOMAIN, f"/texts/{conversation['id']}/")
    assert refused["is_unread"] is False  # the page that was just loaded has been read
    page.goto(f"/crm/contacts/{refused['contact']}/")
    expect(page.locator("#timeline")).to_contain_text("Do you open at nine?")
    expect(page.locator("#timeline")).to_contain_text("From a program")
    assert len(texts.taken) == before
    assert set(texts.answered) <= {200, 204}
    assert guest.faults == []


@pytest.mark.parametrize("path", ["/calls/texts/", "/calls/texts/new/", "/calls/texts/settings/"])
def test_pages_are_whole(guest: Visitor, path: str) -> None:
    guest.see(path)
    assert guest.faults == []
